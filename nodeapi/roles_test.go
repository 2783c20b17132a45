package nodeapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/catalog"
)

// fewRoles keeps roles for a test of the routes; the catalog's own tests keep them
// on disk.
type fewRoles struct {
	mu sync.Mutex
	by map[string]*catalog.Role
}

func (f *fewRoles) PutRole(_ context.Context, _ alcove.Caller, name, policy string) (*catalog.Role, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by = map[string]*catalog.Role{}
	}
	f.by[name] = &catalog.Role{Name: name, Policy: policy}
	return f.by[name], nil
}

func (f *fewRoles) Role(name string) (*catalog.Role, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.by[name]; r != nil {
		return r, nil
	}
	return nil, alcove.ClientError(auth.CodeNoSuchEntity, "The role with name %s cannot be found.", name)
}

func (f *fewRoles) Roles() (list []*catalog.Role) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.by {
		list = append(list, r)
	}
	return list
}

func (f *fewRoles) DeleteRole(_ context.Context, _ alcove.Caller, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.by, name)
	return nil
}

// TestRoles goes through the routes, and sends what is no role.
func TestRoles(t *testing.T) {
	c := (&oneFunction{f: alcove.Function{ID: "id", Name: "f"}}).config()
	c.Roles = &fewRoles{}
	h := New(c)
	const policy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	for _, step := range []struct {
		method, path, body string
		status             int
		has                string
	}{
		{"GET", "roles/r", "", 404, auth.CodeNoSuchEntity},
		{"PUT", "roles/r", `{"policy":` + policy + `}`, 200, "role/r"},
		{"PUT", "roles/s", `{"policy":` + string(mustJSON(t, policy)) + `}`, 200, "role/s"},
		{"GET", "roles/r", "", 200, `"Action":"*"`},
		{"GET", "roles", "", 200, `"name":"s"`},
		{"PUT", "roles/r", `{"policy":{"Version":"2012-10-17"}}`, 400, auth.CodeMalformedPolicy},
		{"PUT", "roles/r", `{"policies":{}}`, 400, alcove.CodeInvalidRequestContent},
		{"PUT", "roles/r", `[`, 400, alcove.CodeInvalidRequestContent},
		{"PUT", "roles/a%2Fb", `{"policy":` + policy + `}`, 400, alcove.CodeValidation},
		{"DELETE", "roles/r", "", 200, "role/r"},
		{"DELETE", "roles/r", "", 404, auth.CodeNoSuchEntity},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(step.method, Prefix+step.path, strings.NewReader(step.body))
		r.Header.Set("Authorization", "signed "+step.body)
		h.ServeHTTP(w, r)
		if w.Code != step.status || !strings.Contains(w.Body.String(), step.has) {
			t.Errorf("%s %s: %d %s, want %d %s", step.method, step.path, w.Code, w.Body, step.status, step.has)
		}
		if step.path == "roles" && step.method == http.MethodGet && strings.Contains(w.Body.String(), "Statement") {
			t.Errorf("a list has documents: %s", w.Body)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
