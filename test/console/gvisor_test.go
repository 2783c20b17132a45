package console

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/test/testnode"
)

// TestConsoleOnGVisor goes the way that most go, on the driver that is not the one of the
// other tests: makes a function, tests it for two tenants, and finds them on the floor, in
// the log and in the list; deletes it.
func TestConsoleOnGVisor(t *testing.T) {
	t.Parallel()
	n := testnode.Start(t, program, t.TempDir(), "--isolation", "gvisor")
	b := browse(t, n)
	b.signIn(n.Key.AccessKeyID, n.Key.SecretAccessKey)
	b.open("functions/new")
	b.do(chromedp.SendKeys("#name", "hello"), chromedp.Click("form.stack button.primary")) // the sample, as it is
	b.sees("h1", "hello")
	b.do(chromedp.WaitNotPresent("[data-pending]"))
	for _, tenant := range []string{"blue", "green"} {
		b.do(b.set("#tenant", tenant), chromedp.Click("form[data-fragment] button.primary"))
		b.sees("#result", `"tenant": "`+tenant+`"`)
		b.sees("#result", `"count": 1`)
		b.sees("#result .log", "call 1 for "+tenant)
	}
	b.do(chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result", `"count": 2`)
	b.sees("#result .began", "warm")
	b.open("floor")
	b.sees("#floor", "blue")
	b.do(chromedp.Evaluate(`[...document.querySelectorAll('#floor .group')].find(g => g.title === 'green').querySelector('.tile').click()`, nil))
	b.sees("#detail", "gvisor")
	b.open("logs?function=hello&tenant=blue")
	b.sees("#lines", "call 1 for blue")
	b.open("tenants?search=gre")
	b.sees("main table", "green")
	b.open("functions/hello/configuration")
	b.do(chromedp.Click("details.danger summary"), chromedp.SendKeys("#confirm", "hello"), chromedp.Click("button.danger"))
	b.sees(".done", "deleted")
}
