package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/alcove-run/alcove/test/browser"
)

// tab is a page of a real browser that looks at a node's console.
type tab struct {
	*browser.Page
	t *testing.T
	n *node
}

// browse opens a browser. When the test ends, no page may have complained, and none
// may have asked for anything but the node.
func (n *node) browse(t *testing.T) *tab {
	t.Helper()
	page, end, err := browser.Open(t.Context(), 1280, 900)
	if err != nil {
		t.Fatal(err)
	}
	b := &tab{page, t, n}
	t.Cleanup(func() {
		for _, e := range page.Errors() {
			t.Errorf("the page complains: %s", e)
		}
		for _, r := range page.Requests() {
			// The browser draws its own inputs of dates with data: addresses.
			if !strings.HasPrefix(r, n.url+"/console") && !strings.HasPrefix(r, "data:image/svg+xml") {
				t.Errorf("the page asked for %s", r)
			}
		}
		end()
	})
	return b
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := b.Run(actions...); err != nil {
		var png []byte
		if b.Run(chromedp.CaptureScreenshot(&png)) == nil && os.Getenv("ALCOVE_SHOT") != "" {
			_ = os.WriteFile(os.Getenv("ALCOVE_SHOT"), png, 0o600)
		}
		b.t.Fatalf("%v\non the page: %s", err, tail(b.text("body"), 1500))
	}
}

func (b *tab) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.n.url + "/console/" + path)) }

// text is what a reader sees of an element.
func (b *tab) text(selector string) string {
	var s string
	if err := b.Run(chromedp.Evaluate(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector), &s)); err != nil {
		return err.Error()
	}
	return s
}

