package console

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/test/testnode"
)

// proxy stands between a browser and a node, as operators have one: it passes the Host
// header on, and does no more than that.
type proxy struct {
	*httptest.Server
	to   atomic.Pointer[url.URL]
	down atomic.Bool // it says that the node is away
}

func newProxy(t *testing.T, n *testnode.Node, start func(*httptest.Server)) *proxy {
	t.Helper()
	p := &proxy{}
	p.lead(t, n)
	reverse := &httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(p.to.Load())
		r.Out.Host = r.In.Host
	}}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			http.Error(w, "the node is away", http.StatusBadGateway)
			return
		}
		reverse.ServeHTTP(w, r)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(p.Server)
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

// lead says which node is behind the proxy.
func (p *proxy) lead(t *testing.T, n *testnode.Node) {
	t.Helper()
	u, err := url.Parse(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.to.Store(u)
}

// cut ends what is open, and lets nothing through until mend.
func (p *proxy) cut() { p.down.Store(true); p.CloseClientConnections() }

func (p *proxy) mend() { p.down.Store(false) }

// upload makes a zip file on this machine's disk, and chooses it in a form as a user does.
func (b *tab) upload(selector string, files testnode.Files) chromedp.Action {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "code.zip")
	if err := os.WriteFile(path, files.Zip(b.t), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return chromedp.SetUploadFiles(selector, []string{path})
}

// TestConsoleBehindAProxy that speaks TLS, and HTTP/2, with the browser: signing in,
// its cookie, forms, an upload, streams that arrive as they are written, commands that
// name the proxy. Then the proxy cuts what is followed, and the node starts again.
func TestConsoleBehindAProxy(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	n := testnode.Start(t, program, data, "--isolation", "namespace")
	p := newProxy(t, n, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	const host = "console.test"
	at := strings.Replace(p.URL, "127.0.0.1", host, 1)
	b := browseAt(t, at, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("host-resolver-rules", "MAP "+host+" 127.0.0.1"))
	b.signIn(n.Key.AccessKeyID, n.Key.SecretAccessKey)
	b.sees("h1", "Floor")
	b.sees("[data-live]", "Live")
	b.sees("#floor-empty code", "--endpoint "+at)

	var cookies []*network.Cookie
	b.do(chromedp.ActionFunc(func(ctx context.Context) (err error) { cookies, err = network.GetCookies().Do(ctx); return err }))
	if len(cookies) != 1 || cookies[0].Name != "__Host-alcove-session" || !cookies[0].Secure || !cookies[0].HTTPOnly || cookies[0].Path != "/" ||
		cookies[0].SameSite != network.CookieSameSiteStrict || cookies[0].Domain != host {
		t.Errorf("the cookies are %+v", cookies)
	}

	// Code as a zip file, with a handler of another name, in the form and in the code tab.
	b.open("functions/new")
	b.do(chromedp.SendKeys("#name", "packed"), chromedp.Click(`input[name=source][value=zip]`), chromedp.WaitVisible("#zip"), chromedp.Click("form.stack button.primary"))
	b.sees("h1", "Create function") // the browser asks for a file
	b.do(b.upload("#zip", testnode.Files{"app.py": "import words\ndef run(event, context):\n    print('seen', event['n'])\n    return words.GREETING + context.tenant_id\n", "words.py": "GREETING = 'hello '\n"}),
		chromedp.SendKeys("#handler", "app.run"), chromedp.Click("form.stack button.primary"))
	b.sees("h1", "packed")
	b.do(chromedp.WaitNotPresent("[data-pending]"))
	b.do(b.set("#tenant", "blue"), b.set("#payload", `{"n": 0}`), chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result", "hello blue")
	b.do(chromedp.Click("details.note summary"))
	b.sees("details.note", at)
	b.open("functions/packed/code?file=words.py")
	b.sees(".files", "app.py")
	b.do(b.upload("#zip", testnode.Files{"app.py": "def run(event, context):\n    print('seen', event['n'])\n    return 'second'\n"}), chromedp.Click("form.bar button"))
	b.sees(".done", "deployed")
	b.do(chromedp.WaitNotPresent("[data-pending]"))
	if s := b.text(".files"); strings.Contains(s, "words.py") || !strings.Contains(b.value("#text"), "'second'") {
		t.Errorf("after the upload the files are %q", s)
	}
	b.open("functions/packed?tenant=blue")
	b.do(b.set("#payload", `{"n": 1}`), chromedp.Click("form[data-fragment] button.primary"))
	b.sees("#result", `"second"`)

	// What is written while the connection is cut is there when it is back, and nothing twice.
	b.open("logs?function=packed&tenant=blue&search=seen")
	b.do(chromedp.Click("button[data-live]"))
	b.sees("[data-live-state]", "Live")
	n.Run(t, "packed", "blue", `{"n": 2}`)
	b.sees("#lines", "seen 2") // it is not buffered
	p.cut()
	b.sees("[data-live-state]", "Trying again")
	for i := 3; i < 6; i++ {
		n.Run(t, "packed", "blue", fmt.Sprintf(`{"n": %d}`, i))
	}
	p.mend()
	b.sees("[data-live-state]", "Live again")
	n.Run(t, "packed", "blue", `{"n": 6}`)
	b.sees("#lines", "seen 6")
	if got := b.lines(); got != "seen 0 seen 1 seen 2 seen 3 seen 4 seen 5 seen 6" {
		t.Errorf("the lines are %q", got)
	}

	// Sessions end with the node: the page says so, and comes back to where it was.
	p.cut()
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	n = testnode.Start(t, program, data, "--isolation", "namespace")
	p.lead(t, n)
	p.mend()
	b.sees("[data-live-state]", "The node has started again")
	b.do(chromedp.Click("[data-live-state] a"), chromedp.WaitVisible("#key"), b.set("#key", n.Key.AccessKeyID), b.set("#secret", n.Key.SecretAccessKey), chromedp.Click("main button.primary"))
	b.sees("#lines", "seen 6")
	b.Errors() // the browser reports what was refused meanwhile
}

// TestConsoleGoesOnWhenTheNodeStartsAgain looks at the floor and at a log of a node that
// is killed, and follows them on.
func TestConsoleGoesOnWhenTheNodeStartsAgain(t *testing.T) {
	t.Parallel()
	data, flags := t.TempDir(), []string{"--isolation", "namespace", "--auth", "none"}
	n := testnode.Start(t, program, data, flags...)
	p := newProxy(t, n, (*httptest.Server).Start)
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": "def handler(e, c): print('seen', e['n'])\n"}, testnode.Isolated)
	floor, log := browseAt(t, p.URL), browseAt(t, p.URL)
	n.Run(t, f, "before", `{"n": 1}`)
	floor.open("floor")
	floor.sees("#floor", "before")
	log.open("logs?function=" + f + "&search=seen")
	log.do(chromedp.Click("button[data-live]"))
	log.sees("#lines", "seen 1")
	log.sees("[data-live-state]", "Live")

	n.Kill(t)
	floor.sees("[data-live]", "Trying again")
	log.sees("[data-live-state]", "Trying again")
	n = testnode.Start(t, program, data, flags...)
	n.Active(t, f)
	n.Run(t, f, "after", `{"n": 2}`) // before the pages know of it
	p.lead(t, n)
	floor.sees("[data-live]", "Live again")
	floor.sees("#floor", "after")
	if s := floor.text("#floor"); strings.Contains(s, "before") {
		t.Errorf("a tile of an environment that the kill ended: %s", s)
	}
	log.sees("[data-live-state]", "what was written meanwhile is here")
	log.sees("#lines", "seen 2")
	n.Run(t, f, "after", `{"n": 3}`)
	log.sees("#lines", "seen 3")
	if got := log.lines(); got != "seen 1 seen 2 seen 3" {
		t.Errorf("the lines are %q", got)
	}
	floor.Errors()
	log.Errors()
	// Before the second node ends, which is the first to be cleaned up: its pages would
	// miss it.
	floor.leave()
	log.leave()
}
