package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/test/testnode"
)

// floods writes ten thousand records a second, as long as it is asked to.
const floods = `
import sys, time
def handler(event, context):
    for i in range(0, event['records'], 100):
        sys.stdout.write(''.join('flood %d\n' % j for j in range(i, i + 100)))
        sys.stdout.flush()
        time.sleep(0.01)
`

// drawn watches how much a page of logs draws at once, and how many records it has.
const drawn = `
window.drawn = { most: 0, kept: 0, times: 0 };
new MutationObserver(changes => {
  const list = document.getElementById('lines');
  window.drawn.times++;
  window.drawn.most = Math.max(window.drawn.most, changes.reduce((n, c) => n + c.addedNodes.length, 0));
  window.drawn.kept = Math.max(window.drawn.kept, list.childElementCount);
}).observe(document.getElementById('lines'), { childList: true });
undefined`

// TestTheTailOfAFlood follows a function that writes faster than anybody reads, and than a
// browser draws. The page draws a bounded part of it, can be used meanwhile, and ends with
// the newest records, each once, and with the number of those that it does not show.
func TestTheTailOfAFlood(t *testing.T) {
	const records = 40_000
	n := start(t)
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": floods}, testnode.Isolated)
	n.Run(t, f, "blue", `{"records": 100}`)
	b := browse(t, n)
	b.signIn(n.Key.AccessKeyID, n.Key.SecretAccessKey)
	b.open("logs?function=" + f + "&tenant=blue&search=flood")
	b.do(chromedp.Evaluate(drawn, nil), chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Live")
	ended := make(chan error, 1)
	go func() {
		out, err := n.Lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f, TenantId: aws.String("blue"), Payload: fmt.Appendf(nil, `{"records": %d}`, records)})
		if err == nil && out.FunctionError != nil {
			err = fmt.Errorf("%s", out.Payload)
		}
		ended <- err
	}()
	last := func() (s string) {
		b.do(chromedp.Evaluate(`document.querySelector('#lines').lastElementChild?.querySelector('.text')?.textContent ?? ''`, &s))
		return s
	}
	testnode.Eventually(t, "the flood arrives", func() bool { return last() != "flood 99" })
	// Whoever stops it is heard, and goes on where it was.
	b.do(chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Stopped")
	b.do(chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Live")
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	testnode.Eventually(t, "the flood is over", func() bool { return last() == fmt.Sprint("flood ", records-1) })

	var got struct {
		Drawn struct{ Most, Kept, Times int }
		Texts []string
		Note  string
	}
	b.do(chromedp.Evaluate(`({ Drawn: window.drawn, Texts: [...document.querySelectorAll('#lines > li')].map(e => e.querySelector('.text')?.textContent ?? e.textContent), Note: document.querySelector('[data-left-out]').textContent })`, &got))
	t.Logf("drawn: %+v", got.Drawn)
	if got.Drawn.Most > 201 || got.Drawn.Kept > 2201 {
		t.Errorf("drawn at once: %d; on the page: %d", got.Drawn.Most, got.Drawn.Kept)
	}
	if len(got.Texts) != 2000 {
		t.Errorf("the page has %d records", len(got.Texts))
	}
	for i, text := range got.Texts {
		if want := fmt.Sprint("flood ", records-len(got.Texts)+i); text != want {
			t.Fatalf("record %d of the page is %q, want %q", i, text, want)
		}
	}
	// All others are counted: those of both calls.
	if want := "38\u202f100 older records are not shown: this page keeps the newest 2\u202f000; search shows all."; got.Note != want {
		t.Errorf("the note is %q, want %q", got.Note, want)
	}
	b.do(chromedp.Click("[data-left-out] a"))
	b.sees("#lines", "flood 0")
	if s := b.value("#search"); s != "flood" {
		t.Errorf("the search is for %q", s)
	}
	if first, _, _ := strings.Cut(b.lines(), " flood 2"); first != "flood 0 flood 1" {
		t.Errorf("the search begins with %q", first)
	}
	b.sees("main .pages", "More records")
}
