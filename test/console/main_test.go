package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/alcove-run/alcove/test/browser"
	"github.com/alcove-run/alcove/test/testnode"
)

// program is the alcove that is tested.
var program string

func TestMain(m *testing.M) { os.Exit(main(m)) }

func main(m *testing.M) int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "console: needs root: the sandboxes of the functions are made of namespaces, mounts and cgroups")
		return 1
	}
	path, remove, err := testnode.Program("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, "console:", err)
		return 1
	}
	defer remove()
	program = path
	return m.Run()
}

// start starts a node for one test.
func start(t *testing.T, flags ...string) *testnode.Node {
	t.Helper()
	return testnode.Start(t, program, t.TempDir(), append([]string{"--isolation", "namespace"}, flags...)...)
}

// tab is a page of a real browser that looks at a node's console.
type tab struct {
	*browser.Page
	t     *testing.T
	url   string // where the browser finds the node
	leave func() // ends it before the test does
}

// browse opens a browser. When the test ends, no page may have complained, and none
// may have asked for anything but the node.
func browse(t *testing.T, n *testnode.Node) *tab {
	t.Helper()
	return browseAt(t, n.URL)
}

// browseAt is browse of a node that the browser has another address for.
func browseAt(t *testing.T, url string, options ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	// Its context outlives the test's, which ends before what is cleaned up: the browser
	// is to end by itself.
	page, end, err := browser.Open(context.WithoutCancel(t.Context()), 1280, 900, options...)
	if err != nil {
		t.Fatal(err)
	}
	leave := sync.OnceFunc(func() {
		for _, e := range page.Errors() {
			t.Errorf("the page complains: %s", e)
		}
		for _, r := range page.Requests() {
			// The browser draws its own inputs of dates with data: addresses.
			if !strings.HasPrefix(r, url+"/console") && !strings.HasPrefix(r, "data:image/svg+xml") {
				t.Errorf("the page asked for %s", r)
			}
		}
		end()
	})
	t.Cleanup(leave)
	return &tab{page, t, url, leave}
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := b.Run(actions...); err != nil {
		var png []byte
		if b.Run(chromedp.CaptureScreenshot(&png)) == nil && os.Getenv("ALCOVE_SHOT") != "" {
			_ = os.WriteFile(os.Getenv("ALCOVE_SHOT"), png, 0o600)
		}
		b.t.Fatalf("%v\non the page: %s", err, testnode.Tail(b.text("body"), 1500))
	}
}

func (b *tab) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.url + "/console/" + path)) }

// text is what a reader sees of an element.
func (b *tab) text(selector string) string {
	var s string
	if err := b.Run(chromedp.Evaluate(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector), &s)); err != nil {
		return err.Error()
	}
	return s
}

// shows opens a page again and again until an element of it holds a text: the page
// is what there was when it was made.
func (b *tab) shows(path, selector, text string) {
	b.t.Helper()
	for end := time.Now().Add(testnode.Patience); ; time.Sleep(200 * time.Millisecond) {
		b.open(path)
		if strings.Contains(b.text(selector), text) {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s never has %q; the page has: %s", selector, text, testnode.Tail(b.text("main"), 1500))
		}
	}
}

// sees waits until an element holds a text, whatever pages come and go meanwhile.
func (b *tab) sees(selector, text string) {
	b.t.Helper()
	for end := time.Now().Add(testnode.Patience); !strings.Contains(b.text(selector), text); {
		if time.Now().After(end) {
			b.t.Fatalf("%s never has %q; the page has: %s", selector, text, testnode.Tail(b.text("main"), 1500))
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

// set waits for a field, and fills it as somebody who types does.
func (b *tab) set(selector, value string) chromedp.Action {
	return chromedp.Tasks{chromedp.WaitReady(selector), chromedp.Evaluate(fmt.Sprintf(`{const e=document.querySelector(%q); e.value=%q; e.dispatchEvent(new Event('input',{bubbles:true})); e.dispatchEvent(new Event('change',{bubbles:true}));}`, selector, value), nil)}
}

// tabTo presses Tab until what has the focus matches.
func (b *tab) tabTo(selector string) {
	b.t.Helper()
	for range 80 {
		var is bool
		b.do(chromedp.Evaluate(fmt.Sprintf("document.activeElement?.matches(%q) ?? false", selector), &is))
		if is {
			return
		}
		b.do(chromedp.KeyEvent(kb.Tab))
	}
	b.t.Fatalf("Tab never comes to %s", selector)
}

func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// installing lets one test at a time install what npm has.
var installing sync.Mutex

// axe is the library that looks for what keeps people out of a page.
func axe(t *testing.T) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	const dir = "../e2e/testdata/js"
	const file = dir + "/node_modules/axe-core/axe.min.js"
	if _, err := os.Stat(file); err != nil {
		npm := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
		npm.Dir = dir
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

// value is what is in a field.
func (b *tab) value(selector string) (s string) {
	b.t.Helper()
	b.do(chromedp.Value(selector, &s))
	return s
}

// lines are the messages of the records that a page of logs shows.
func (b *tab) lines() (s string) {
	b.t.Helper()
	b.do(chromedp.Evaluate(`[...document.querySelectorAll('#lines .text')].map(e => e.textContent.trim()).join(' ')`, &s))
	return s
}
