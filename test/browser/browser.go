// Package browser drives Debian's Chromium for tests of the console and for its
// pictures. It owns one browser process with an empty profile; it knows nothing of
// what it looks at.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// ErrNone is why there is no browser: none is installed.
var ErrNone = fmt.Errorf("no chromium on this machine (apt-get install chromium)")

// Page is one tab of a browser of its own.
type Page struct {
	context.Context

	mu       sync.Mutex
	errors   []string
	requests []string
}

// Open starts a browser with an empty profile. close ends it, and removes what it
// left.
func Open(ctx context.Context, width, height int) (page *Page, close func(), err error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, nil, ErrNone
	}
	profile, err := os.MkdirTemp("", "alcove-browser-")
	if err != nil {
		return nil, nil, err
	}
	allocated, cancel := chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.WindowSize(width, height),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.WSURLReadTimeout(2*time.Minute))
	tab, cancelTab := chromedp.NewContext(allocated)
	close = func() {
		// Asks the browser to end and waits for it.
		_ = chromedp.Cancel(tab)
		cancelTab()
		cancel()
		_ = os.RemoveAll(profile)
	}
	p := &Page{Context: tab}
	chromedp.ListenTarget(tab, p.heard)
	if err := chromedp.Run(tab, network.Enable(), cdplog.Enable()); err != nil {
		close()
		return nil, nil, err
	}
	return p, close, nil
}

// heard keeps what a page complains of, and what it asks for.
func (p *Page) heard(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, "exception: "+e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeAssert {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value))
			}
			p.errors = append(p.errors, "console: "+strings.Join(words, " "))
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.LevelError {
			p.errors = append(p.errors, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	}
}

// Errors is what pages complained of since the last call.
func (p *Page) Errors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.errors
	p.errors = nil
	return e
}

// Requests are the addresses that pages asked for since the last call.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests
	p.requests = nil
	return r
}

// Run does things in the page, within a minute.
func (p *Page) Run(actions ...chromedp.Action) error {
	ctx, cancel := context.WithTimeout(p.Context, time.Minute)
	defer cancel()
	return chromedp.Run(ctx, actions...)
}
