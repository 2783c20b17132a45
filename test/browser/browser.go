// Package browser drives Debian's Chromium for tests of the console and for its
// pictures. It owns one browser process with an empty profile; it knows nothing of
// what it looks at.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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

// Open starts a browser with an empty profile, and with options of its own. close ends
// it, and removes what it left; so does the end of ctx end it, but then it has no time
// to put away anything.
func Open(ctx context.Context, width, height int, options ...chromedp.ExecAllocatorOption) (page *Page, close func(), err error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, nil, ErrNone
	}
	// All that it writes is in one directory: its profile, and what it takes for
	// temporary and does not always remove.
	dir, err := os.MkdirTemp("", "alcove-browser-")
	if err != nil {
		return nil, nil, err
	}
	temporary := filepath.Join(dir, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		_ = os.RemoveAll(dir)
		return nil, nil, err
	}
	var program *exec.Cmd
	allocated, cancel := chromedp.NewExecAllocator(ctx, append(options,
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(dir, "profile")), chromedp.Env("TMPDIR="+temporary), chromedp.WindowSize(width, height),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.WSURLReadTimeout(2*time.Minute),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
			program = cmd
		}))...)
	tab, cancelTab := chromedp.NewContext(allocated)
	close = func() {
		// Asks the browser to end and waits for it.
		_ = chromedp.Cancel(tab)
		cancelTab()
		cancel()
		if program != nil && program.Process != nil {
			endGroup(program.Process.Pid)
		}
		_ = os.RemoveAll(dir)
	}
	p := &Page{Context: tab}
	chromedp.ListenTarget(tab, p.heard)
	if err := chromedp.Run(tab, network.Enable(), cdplog.Enable()); err != nil {
		close()
		return nil, nil, err
	}
	return p, close, nil
}

// endGroup ends the processes that a browser has left, and waits for their end: they
// write to its directory as long as they are there.
func endGroup(group int) {
	for end := time.Now().Add(10 * time.Second); syscall.Kill(-group, syscall.SIGKILL) == nil && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
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
