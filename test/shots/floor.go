package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/console"
	"github.com/alcove-run/alcove/nodeapi"
	"github.com/alcove-run/alcove/test/browser"
)

// crowd is an API with many environments, a tenth of which have changed whenever
// somebody looks: more than this machine could hold.
type crowd struct {
	all []nodeapi.Environment
	rnd *rand.Rand
}

func newCrowd(n int) *crowd {
	c := &crowd{rnd: rand.New(rand.NewPCG(1, 2))}
	for i := range n {
		e := nodeapi.Environment{ID: fmt.Sprintf("%032x", i), Function: "counter", Version: "$LATEST", State: "idle", Isolation: "gvisor",
			LogGroup: "/aws/lambda/counter", LogStream: fmt.Sprint("stream-", i), Created: time.Now(), MemoryBytes: 12 << 20}
		if i >= 40 { // the first wait for tenants
			e.Tenant, e.Bound, e.Invocations, e.Start = fmt.Sprintf("customer-%04d", i*3/4), true, 1, "stock"
		}
		c.all = append(c.all, e)
	}
	return c
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if !strings.HasPrefix(r.URL.Path, nodeapi.Prefix) {
		_, _ = w.Write([]byte(`{"Functions":[{"FunctionName":"counter"}]}`))
		return
	}
	for range len(c.all) / 10 {
		e := &c.all[40+c.rnd.IntN(len(c.all)-40)]
		e.Frozen = c.rnd.IntN(2) == 0
		e.State = []string{"idle", "busy"}[c.rnd.IntN(2)]
		e.Invocations++
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"environments": c.all, "notEnforced": []string{}})
}

// frames measures how a page draws for five seconds.
const frames = `new Promise(done => {
  const gaps = [], long = [];
  new PerformanceObserver(list => long.push(...list.getEntries().map(e => e.duration))).observe({ entryTypes: ['longtask'] });
  let last = performance.now(), end = last + 5000;
  const frame = now => { gaps.push(now - last); last = now; if (now < end) requestAnimationFrame(frame); else {
    gaps.sort((a, b) => a - b); done({ Frames: gaps.length, P50: gaps[gaps.length >> 1], P99: gaps[Math.floor(gaps.length * .99)], Max: gaps.at(-1), Long: long.length, Longest: Math.max(0, ...long) }); } };
  requestAnimationFrame(frame);
})`

// shootFloor looks at a floor with many environments that change all the time: a
// picture of it, and how smoothly the browser draws.
func shootFloor(ctx context.Context, n int) error {
	pages, err := console.New(console.Config{API: newCrowd(n), Open: true, Check: func(*http.Request) error { return nil }, Region: "us-east-1", Log: slog.Default()})
	if err != nil {
		return err
	}
	defer pages.Close()
	site := httptest.NewServer(pages)
	defer site.Close()
	defer site.CloseClientConnections()
	page, end, err := browser.Open(ctx, 1280, 900)
	if err != nil {
		return err
	}
	defer end()
	var png []byte
	var got struct {
		Frames, Long, Tiles    int
		P50, P99, Max, Longest float64
	}
	interactive := 0.0
	if err := page.Run(
		chromedp.Navigate(site.URL+console.Prefix+"floor"), chromedp.WaitVisible(".floor .tile"),
		chromedp.Evaluate(`performance.getEntriesByType('navigation')[0].domInteractive`, &interactive),
		chromedp.Evaluate(frames, &got, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
		chromedp.Evaluate(`document.querySelectorAll('.floor .tile').length`, &got.Tiles),
		chromedp.CaptureScreenshot(&png),
	); err != nil {
		return err
	}
	fmt.Printf("floor of %d: page interactive after %.0f ms; %d frames in 5 s, between them p50 %.1f ms, p99 %.1f ms, longest %.1f ms; %d tasks over 50 ms, longest %.0f ms\n",
		got.Tiles, interactive, got.Frames, got.P50, got.P99, got.Max, got.Long, got.Longest)
	return os.WriteFile(filepath.Join(*out, fmt.Sprintf("floor-%d.png", n)), png, 0o644)
}