// sees waits until an element holds a text, whatever pages come and go meanwhile.
func (b *tab) sees(selector, text string) {
	b.t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(b.text(selector), text); {
		if time.Now().After(end) {
			b.t.Fatalf("%s never has %q; the page has: %s", selector, text, tail(b.text("main"), 1500))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *tab) signIn(id, secret string) {
	b.t.Helper()
	b.open("")
	b.do(chromedp.WaitVisible("#key"), chromedp.SendKeys("#key", id), chromedp.SendKeys("#secret", secret), chromedp.Click("main button.primary"),
		chromedp.WaitVisible(".rail nav"))
}

func (b *tab) set(selector, value string) chromedp.Action {
	return chromedp.Evaluate(fmt.Sprintf(`{const e=document.querySelector(%q); e.value=%q; e.dispatchEvent(new Event('input',{bubbles:true})); e.dispatchEvent(new Event('change',{bubbles:true}));}`, selector, value), nil)
}

// TestConsole goes the way of somebody who never saw it: signs in, makes a
// function by typing it, invokes it for two tenants, sees them on the floor, in the
// lists and in the logs, changes code and settings, publishes, and deletes it.
func TestConsole(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	b := n.browse(t)
	b.open("functions?x=1")
	b.sees("main", "Sign in")
	b.do(chromedp.SendKeys("#key", "AKIAWRONGWRONGWRONG1"), chromedp.SendKeys("#secret", "no"), chromedp.Click("main button.primary"))
	b.sees("main", "does not accept this key")
	b.Errors() // the browser reports the 403
	b.do(b.set("#key", n.key.AccessKeyID), b.set("#secret", n.key.SecretAccessKey), chromedp.Click("main button.primary"))
	b.sees("main", "No functions yet") // where it wanted to go

	b.do(chromedp.Click(".head .button"), chromedp.WaitVisible("#name"), chromedp.SendKeys("#name", "hello"),
		b.set("#code", "def handler(event, context):\n    print('seen', event['x'])\n    return {'tenant': context.tenant_id, 'x': event['x']}\n"),
		chromedp.Click("form.stack button.primary"))
	b.sees("h1", "hello")
	b.sees("main", "isolated per tenant")
	b.do(chromedp.WaitNotPresent("[data-pending]"))

	for _, tenant := range []string{"blue", "green"} {
		b.do(b.set("#tenant", tenant), b.set("#payload", `{"x": "for `+tenant+`"}`), chromedp.Click("form[data-fragment] button.primary"))
		b.sees("#result", `"x": "for `+tenant+`"`)
		b.sees("#result", `"tenant": "`+tenant+`"`)
		b.sees("#result .log", "seen for "+tenant)
		b.sees("#result .timing", "Handler")
	}
	b.do(b.set("#payload", `{`), chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result", "Could not parse request body into json")
	b.Errors() // the browser reports the 400

	// An event is saved in the browser, and there after a reload.
	b.do(b.set("#payload", `{"x": "saved"}`), b.set("#event-name", "mine"), chromedp.Click("[data-save]"), chromedp.Reload(), chromedp.WaitVisible("#saved"),
		b.set("#saved", "mine"))
	var payload string
	b.do(chromedp.Value("#payload", &payload))
	if payload != `{"x": "saved"}` {
		t.Errorf("the saved event is %q", payload)
	}

	b.open("floor")
	b.sees("#floor", "blue")
	b.sees("#floor", "green")
	// A tile follows what its environment does, without a reload.
	n.run(t, "hello", call{tenant: "violet", payload: `{"x":1}`}, nil)
	b.sees("#floor", "violet")
	b.do(chromedp.Evaluate(`[...document.querySelectorAll('#floor .group')].find(g => g.title === 'violet').querySelector('.tile').click()`, nil))
	b.sees("#detail", "hello, version $LATEST")
	b.do(chromedp.Evaluate(`[...document.querySelectorAll('#detail a')].find(a => a.textContent === 'Its log stream').click()`, nil), chromedp.WaitVisible("#lines"))
	b.sees("#lines", "seen 1")
	if s := b.text("#lines"); strings.Contains(s, "seen for blue") {
		t.Errorf("another environment's records: %s", s)
	}

	b.open("tenants?search=e&sort=tenant")
	b.sees("main table", "green")
	b.do(chromedp.Click(`//a[.="green"]`, chromedp.BySearch), chromedp.WaitVisible(".numbers"))
	b.sees("main table", "hello")

	b.open("metrics?function=hello&tenant=green")
	b.sees("main .chart", "Invocations")
	b.open("metrics")
	b.sees("main .charts", "Duration")
	b.open("tenants?function=hello")
	b.sees("main table", "p99")

	b.open("usage")
	b.sees("main table", "green")
	b.sees("main table", "violet")
	b.open("usage?by=function")
	b.sees("main table", "hello")

	b.open("logs?function=hello&tenant=green")
	b.sees("#lines", "seen for green")
	if s := b.text("#lines"); strings.Contains(s, "seen for blue") {
		t.Errorf("blue's records among green's: %s", s)
	}
	b.do(chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Live")
	n.run(t, "hello", call{tenant: "blue", payload: `{"x":"hidden"}`}, nil)
	n.run(t, "hello", call{tenant: "green", payload: `{"x":"while followed"}`}, nil)
	b.sees("#lines", "seen while followed")
	if s := b.text("#lines"); strings.Contains(s, "hidden") {
		t.Errorf("blue's records among green's: %s", s)
	}

	// An event whose function is gone from reserved concurrency waits in the queue.
	if _, err := n.lambda.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("hello"), ReservedConcurrentExecutions: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("hello"), TenantId: aws.String("violet"), InvocationType: "Event", Payload: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	b.open("functions/hello/queue")
	b.sees("h1", "hello")
	if _, err := n.lambda.DeleteFunctionConcurrency(t.Context(), &lambda.DeleteFunctionConcurrencyInput{FunctionName: aws.String("hello")}); err != nil {
		t.Fatal(err)
	}

	b.open("tenant?tenant=violet")
	b.do(chromedp.Click("details.danger summary"), chromedp.SendKeys("#confirm", "violet"), chromedp.Click("button.danger"))
	b.sees(".done", "off this node")
	for _, e := range n.all(t, "hello") {
		if e.Tenant == "violet" {
			t.Errorf("after the purge there is %+v", e)
		}
	}

	b.open("functions/hello/code")
	b.do(b.set("#text", "def handler(event, context):\n    return 'second'\n"), chromedp.Click("form[data-dirty] button.primary"))
	b.sees(".done", "deployed")
	b.do(chromedp.WaitNotPresent("[data-pending]"))
	b.open("functions/hello/configuration")
	b.do(b.set("#memory", "100"), chromedp.Evaluate(`document.querySelector('form[data-dirty]').noValidate = true`, nil), chromedp.Click("form[data-dirty] button.primary"))
	b.sees(".problem", "greater than or equal to 128")
	b.Errors() // the browser reports the 400
	b.do(b.set("#memory", "256"), b.set("#env", "GREETING=hello = world\nBB=2"), chromedp.Click("form[data-dirty] button.primary"))
	b.sees(".done", "saved")
	b.do(chromedp.WaitNotPresent("[data-pending]"))
	got, err := n.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("hello")})
	if err != nil || *got.MemorySize != 256 || got.Environment.Variables["GREETING"] != "hello = world" || got.Environment.Variables["BB"] != "2" {
		t.Errorf("the configuration is %+v %v", got, err)
	}
	b.open("functions/hello/versions")
	b.do(chromedp.SendKeys("#vdesc", "the first"), chromedp.Click("form[data-busy^=Publishing] button"))
	b.sees("main table", "the first")
	b.do(chromedp.SendKeys("#alias", "live"), b.set("#version", "1"), chromedp.Click(`form[action$="aliases"] button`))
	b.sees("main", "live")
	out, err := n.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("hello:live"), TenantId: aws.String("blue"), Payload: []byte("{}")})
	if err != nil || string(out.Payload) != `"second"` {
		t.Errorf("by the alias: %s %v", out.Payload, err)
	}

	b.open("functions/hello/configuration")
	b.do(chromedp.Click("details.danger summary"), chromedp.SendKeys("#confirm", "hello"), chromedp.Click("button.danger"))
	b.sees(".done", "deleted")
	b.do(chromedp.Click(".who button"))
	b.sees("main", "Sign in")
	b.open("functions")
	b.sees("main", "Sign in")
}

