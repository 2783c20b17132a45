package gateway

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"sync"
)

// Gate stands before the APIs, from when the node listens until it has ended. It
// answers /healthz (the process lives) and /readyz (it can take invocations), turns
// requests away while the node cannot take them, and knows which are under way.
type Gate struct {
	ending chan struct{} // closed by Close
	empty  chan struct{} // closed when nothing is under way after Close

	mu   sync.Mutex
	apis http.Handler // nil until Open; guarded by mu
	shut bool         // guarded by mu
	busy int          // requests under way; guarded by mu
}

// NewGate makes one that lets nothing through yet.
func NewGate() *Gate { return &Gate{ending: make(chan struct{}), empty: make(chan struct{})} }

// Open lets requests through to h.
func (g *Gate) Open(h http.Handler) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.apis = h
}

// Ending is closed when the node begins to end: what would go on for ever ends by
// itself then.
func (g *Gate) Ending() <-chan struct{} { return g.ending }

// Close lets no more requests through and waits for those under way, until ctx
// ends. It is called once.
func (g *Gate) Close(ctx context.Context) error {
	g.mu.Lock()
	g.shut = true
	close(g.ending)
	if g.busy == 0 {
		close(g.empty)
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enter gives what handles a request, or what the node does instead.
func (g *Gate) enter() (h http.Handler, instead string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if instead := g.instead(); instead != "" {
		return nil, instead
	}
	g.busy++
	return g.apis, ""
}

// instead is what a node does that takes no requests; mu is held.
func (g *Gate) instead() string {
	switch {
	case g.shut:
		return "stopping"
	case g.apis == nil:
		return "starting"
	}
	return ""
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy--; g.busy == 0 && g.shut {
		close(g.empty)
	}
}

// unavailable is the code of a request that is turned away. SDKs try again.
const unavailable = "ServiceUnavailableException"

// ServeHTTP lets r through, or turns it away.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		_, _ = io.WriteString(w, "ok\n")
		return
	case "/readyz":
		g.mu.Lock()
		instead := g.instead()
		g.mu.Unlock()
		if instead != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, cmp.Or(instead, "ok")+"\n")
		return
	}
	h, instead := g.enter()
	if h == nil {
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close") // so that the next goes where something answers
		refuse(w, r, signedFor(r.Header.Get("Authorization")), http.StatusServiceUnavailable, unavailable, "The node is "+instead+". Try again.")
		return
	}
	defer g.leave()
	h.ServeHTTP(w, r)
}
