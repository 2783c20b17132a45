package nodeapi

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/audit"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/store"
)

// TestEveryRouteIsAuthorised asks for every route of the table for a caller who
// may nothing, with nothing behind it.
func TestEveryRouteIsAuthorised(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range routes() {
		var asked []auth.Operation
		h := New(Config{Place: alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"},
			Authenticate: func(*http.Request, []byte) (alcove.Caller, error) { return alcove.Caller{}, nil },
			Authorize: func(_ alcove.Caller, o auth.Operation) (*auth.Scope, error) {
				asked = append(asked, o)
				return nil, alcove.ClientError("AccessDeniedException", "no")
			}})
		status, body := ask(h, r.method, strings.NewReplacer("{name}", "f", "{key}", "k", "{tenant}", "blue").Replace(r.path)+"?function=f", "", "")
		if status != 403 || len(asked) != 1 || asked[0].Action != r.action || asked[0].RequestID == "" || (asked[0].Resource == "") == (asked[0].Function.Name == "") {
			t.Errorf("%s %s: %d %s, asked %+v", r.method, r.path, status, body, asked)
		}
		if seen[r.action] || !strings.HasPrefix(r.action, "alcove:") {
			t.Errorf("%s %s: the action %s", r.method, r.path, r.action)
		}
		seen[r.action] = true
	}
}

// realKeys are access keys that are kept in dir, with policies that are asked.
func realKeys(t *testing.T, dir string) (alcove.Place, *auth.Auth) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	place := alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	keys, err := auth.Open(t.Context(), auth.Config{File: filepath.Join(dir, "root"), Mode: auth.ModeSigV4, Place: place, Keys: st.Bucket(auth.KeysBucket)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	return place, keys
}

// TestABoundKeyChangesNobodyElses asks for every route that changes something with a
// key that is bound to blue, and whose policy allows everything else to anybody.
func TestABoundKeyChangesNobodyElses(t *testing.T) {
	place, keys := realKeys(t, t.TempDir())
	made, _, err := keys.CreateKey(t.Context(), alcove.Caller{}, "blue", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":"alcove:*","Resource":"*"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes() {
		if r.method == "GET" {
			continue
		}
		h := New(Config{Place: place, Authorize: keys.Authorize,
			Authenticate: func(*http.Request, []byte) (alcove.Caller, error) {
				return alcove.Caller{AccessKeyID: made.AccessKeyID, Account: place.Account}, nil
			},
			Function: func(string) (*alcove.Function, error) { return nil, alcove.NotFound("f") }})
		path := strings.NewReplacer("{name}", "f", "{key}", "k", "{tenant}", "red", "{role}", "r").Replace(r.path)
		for _, query := range []string{"?tenant=red", ""} {
			if status, body := ask(h, r.method, path+query, "", ""); status != 403 || !strings.Contains(body, "bound to tenants") {
				t.Errorf("%s %s%s: %d %s", r.method, path, query, status, body)
			}
		}
		if !strings.Contains(r.path, "/queue") {
			continue
		}
		if status, body := ask(h, r.method, path+"?tenant=blue", "", ""); status != 404 {
			t.Errorf("%s %s of its own: %d %s", r.method, path, status, body)
		}
	}
}

// TestFindingsAreNotForTenants lists environments for a key of everything and for one that
// is bound to tenants: of the machine the second hears nothing.
func TestFindingsAreNotForTenants(t *testing.T) {
	var scope *auth.Scope
	h := New(Config{Authenticate: func(*http.Request, []byte) (alcove.Caller, error) { return alcove.Caller{}, nil },
		Authorize:    func(alcove.Caller, auth.Operation) (*auth.Scope, error) { return scope, nil },
		Environments: func() []environment.Status { return nil },
		Findings: func() []sandbox.Finding {
			return []sandbox.Finding{{Name: "memory", State: sandbox.Missing, Detail: "no cgroups"}}
		}})
	for _, c := range []struct {
		scope *auth.Scope
		want  bool
	}{{nil, true}, {&auth.Scope{}, false}} {
		scope = c.scope
		status, body := ask(h, "GET", "environments", "", "")
		if status != 200 || strings.Contains(body, "no cgroups") != c.want {
			t.Errorf("of everything %v: %d %s", c.scope.All(), status, body)
		}
	}
}

func TestKeysAndAudit(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	log, err := audit.Open(audit.Config{Dir: filepath.Join(dir, "audit"), Budget: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	place := alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	keys, err := auth.Open(t.Context(), auth.Config{File: filepath.Join(dir, "root"), Mode: auth.ModeNone, Place: place, Keys: st.Bucket(auth.KeysBucket), Record: log.Append})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	h := New(Config{Place: place, Keys: keys, Audit: log.Query, Authorize: keys.Authorize,
		Authenticate: func(*http.Request, []byte) (alcove.Caller, error) { return alcove.Caller{ARN: "me"}, nil }})
	const policy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	for _, c := range []struct {
		method, path, body string
		status             int
		want, not          string
	}{
		{"POST", "keys", `{"name":"ann","policy":` + policy + `}`, 200, `"secretAccessKey":"`, "\x00"},
		{"POST", "keys", `{"name":"ann","policy":` + policy + `}`, 409, auth.CodeEntityExists, "secret"},
		{"POST", "keys", `{"name":"a/b","policy":` + policy + `}`, 400, alcove.CodeValidation, "secret"},
		{"POST", "keys", `{"name":"bob","policy":"{}"}`, 400, auth.CodeMalformedPolicy, "secret"},
		{"POST", "keys", `{"name":"bob"}`, 400, auth.CodeMalformedPolicy, "secret"},
		{"POST", "keys", `{"name":"bob","policy":{},"secret":"x"}`, 400, alcove.CodeInvalidRequestContent, "\x00"},
		{"GET", "keys", "", 200, `"arn":"arn:aws:iam::000000000000:user/ann"`, "ecret"},
		{"GET", "keys/ann", "", 200, `"policy":` + policy, "ecret"},
		{"GET", "keys/bob", "", 404, auth.CodeNoSuchEntity, "ecret"},
		{"PUT", "keys/ann", `{"enabled":false}`, 200, `"enabled":false`, "ecret"},
		{"PUT", "keys/ann", `{}`, 400, alcove.CodeInvalidRequestContent, "ecret"},
		{"PUT", "keys/bob", `{"enabled":true}`, 404, auth.CodeNoSuchEntity, "ecret"},
		{"DELETE", "keys/ann", "", 200, `"name":"ann"`, "ecret"},
		{"DELETE", "keys/ann", "", 404, auth.CodeNoSuchEntity, "ecret"},
		{"GET", "audit?action=DeleteKey", "", 200, `"resource":"arn:aws:alcove:us-east-1:000000000000:key/ann"`, "CreateKey"},
		{"GET", "audit?limit=1", "", 200, `"action":"alcove:GetAudit"`, "CreateKey"},
		{"GET", "audit?limit=0", "", 400, "limit has to be", "\x00"},
		{"GET", "audit?since=yesterday", "", 400, "since is no RFC 3339 time", "\x00"},
		{"GET", "audit?tenant=%20", "", 400, alcove.CodeValidation, "\x00"},
	} {
		status, body := ask(h, c.method, c.path, c.body, "")
		if status != c.status || !strings.Contains(body, c.want) || strings.Contains(body, c.not) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, status, body)
		}
	}
}
