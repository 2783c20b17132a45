package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/test/testnode"
)

// attack is the script of a page of somebody else: it tries to read the console's pages
// and streams, to frame one, and to send its forms, and says what it got.
const attack = `async (node, name) => {
  const got = [];
  for (const path of ['floor', 'usage.csv', 'functions/' + name])
    await fetch(node + path, { credentials: 'include' }).then(() => got.push('read ' + path), () => {});
  for (const path of ['floor', 'floor/events', 'logs/events?function=' + name])
    await fetch(node + path, { credentials: 'include', mode: 'no-cors' }).then(r => r.text()).then(t => t && got.push('saw ' + path), () => {});
  await new Promise(done => {
    const s = new EventSource(node + 'floor/events', { withCredentials: true });
    s.onopen = () => { got.push('stream'); s.close(); done(); };
    s.onerror = () => { s.close(); done(); };
  });
  const body = new URLSearchParams({ confirm: name, name: name });
  await fetch(node + 'functions/' + name + '/delete', { method: 'POST', mode: 'no-cors', credentials: 'include', body }).catch(() => {});
  navigator.sendBeacon(node + 'signout', body);
  const frame = document.createElement('iframe');
  frame.name = 'inside';
  document.body.append(frame);
  const loaded = () => new Promise(done => { frame.onload = done; setTimeout(done, 3000); });
  const form = document.createElement('form');
  form.method = 'post'; form.target = 'inside'; form.action = node + 'functions/' + name + '/delete';
  for (const [k, v] of body) { const i = document.createElement('input'); i.name = k; i.value = v; form.append(i); }
  document.body.append(form);
  let wait = loaded(); form.submit(); await wait;
  wait = loaded(); frame.src = node + 'floor'; await wait;
  try { if (frame.contentDocument?.querySelector('main')) got.push('frame'); } catch {}
  return got.join(', ');
}`

// TestOtherSitesGetNothing opens pages of two others in a browser that is signed in: one of
// another site, and one of the same host, to which SameSite cookies go along. Both try all
// they can, and end with a form that navigates.
func TestOtherSitesGetNothing(t *testing.T) {
	n := start(t)
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": talks}, testnode.Isolated)
	n.Run(t, f, "blue", "{}")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><title>prizes</title><body><form id="go" method="post" action="%s/console/functions/%s/delete"><input name="confirm" value="%[2]s"></form>`, n.URL, f)
	}))
	t.Cleanup(func() { other.CloseClientConnections(); other.Close() })
	b := browseAt(t, n.URL, chromedp.Flag("host-resolver-rules", "MAP evil.test 127.0.0.1"))
	var mu sync.Mutex
	answers := map[string]int64{}
	chromedp.ListenTarget(b.Context, func(event any) {
		if e, ok := event.(*network.EventResponseReceived); ok && strings.HasPrefix(e.Response.URL, n.URL) && !strings.Contains(e.Response.URL, "/static/") {
			mu.Lock()
			defer mu.Unlock()
			answers[e.Response.URL] = max(answers[e.Response.URL], e.Response.Status)
		}
	})
	b.signIn(n.Key.AccessKeyID, n.Key.SecretAccessKey)
	for _, at := range []string{other.URL, strings.Replace(other.URL, "127.0.0.1", "evil.test", 1)} {
		mu.Lock()
		clear(answers)
		mu.Unlock()
		var got string
		b.do(chromedp.Navigate(at), chromedp.Evaluate(fmt.Sprintf("(%s)(%q, %q)", attack, n.URL+"/console/", f), &got, awaitPromise))
		if got != "" {
			t.Errorf("a page of %s got: %s", at, got)
		}
		b.do(chromedp.Evaluate(`document.getElementById('go').submit()`, nil))
		// With the cookie it is another site's form; without, nobody's.
		testnode.Eventually(t, "the form is refused", func() bool {
			s := b.text("body")
			return strings.Contains(s, "another site") || strings.Contains(s, "signed out")
		})
		mu.Lock()
		if len(answers) == 0 {
			t.Errorf("a page of %s asked for %v alone", at, answers)
		}
		for url, status := range answers {
			if status < 400 {
				t.Errorf("a page of %s was answered with %d: %s", at, status, url)
			}
		}
		mu.Unlock()
		b.Errors() // the browser reports all that was refused
		b.Requests()
	}
	if _, err := n.Lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(f)}); err != nil {
		t.Errorf("the function: %v", err)
	}
	b.open("functions")
	b.sees("main table", f) // it is signed in still
}

// TestUsageIsDownloaded clicks on the download: the browser keeps a file that is what the
// API answers.
func TestUsageIsDownloaded(t *testing.T) {
	n := start(t)
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": talks}, testnode.Isolated)
	for _, tenant := range []string{"blue", "+1-2=3@x"} {
		n.Run(t, f, tenant, "{}")
	}
	dir := t.TempDir()
	b := browse(t, n)
	b.signIn(n.Key.AccessKeyID, n.Key.SecretAccessKey)
	b.shows("usage?by=tenant", "main table", "+1-2=3@x")
	b.shows("usage?by=tenant", "main table", "blue")
	b.do(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(dir),
		chromedp.Click(`//a[.="Download CSV"]`, chromedp.BySearch))
	var got string
	testnode.Eventually(t, "the file is there", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "usage.csv"))
		got = string(text)
		return err == nil && got != ""
	})
	t.Logf("%s", got)
	rows := strings.Split(strings.TrimSpace(got), "\n")
	if len(rows) != 3 || !strings.Contains(rows[0], "tenant") || !strings.Contains(got, "blue") || !strings.Contains(got, "+1-2=3@x") {
		t.Errorf("the file has %q", got)
	}
}
