package nodeapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/audit"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/invoke/async"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/store"
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
	c := (&oneFunction{f: alcove.Function{ID: "id", Name: "f"}}).config()
	keys, err := auth.Open(f.Context(), auth.Config{File: filepath.Join(dir, "root"), Mode: auth.ModeNone, Place: c.Place, Keys: st.Bucket(auth.KeysBucket), Record: record.Append})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		for _, end := range []func() error{keys.Close, written.Close, record.Close, st.Close} {
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
	c.Findings = func() []sandbox.Finding { return nil }
	c.Latest = func(ref alcove.Ref) (*alcove.Version, error) {
		if ref.Name != "f" {
			return nil, alcove.NotFound(ref.Name)
		}
		return &alcove.Version{Config: alcove.Config{Logging: alcove.Logging{Group: "/aws/lambda/f"}}}, nil
	}
	for _, r := range routes() {
		path := strings.NewReplacer("{name}", "f", "{key}", "ann", "{role}", "ann").Replace(r.path)
		for _, body := range []string{"", `{"name":"ann","policy":{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}}`, `{"min":1,"max":2}`, `{"enabled":false}`, `{"mode":"list","allow":["example.com:443"]}`} {
			f.Add(r.method, path, "function=f&tenant=a&since=2026-01-01T00:00:00Z&limit=3&caller=ann", body)
		}
	}
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
		if err != nil || strings.Contains(query, "follow") { // which ends when the client goes
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
