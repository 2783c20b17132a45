package console

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/alcove-run/alcove/test/testnode"
)

// TestConsole goes the way of somebody who never saw it: signs in, makes a
// function by typing it, invokes it for two tenants, sees them on the floor, in the
// lists and in the logs, changes code and settings, publishes, and deletes it.
func TestConsole(t *testing.T) {
	n := start(t)
	b := browse(t, n)
	b.open("functions?x=1")
	b.sees("main", "Sign in")
	b.do(chromedp.SendKeys("#key", "AKIAWRONGWRONGWRONG1"), chromedp.SendKeys("#secret", "no"), chromedp.Click("main button.primary"))
	b.sees("main", "does not accept this key")
	b.Errors() // the browser reports the 403
	b.do(b.set("#key", n.Key.AccessKeyID), b.set("#secret", n.Key.SecretAccessKey), chromedp.Click("main button.primary"))
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
		b.sees("#result .timing", "handler")
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
	n.Run(t, "hello", "violet", `{"x":1}`)
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
	b.sees("main [aria-label=Environments]", "hello")
	b.sees("main .charts", "hello: Invocations")

	b.open("metrics?function=hello&tenant=green")
	b.sees("main .chart", "Invocations")
	b.sees("main .charts", "First calls wait")
	b.open("metrics")
	b.sees("main .charts", "Duration")
	b.sees("main .charts", "New tenants wait")
	b.shows("metrics", "main .charts", "Environments by state") // counted every few seconds
	for _, column := range []string{"p99", "throttles", "tenant"} {
		b.open("tenants?function=hello&sort=" + column)
		b.sees("main [aria-sort]", strings.ToUpper(column[:1])[1:]+column[1:])
		b.sees("main table", " ms") // of the p99
	}

	b.open("usage")
	b.sees("main table", "green")
	b.sees("main table", "violet")
	b.open("usage?by=function")
	b.sees("main table", "hello")

	// What is wrong in a form is said above it, and nothing typed is lost.
	for path, field := range map[string]string{"usage?from=never&tenant=green": "#tenant", "logs?function=hello&since=never&tenant=green": "#tenant", "egress?to=nowhere.example:1&tenant=green": "#tenant"} {
		b.open(path)
		b.sees(".problem", "")
		var kept string
		b.do(chromedp.Value(field, &kept))
		if kept != "green" || b.text(".problem") == "" {
			t.Errorf("%s: the form has %q, and above it is %q", path, kept, b.text(".problem"))
		}
	}
	b.Errors() // the browser reports the 400s

	if _, errs, err := n.Alcove(t, "egress", "--tenant", "green", "--allow", "tcp://api.example.com:443"); err != nil {
		t.Fatalf("%v %s", err, errs)
	}
	n.MakeKey(t, "reader", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:Get*","Resource":"*"}]}`)
	b.open("egress?function=hello&tenant=green&to=elsewhere.example:443")
	b.sees("main table", "tcp://api.example.com:443")
	b.sees("main .problem", "It may not reach")
	// A policy is set by form; what is wrong in it is said, and stays in the form.
	b.open("egress?edit=tenant&tenant=green")
	b.do(b.set("#allow", "tcp://:99999"), chromedp.Click("#policy button.primary"))
	b.sees(".problem", "not valid")
	b.do(b.set("#allow", "tcp://other.example.com:8443\n*.example.net"), chromedp.Click("#policy button.primary"))
	b.sees(".done", "The policy is changed")
	b.sees("main table", "tcp://other.example.com:8443")
	b.open("egress?edit=tenant&tenant=green")
	b.do(b.set("#mode", ""), chromedp.Click("#policy button.primary"))
	b.sees(".done", "The policy is changed")
	if s := b.text("main table"); strings.Contains(s, "other.example.com") {
		t.Errorf("the policy is there still: %s", s)
	}
	b.Errors() // the browser reports the 400
	b.open("access?name=reader")
	b.sees("main table", "reader")
	b.sees("main .card pre", "lambda:Get*")
	b.open("access/audit?action=alcove:CreateKey")
	b.sees("main table", "key/")

	b.open("logs?function=hello&tenant=green")
	b.sees("#lines", "seen for green")
	if s := b.text("#lines"); strings.Contains(s, "seen for blue") {
		t.Errorf("blue's records among green's: %s", s)
	}
	b.do(chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Live")
	n.Run(t, "hello", "blue", `{"x":"hidden"}`)
	n.Run(t, "hello", "green", `{"x":"while followed"}`)
	b.sees("#lines", "seen while followed")
	if s := b.text("#lines"); strings.Contains(s, "hidden") {
		t.Errorf("blue's records among green's: %s", s)
	}

	// An event whose function is gone from reserved concurrency waits in the queue.
	if _, err := n.Lambda.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("hello"), ReservedConcurrentExecutions: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("hello"), TenantId: aws.String("violet"), InvocationType: "Event", Payload: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	b.open("functions/hello/queue")
	b.sees("h1", "hello")
	if _, err := n.Lambda.DeleteFunctionConcurrency(t.Context(), &lambda.DeleteFunctionConcurrencyInput{FunctionName: aws.String("hello")}); err != nil {
		t.Fatal(err)
	}

	b.open("tenant?tenant=violet")
	b.do(chromedp.Click("details.danger summary"), chromedp.SendKeys("#confirm", "violet"), chromedp.Click("button.danger"))
	b.sees(".done", "off this node")
	for _, e := range n.Environments(t, "hello") {
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
	got, err := n.Lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("hello")})
	if err != nil || *got.MemorySize != 256 || got.Environment.Variables["GREETING"] != "hello = world" || got.Environment.Variables["BB"] != "2" {
		t.Errorf("the configuration is %+v %v", got, err)
	}
	b.open("functions/hello/versions")
	b.do(chromedp.SendKeys("#vdesc", "the first"), chromedp.Click("form[data-busy^=Publishing] button"))
	b.sees("main table", "the first")
	b.do(chromedp.SendKeys("#alias", "live"), b.set("#version", "1"), chromedp.Click(`form[action$="aliases"] button`))
	b.sees(".done", "alias is saved")
	// An alias shares its calls out between two versions, whose code differs.
	b.open("functions/hello/code")
	b.do(b.set("#text", "def handler(event, context):\n    return 'third'\n"), chromedp.Click("form[data-dirty] button.primary"))
	b.sees(".done", "deployed")
	b.do(chromedp.WaitNotPresent("[data-pending]"))
	b.open("functions/hello/versions")
	b.do(chromedp.SendKeys("#vdesc", "the second"), chromedp.Click("form[data-busy^=Publishing] button"))
	b.sees(".done", "published")
	b.do(chromedp.Click(`a[href*="alias=live"]`), chromedp.WaitVisible("#alias-form [value=delete]"), b.set("#second", "2"), b.set("#share", "120"), chromedp.Click("#alias-form button"))
	b.sees(".problem", "from 0 to 100")
	b.Errors() // the browser reports the 400
	b.do(b.set("#share", "40"), chromedp.Click("#alias-form button"))
	b.sees(".done", "alias is saved")
	b.sees("main [aria-label=Aliases]", "40 % to 2")
	routed := map[string]bool{} // a hundred times one of them alone: less than once in 10²²
	for i := 0; i < 100 && len(routed) < 2; i++ {
		routed[n.Run(t, "hello:live", "blue", "{}")] = true
	}
	if !routed[`"second"`] || !routed[`"third"`] {
		t.Errorf("with 40 %% to the second version the answers are %v", routed)
	}
	b.do(chromedp.Click(`a[href*="alias=live"]`), chromedp.WaitVisible("#alias-form [value=delete]"))
	if second, share := b.value("#second"), b.value("#share"); second != "2" || share != "40" {
		t.Errorf("the form has %q at %q %%", second, share)
	}
	b.do(b.set("#second", ""), b.set("#share", ""), chromedp.Click("#alias-form button"))
	b.sees(".done", "alias is saved")
	for range 10 {
		if got := n.Run(t, "hello:live", "blue", "{}"); got != `"second"` {
			t.Errorf("without a second version the alias leads to %s", got)
		}
	}
	b.open("functions/hello?tenant=blue")
	b.do(chromedp.SendKeys("#qualifier", "live"), chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result", `"second"`)
	b.sees("#result .times .began", "warm") // how it began, in the bar
	b.open("functions/hello/configuration")
	b.do(chromedp.SendKeys("#reserved", "7"), chromedp.Click(`form[action$="concurrency"] button`))
	b.sees(".done", "reserved concurrency")
	if c, err := n.Lambda.GetFunctionConcurrency(t.Context(), &lambda.GetFunctionConcurrencyInput{FunctionName: aws.String("hello")}); err != nil || aws.ToInt32(c.ReservedConcurrentExecutions) != 7 {
		t.Errorf("the reserved concurrency is %v %v", c, err)
	}

	b.open("functions/hello/configuration")
	b.do(chromedp.Click("details.danger summary"), chromedp.SendKeys("#confirm", "hello"), chromedp.Click("button.danger"))
	b.sees(".done", "deleted")
	b.do(chromedp.Click(".who button"))
	b.sees("main", "Sign in")
	b.open("functions")
	b.sees("main", "Sign in")
}

// TestConsoleByKeyboard goes a whole way without a mouse: signs in, makes an isolated
// function, tests it for a tenant, finds the tenant's tile, and purges the tenant.
func TestConsoleByKeyboard(t *testing.T) {
	t.Parallel()
	n := start(t)
	b := browse(t, n)
	press := func(keys ...string) {
		t.Helper()
		for _, k := range keys {
			b.do(chromedp.KeyEvent(k))
		}
	}
	b.open("functions/new")
	b.do(chromedp.WaitVisible("#key"))
	b.tabTo("#key")
	press(n.Key.AccessKeyID, kb.Tab, n.Key.SecretAccessKey, kb.Enter)
	b.sees("h1", "Create function")

	b.tabTo("#name")
	press("keyed")
	b.tabTo("#code")
	// Tab stays in the editor until Escape.
	press("x", kb.Tab)
	var at string
	b.do(chromedp.Evaluate("document.activeElement.id", &at))
	if at != "code" {
		t.Errorf("Tab left the editor for %q", at)
	}
	b.do(chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)))
	press("def handler(e, c): return 'by ' + c.tenant_id", kb.Escape)
	b.tabTo("form.stack button.primary")
	press(kb.Enter)
	b.sees("h1", "keyed")
	b.sees("main", "isolated per tenant")
	b.do(chromedp.WaitNotPresent("[data-pending]"))

	b.tabTo("#tenant")
	press("keys", kb.Enter)
	b.sees("#result", "by keys")
	b.tabTo(`nav.tabs a[href*="floor"]`)
	press(kb.Enter)
	b.sees("#floor", "keys")
	b.tabTo("button.tile")
	// Arrows go through the tiles; Enter shows one; Escape comes back to it.
	for range 40 {
		b.do(chromedp.Evaluate("document.activeElement.getAttribute('aria-label') ?? ''", &at))
		if strings.HasPrefix(at, "tenant keys,") {
			break
		}
		press(kb.ArrowRight)
	}
	press(kb.Enter)
	b.sees("#detail h2", "keys")
	press(kb.Escape)
	b.do(chromedp.WaitNotVisible("#detail"))
	b.do(chromedp.Evaluate("document.activeElement.getAttribute('aria-label') ?? ''", &at))
	if !strings.HasPrefix(at, "tenant keys,") {
		t.Errorf("after Escape the focus is on %q", at)
	}
	press(kb.Enter)
	b.tabTo(`#detail a[href*="tenant?"]`)
	press(kb.Enter)
	b.sees("h1", "keys")
	b.tabTo("details.danger summary")
	press(kb.Enter)
	b.tabTo("#confirm")
	press("keys")
	b.tabTo("button.danger")
	press(kb.Enter)
	b.sees(".done", "off this node")
	for _, e := range n.Environments(t, "keyed") {
		if e.Tenant == "keys" {
			t.Errorf("after the purge there is %+v", e)
		}
	}
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
	n := start(t)
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": hostileLines}, testnode.Isolated)
	for _, tenant := range hostileTenants {
		n.Run(t, f, tenant, "{}")
	}
	if _, errs, err := n.Alcove(t, "egress", "--tenant", hostileTenants[0], "--mode", "none"); err != nil {
		t.Fatalf("%v %s", err, errs)
	}
	n.MakeKey(t, "hostile", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:Get*","Resource":"*","Condition":{"StringEquals":{"aws:userid":"<script>window.pwned=4</script>"}}}]}`)
	script := axe(t)
	b := browse(t, n)
	b.open("")
	b.do(chromedp.WaitVisible("#key"))
	pages := []string{"signin", "floor", "functions", "functions/new", "functions/" + f, "functions/" + f + "/code", "functions/" + f + "/configuration",
		"functions/" + f + "/versions", "functions/" + f + "/queue", "tenants", "tenant?tenant=" + hostileTenants[0], "tenant?tenant=a%20b%20c", "logs?function=" + f,
		"metrics", "metrics?function=" + f, "metrics?function=" + f + "&tenant=a%20b%20c", "tenants?function=" + f,
		"egress", "egress?edit=node", "egress?function=" + f + "&tenant=a%20b%20c&to=example.com:443", "access/keys", "access/keys?name=hostile", "access/roles", "access/audit", "usage", "usage?by=day&from=2026-01-01&to=2026-01-02", "nowhere"}
	for i, path := range pages {
		if i == 1 {
			b.signIn(n.Key.AccessKeyID, n.Key.SecretAccessKey)
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
			// What the dark theme changes is colours.
			rules := ""
			if theme == "dark" {
				rules = ", {runOnly: ['color-contrast']}"
			}
			b.do(chromedp.Evaluate(script+";undefined", nil), chromedp.Evaluate(`axe.run(document`+rules+`).then(r => JSON.stringify(r.violations.map(v => [v.id, v.impact, v.help, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))])))`,
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
