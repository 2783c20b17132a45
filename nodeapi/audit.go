package nodeapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/audit"
)

// audit answers GET audit[?since=RFC3339][&until=][&caller=][&action=]
// [&function=][&tenant=][&denied=true][&limit=N] with the newest records that fit,
// oldest first, a line of JSON each (auth.Record).
func (c Config) audit(w http.ResponseWriter, r *request) error {
	q, err := auditQuery(r)
	if err != nil {
		return err
	}
	list, err := c.Audit(q)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	for i := range list {
		if err := out.Encode(&list[i]); err != nil {
			return nil // the client is gone
		}
	}
	return nil
}

func auditQuery(r *request) (q audit.Query, err error) {
	v := r.URL.Query()
	q.Caller, q.Action, q.Function, q.Denied = v.Get("caller"), v.Get("action"), v.Get("function"), v.Get("denied") == "true"
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if s := v.Get(name); s != "" {
			if *to, err = time.Parse(time.RFC3339, s); err != nil {
				return q, alcove.InvalidParameter("%s is no RFC 3339 time: %s", name, s)
			}
		}
	}
	if v.Has("tenant") {
		t := alcove.Tenant(v.Get("tenant"))
		if t != "" {
			if t, err = alcove.ParseTenant(string(t)); err != nil {
				return q, err
			}
		}
		q.Tenant = &t
	}
	if s := v.Get("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil || q.Limit < 1 || q.Limit > audit.MaxLimit {
			return q, alcove.InvalidParameter("limit has to be a number from 1 to %d.", audit.MaxLimit)
		}
	}
	return q, nil
}
