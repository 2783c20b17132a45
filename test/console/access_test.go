package console

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/test/testnode"
)

// talks writes to its log.
const talks = `
import logging
logging.getLogger().setLevel(logging.INFO)
def handler(event, context):
    logging.info('hello from %s', context.tenant_id)
    print('printed by %s' % context.tenant_id)
`

// TestConsoleShowsNoMoreThanTheKeyMay signs in with a key that is bound to one
// tenant.
func TestConsoleShowsNoMoreThanTheKeyMay(t *testing.T) {
	t.Parallel()
	n := start(t)
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": talks}, testnode.Isolated, testnode.JSONLog)
	for _, tenant := range []string{"blue", "green"} {
		n.Run(t, f, tenant, "{}")
	}
	key := n.MakeKey(t, "blue", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":["alcove:*","lambda:GetFunction","lambda:GetFunctionConfiguration"],"Resource":"*"}]}`)
	b := browse(t, n)
	b.signIn(key.AccessKeyID, key.SecretAccessKey)
	b.open("floor")
	b.sees("#floor", "blue")
	b.open("tenants")
	b.sees("main table", "blue")
	for _, path := range []string{"floor", "tenants", "tenant?tenant=green", "logs?function=" + f, "logs?function=" + f + "&tenant=green", "usage", "usage?by=function&tenant=green"} {
		b.open(path)
		if path == "floor" {
			b.do(chromedp.WaitVisible("#floor .tile"))
		}
		if s := b.text("table, #floor, #lines"); strings.Contains(s, "green") {
			t.Errorf("%s shows green: %s", path, s)
		}
	}
	b.Errors()
	for _, path := range []string{"functions", "access/keys", "access/roles", "access/audit"} {
		b.open(path)
		b.sees(".problem", "Your key may not do this")
	}
	b.open("egress")
	b.sees("main", "Your key may not see the policies")
	b.open("tenants?sort=p99")
	b.sees("main table", "blue")
	b.open("functions/" + f)
	b.do(b.set("#tenant", "green"), chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result", "is not authorized to perform: lambda:InvokeFunction")
	b.do(b.set("#tenant", "blue"), chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result .timing", "handler")
	b.Errors()
	// A key that is taken away ends what it follows, and asks for another.
	b.open("floor")
	b.sees("#floor", "blue")
	if _, errs, err := n.Alcove(t, "keys", "delete", "blue"); err != nil {
		t.Fatalf("%v %s", err, errs)
	}
	b.sees("[data-live]", "Your key is not accepted any more")
}

// TestConsoleWithoutSignIn holds what stands between an open node and pages of
// other sites, and that a page weighs little.
func TestConsoleWithoutSignIn(t *testing.T) {
	n := start(t, "--auth", "none")
	b := browse(t, n)
	b.open("")
	b.sees("h1", "Floor")
	b.sees("#floor-empty", "Nobody is here yet")
	var size float64
	b.do(chromedp.Evaluate(`performance.getEntries().reduce((sum, e) => sum + (e.decodedBodySize ?? 0), 0)`, &size))
	if size == 0 || size > 100<<10 {
		t.Errorf("the first page is %v bytes, want at most 100 KB", size)
	}

	ask := func(method, path string, change func(*http.Request)) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, n.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	for what, r := range map[string]*http.Response{
		"a name that was pointed here": ask("GET", "/console/floor", func(r *http.Request) { r.Host = "evil.example" }),
		"a form of another origin":     ask("POST", "/console/functions/x/delete", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }),
		"a form of another site":       ask("POST", "/console/functions/x/delete", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }),
		"a form without its token":     ask("POST", "/console/functions/x/delete", func(*http.Request) {}),
		"a stream for another site":    ask("GET", "/console/floor/events", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }),
	} {
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", what, r.Status)
		}
	}
	page := ask("GET", "/console/floor", func(*http.Request) {})
	for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'; script-src 'self'", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
		if got := page.Header.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	_, environments := n.Ask(t, n.Key, "/alcove/v1/environments")
	var list struct{ Environments []json.RawMessage }
	if err := json.Unmarshal(environments, &list); err != nil || len(list.Environments) != 0 {
		t.Errorf("%v %v", list, err)
	}
}
