package nodeapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/audit"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/invoke/async"
	"github.com/alcove-run/alcove/journal"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/store"
	"github.com/alcove-run/alcove/usage"
)

// FuzzRequest sends anything to any route. Nothing panics, no answer blames the
// platform, every error is JSON with a code and a text, and no file is left open.
func FuzzRequest(f *testing.F) {
	dir := f.TempDir()
	st, err := store.Open(f.Context(), store.Config{Dir: filepath.Join(dir, "state")})
	if err != nil {
		f.Fatal(err)
	}
	record, err := audit.Open(audit.Config{Dir: filepath.Join(dir, "audit"), Budget: 1 << 20})
	if err != nil {
		f.Fatal(err)
	}
	written, err := logs.Open(logs.Config{Dir: filepath.Join(dir, "logs")})
	if err != nil {
		f.Fatal(err)
	}
	reports, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		f.Fatal(err)
	}
	ledger, err := usage.Open(usage.Config{Dir: filepath.Join(dir, "usage"), Journal: reports, Prices: usage.ListPrices()})
	if err != nil {
		f.Fatal(err)
	}
	c := (&oneFunction{f: alcove.Function{ID: "id", Name: "f"}}).config()
	keys, err := auth.Open(f.Context(), auth.Config{File: filepath.Join(dir, "root"), Mode: auth.ModeNone, Place: c.Place, Keys: st.Bucket(auth.KeysBucket), Record: record.Append})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		for _, end := range []func() error{ledger.Close, reports.Close, keys.Close, written.Close, record.Close, st.Close} {
			if err := end(); err != nil {
				f.Error(err)
			}
		}
	})
	c.Authenticate = func(*http.Request, []byte) (alcove.Caller, error) { return alcove.Caller{ARN: "me"}, nil }
	c.Roles, c.Events = &fewRoles{}, noEvents{}
	c.Authorize, c.Keys, c.Audit, c.Logs = keys.Authorize, keys, record.Query, written
	c.Environments = func() []environment.Status { return nil }
	c.Egress, c.FunctionName = policies{}, func(id string) string { return id }
	c.OwnAddress = func(netip.Addr) bool { return false }
	c.Refusals = func(func(alcove.Tenant) bool) []environment.Refused { return nil }
	c.Findings = func() []sandbox.Finding { return nil }
	c.Purge = func(context.Context, alcove.Tenant) (time.Duration, error) { return time.Second, nil }
	c.Usage, c.StockMax, c.Actions = ledger, 5, []string{"lambda:InvokeFunction"}
	over := make(chan struct{})
	close(over)
	c.Ending, c.Revoked = over, func(alcove.Caller) <-chan struct{} { return over } // so that what is followed ends at once
	c.NodeEgress = &policy.Policy{}
	c.Latest = func(ref alcove.Ref) (*alcove.Version, error) {
		if ref.Name != "f" {
			return nil, alcove.NotFound(ref.Name)
		}
		return &alcove.Version{Config: alcove.Config{Logging: alcove.Logging{Group: "/aws/lambda/f"}}}, nil
	}
	for v, i := reflect.ValueOf(c), 0; i < v.NumField(); i++ {
		if field := v.Type().Field(i); field.IsExported() && v.Field(i).IsZero() {
			f.Fatalf("requests would reach nothing where %s should be", field.Name)
		}
	}
	for _, r := range routes() {
		path := strings.NewReplacer("{name}", "f", "{tenant}", "a", "{key}", "ann", "{role}", "ann").Replace(r.path)
		if strings.Contains(path, "{") {
			f.Fatalf("the seeds have nothing for a part of %s", r.path)
		}
		for _, body := range []string{"", `{"name":"ann","policy":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}}`, `{"min":1,"max":2}`, `{"enabled":false}`, `{"mode":"list","allow":["example.com:443"]}`} {
			f.Add(r.method, path, "function=f&tenant=a&since=2026-01-01T00:00:00Z&limit=3&caller=ann", body)
		}
	}
	f.Add("GET", "usage", "by=tenant,day&format=csv", "")
	f.Add("GET", "usage/entries", "tenant=a&limit=3", "")
	f.Add("GET", "logs", "function=f&follow=true", "")
	h := New(c)
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			f.Fatal(err)
		}
		return len(list)
	}
	const spare = 24 // what the stores may open while they work
	before := open()
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r, err := http.NewRequest(method, "http://127.0.0.1/", strings.NewReader(body))
		if err != nil {
			return
		}
		r.URL.Path, r.URL.RawQuery = Prefix+path, query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s %s?%s %s: %d %s", method, path, query, body, w.Code, w.Body)
		}
		var e struct{ Code, Message string }
		if w.Code >= 400 && w.Code != http.StatusMethodNotAllowed && (json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Code == "" || e.Message == "") {
			t.Fatalf("%s %s?%s %s: %d %s", method, path, query, body, w.Code, w.Body)
		}
		if now := open(); now > before+spare {
			t.Fatalf("%s %s?%s %s: %d files are open, %d were", method, path, query, body, now, before)
		}
	})
}

// noEvents is a queue in which nothing waits.
type noEvents struct{}

func (noEvents) Status(string) []async.Depth               { return nil }
func (noEvents) Purge(string, alcove.Tenant) (int, error)  { return 0, nil }
func (noEvents) Replay(string, alcove.Tenant) (int, error) { return 0, nil }