// TestConsoleByKeyboard signs in, finds a function and invokes it without a mouse.
func TestConsoleByKeyboard(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": "def handler(e, c):\n    return 'by ' + c.tenant_id\n"}, isolated)
	n.run(t, f, call{tenant: "first"}, nil)
	b := n.browse(t)
	b.open("functions/" + f)
	b.do(chromedp.WaitVisible("#key"))
	// tabTo presses Tab until what has the focus matches.
	tabTo := func(selector string) {
		t.Helper()
		for range 60 {
			var is bool
			b.do(chromedp.Evaluate(fmt.Sprintf("document.activeElement?.matches(%q) ?? false", selector), &is))
			if is {
				return
			}
			b.do(chromedp.KeyEvent(kb.Tab))
		}
		t.Fatalf("Tab never comes to %s", selector)
	}
	tabTo("#key")
	b.do(chromedp.KeyEvent(n.key.AccessKeyID), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(n.key.SecretAccessKey), chromedp.KeyEvent(kb.Enter))
	b.sees("h1", f)
	tabTo("#tenant")
	b.do(chromedp.KeyEvent("keys"), chromedp.KeyEvent(kb.Enter))
	b.sees("#result", "by keys")
	tabTo(`nav.tabs a[href*="floor"]`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.sees("#floor", "keys")
	tabTo("button.tile")
	// Arrows go through the tiles; Enter shows one; Escape comes back to it.
	for range 40 {
		var at string
		b.do(chromedp.Evaluate("document.activeElement.getAttribute('aria-label') ?? ''", &at))
		if strings.HasPrefix(at, "tenant keys,") {
			break
		}
		b.do(chromedp.KeyEvent(kb.ArrowRight))
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.sees("#detail h2", "keys")
	b.do(chromedp.KeyEvent(kb.Escape), chromedp.WaitNotVisible("#detail"))
	var label string
	b.do(chromedp.Evaluate("document.activeElement.getAttribute('aria-label') ?? ''", &label))
	if !strings.HasPrefix(label, "tenant keys,") {
		t.Errorf("after Escape the focus is on %q", label)
	}
}

// axe is the library that looks for what keeps people out of a page.
func axe(t *testing.T) string {
	t.Helper()
	const file = "testdata/js/node_modules/axe-core/axe.min.js"
	if _, err := os.Stat(file); err != nil {
		npm := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
		npm.Dir = "testdata/js"
		if out, err := npm.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	script, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// hostileTenants are ids that AWS's pattern allows and a page could stumble over.
var hostileTenants = []string{strings.Repeat("w", 256), "../../etc/passwd", "a b c", "+1-2=3@x", "javascript:alert"}

// hostileLines are what a function could write to be taken for more than text.
const hostileLines = `
import json
LINES = ["<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>", "</pre></li><h1>pwned</h1>", "\u202eabc right to left \u05d0\u05d1",
         "emoji \U0001F600\U0001F468\u200d\U0001F469\u200d\U0001F467", "\x1b[31mred\x1b[0m", "x" * 5000,
         json.dumps({"level": "ERROR", "message": "<script>window.pwned=2</script>", "tenantId": "blue\" onclick=\"pwned"})]
def handler(event, context):
    for line in LINES:
        print(line)
    return "<script>window.pwned=3</script>"
`

// TestConsolePagesAreForEverybody looks at each page in both themes with axe, and
// shows on them what hostile tenants have: all of it has to be text.
func TestConsolePagesAreForEverybody(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": hostileLines}, isolated)
	for _, tenant := range hostileTenants {
		n.run(t, f, call{tenant: tenant}, nil)
	}
	script := axe(t)
	b := n.browse(t)
	b.open("")
	b.do(chromedp.WaitVisible("#key"))
	pages := []string{"signin", "floor", "functions", "functions/new", "functions/" + f, "functions/" + f + "/code", "functions/" + f + "/configuration",
		"functions/" + f + "/versions", "functions/" + f + "/queue", "tenants", "tenant?tenant=" + hostileTenants[0], "tenant?tenant=a%20b%20c", "logs?function=" + f,
		"metrics", "metrics?function=" + f, "tenants?function=" + f, "usage", "usage?by=day&from=2026-01-01&to=2026-01-02", "nowhere"}
	for i, path := range pages {
		if i == 1 {
			b.signIn(n.key.AccessKeyID, n.key.SecretAccessKey)
		}
		for _, theme := range []string{"light", "dark"} {
			b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}))
			b.open(path)
			b.do(chromedp.WaitReady("main"))
			if path == "floor" {
				b.do(chromedp.WaitVisible("#floor .tile"))
			}
			if path == "functions/"+f {
				b.do(b.set("#tenant", "a b c"), chromedp.Click("form[data-fragment] button.primary"))
				b.sees("#result", "<script>window.pwned=3</script>")
			}
			var found string
			b.do(chromedp.Evaluate(script+";undefined", nil), chromedp.Evaluate(`axe.run().then(r => JSON.stringify(r.violations.map(v => [v.id, v.impact, v.help, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))])))`,
				&found, chromedp.EvalAsValue, awaitPromise))
			if found != "[]" {
				t.Errorf("%s, %s: %s", path, theme, found)
			}
			var pwned bool
			b.do(chromedp.Evaluate(`window.pwned !== undefined || [...document.querySelectorAll('h1')].some(h => h.textContent === 'pwned')`, &pwned))
			if pwned {
				t.Errorf("%s ran or showed a tenant's markup", path)
			}
		}
	}
	b.Errors() // the browser reports the 404 of nowhere
	b.open("logs?function=" + f)
	for _, text := range []string{"<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>", "אב", "😀"} {
		b.sees("#lines", text)
	}
	b.open("tenants")
	b.sees("main table", strings.Repeat("w", 256))

	// A page on a phone is no wider than the phone.
	b.do(chromedp.EmulateViewport(390, 844))
	for _, path := range pages[1:] {
		b.open(path)
		var over float64
		b.do(chromedp.WaitReady("main"), chromedp.Evaluate(`document.documentElement.scrollWidth - innerWidth`, &over))
		if over > 0 {
			t.Errorf("%s is %v pixels too wide for a phone", path, over)
		}
	}
	b.Errors()
}

// TestConsoleShowsNoMoreThanTheKeyMay signs in with a key that is bound to one
// tenant.
func TestConsoleShowsNoMoreThanTheKeyMay(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": talks}, isolated, jsonLog)
	for _, tenant := range []string{"blue", "green"} {
		n.run(t, f, call{tenant: tenant}, nil)
	}
	key := n.makeKey(t, "blue", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":["alcove:*","lambda:GetFunction","lambda:GetFunctionConfiguration"],"Resource":"*"}]}`)
	b := n.browse(t)
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
	b.open("functions")
	b.sees(".problem", "Your key may not do this")
	b.open("functions/" + f)
	b.do(b.set("#tenant", "green"), chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result", "is not authorized to perform: lambda:InvokeFunction")
	b.do(b.set("#tenant", "blue"), chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result .timing", "Handler")
	b.Errors()
	// A key that is taken away ends what it follows, and asks for another.
	b.open("floor")
	b.sees("#floor", "blue")
	if _, errs, err := n.alcove(t, "keys", "delete", "blue"); err != nil {
		t.Fatalf("%v %s", err, errs)
	}
	b.sees("[data-live]", "Your key is not accepted any more")
}

// TestConsoleWithoutSignIn holds what stands between an open node and pages of
// other sites, and that a page weighs little.
func TestConsoleWithoutSignIn(t *testing.T) {
	n := start(t, "--isolation", "namespace", "--auth", "none")
	b := n.browse(t)
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
		r, err := http.NewRequestWithContext(t.Context(), method, n.url+path, nil)
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
	var list struct{ Environments []json.RawMessage }
	if err := json.Unmarshal(n.get(t, "/alcove/v1/environments"), &list); err != nil || len(list.Environments) != 0 {
		t.Errorf("%v %v", list, err)
	}
}

func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
