package nodeapi

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/audit"
	"github.com/alcove-run/alcove/auth"
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
