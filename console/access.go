package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove/nodeapi"
)

// accessPage is the page of keys, of roles, or of what was asked for with them.
type accessPage struct {
	Tab     string
	Problem *problem

	Rows                []grantee // keys or roles
	All, From, To       int
	Next, Back          string
	Chosen              *grantee
	Records             []auditRecord
	Since, Caller       string
	Action, Function    string
	Tenant              string
	Denied, TenantGiven bool
	Earlier             string // the query of what was before
	Sinces              []string
}

// grantee is an access key or an execution role, as alcove's own API has them. The
// secret of a key is in no answer that a page asks for.
type grantee struct {
	Name        string          `json:"name"`
	AccessKeyID string          `json:"accessKeyId"`
	ARN         string          `json:"arn"`
	Created     time.Time       `json:"created"`
	Changed     time.Time       `json:"changed"`
	Enabled     bool            `json:"enabled"`
	Policy      json.RawMessage `json:"policy"`
}

// Document is the policy for people.
func (g *grantee) Document() string {
	var text string // kept as a text, perhaps
	if json.Unmarshal(g.Policy, &text) == nil {
		return pretty([]byte(text), maxAnswerShown)
	}
	return pretty(g.Policy, maxAnswerShown)
}

func (q *request) showKeys() error  { return q.grantees("keys", "Keys") }
func (q *request) showRoles() error { return q.grantees("roles", "Roles") }

// grantees shows a list of alcove's own API, and one of it with its policy.
func (q *request) grantees(what, title string) error {
	p := accessPage{Tab: what}
	var got map[string][]grantee
	err := q.api().node(q.Context(), what, nil, &got)
	if err == nil {
		p.Rows = got[what]
		slices.SortFunc(p.Rows, func(a, b grantee) int { return strings.Compare(a.Name, b.Name) })
		p.All = len(p.Rows)
		p.From, p.To, p.Next, p.Back = pages(q.URL.Query(), p.All)
		p.Rows = p.Rows[p.From:p.To]
	}
	status := refuse(&p.Problem, err)
	if name := q.URL.Query().Get("name"); name != "" && p.Problem == nil {
		p.Chosen = &grantee{}
		const root = "/alcove/v1/"
		b, err := q.api().send(q.Context(), call{service: "lambda", method: http.MethodGet, path: root + what + "/" + name, rawPath: root + what + "/" + nodeapi.Segment(name)})
		if err == nil {
			err = json.Unmarshal(b, p.Chosen)
		}
		if status = refuse(&p.Problem, err); err != nil {
			p.Chosen = nil
		}
	}
	return q.render(status, "access", title, "access", p)
}

// auditRecord is a record of what somebody asked for.
type auditRecord struct {
	Time        time.Time `json:"time"`
	RequestID   string    `json:"requestId"`
	Caller      string    `json:"caller"`
	AccessKeyID string    `json:"accessKeyId"`
	Source      string    `json:"source"`
	Action      string    `json:"action"`
	Resource    string    `json:"resource"`
	Tenant      string    `json:"tenant"`
	Allowed     bool      `json:"allowed"`
	Reason      string    `json:"reason"`
}

// Who is the caller's name, without what all ARNs of a node begin with.
func (r auditRecord) Who() string { return r.Caller[strings.LastIndexByte(r.Caller, ':')+1:] }

// What is the resource in short.
func (r auditRecord) What() string {
	if parts := strings.SplitN(r.Resource, ":", 6); len(parts) == 6 {
		return parts[5]
	}
	return r.Resource
}

// auditSinces are the choices of how far back, shortest first.
var auditSinces = []string{"1h", "24h", "7d"}

// showAudit shows the newest records that are asked for, newest first.
func (q *request) showAudit() error {
	v := q.URL.Query()
	p := accessPage{Tab: "audit", Sinces: auditSinces, Since: v.Get("since"), Caller: strings.TrimSpace(v.Get("caller")), Action: strings.TrimSpace(v.Get("action")),
		Function: strings.TrimSpace(v.Get("function")), Tenant: v.Get("tenant"), Denied: v.Get("denied") != ""}
	if !slices.Contains(auditSinces, p.Since) {
		p.Since = "24h"
	}
	query := url.Values{"since": {q.con.Now().Add(-sinces[p.Since]).UTC().Format(time.RFC3339Nano)}, "limit": {strconv.Itoa(maxLines)}}
	for name, value := range map[string]string{"caller": p.Caller, "action": p.Action, "function": p.Function, "tenant": p.Tenant, "until": v.Get("until")} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if p.Denied {
		query.Set("denied", "true")
	}
	b, err := q.api().send(q.Context(), call{service: "lambda", method: http.MethodGet, path: "/alcove/v1/audit", query: query})
	if err != nil {
		return q.render(refuse(&p.Problem, err), "access", "Audit", "access", p)
	}
	for line := range bytes.Lines(b) {
		var r auditRecord
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		p.Records = append(p.Records, r)
	}
	slices.Reverse(p.Records)
	if n := len(p.Records); n == maxLines {
		p.Earlier = also(v, "until", p.Records[n-1].Time.UTC().Format(time.RFC3339Nano))
	}
	return q.render(http.StatusOK, "access", "Audit", "access", p)
}
