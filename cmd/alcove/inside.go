package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/gateway"
	"github.com/alcove-run/alcove/internal/places"
)

// inside is the node's APIs as environments reach them: at the far end of their
// own links, whatever they may reach of the network. Each connection is known by
// the environment that made it, and requests are taken with that environment's
// credentials alone.
//
// What one tenant has of it, of connections and of long bodies, leaves the others
// theirs: whoever has fewer gets the oldest of whoever has most (places.Places).
type inside struct {
	server *http.Server
	gate   *gateway.Gate
	conns  chan net.Conn
	ended  chan struct{}
	once   sync.Once
	served chan struct{}
	places *places.Places // of connections
	bodies *insideBodies

	mu   sync.Mutex
	open map[string]int // connections by environment; guarded by mu

	traces sync.Map // of environments, as requests have them: func() alcove.Trace
}

// insideMax is how many connections one environment may have to the node.
const insideMax = 32

// insideBodies are the long bodies that are on their way from environments. They
// take memory of the node's, which is charged to nobody, until they have arrived or
// their time is over.
type insideBodies struct {
	long, huge *places.Places

	mu sync.Mutex
	by map[string]int // by environment; guarded by mu
}

// Bounds of it. The node takes four huge bodies at once (lambdaapi): half of them is
// kept for callers from outside.
const (
	longBody     = 64 << 10
	hugeBody     = 6 << 20 // longer than any invocation
	longOfOne    = 4
	longOfAll    = 64
	hugeOfAll    = 2
	unknownBytes = hugeBody + 1
)

func newInsideBodies() *insideBodies {
	return &insideBodies{long: places.New(longOfAll), huge: places.New(hugeOfAll), by: map[string]int{}}
}

// begin counts a body of an environment in, which is somebody's, and gives what
// counts it out, as often as that is called. evict is called if another is to have
// its place.
func (b *insideBodies) begin(environment, whose string, size int64, evict func()) (end func(), ok bool) {
	if size < 0 {
		size = unknownBytes
	}
	if size <= longBody {
		return func() {}, true
	}
	if !b.one(environment, 1) {
		return nil, false
	}
	end = func() { b.one(environment, -1) }
	// The scarce ones first: nobody loses a place for what comes to nothing.
	for _, p := range []struct {
		of   *places.Places
		size int64
	}{{b.huge, hugeBody}, {b.long, longBody}} {
		if size <= p.size {
			continue
		}
		place := p.of.Take(whose, evict)
		if place == nil {
			end()
			return nil, false
		}
		before := end
		end = func() { place.Leave(); before() }
	}
	return sync.OnceFunc(end), true
}

// one counts an environment's own bodies, and tells whether there may be one more.
func (b *insideBodies) one(environment string, more int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if more > 0 && b.by[environment] >= longOfOne {
		return false
	}
	if b.by[environment] += more; b.by[environment] == 0 {
		delete(b.by, environment)
	}
	return true
}

// insideBody is a body that is counted until it has been read.
type insideBody struct {
	io.ReadCloser
	end func()
}

func (b *insideBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

// openInside begins to serve environments. Until the APIs are there, they are told
// to wait.
func (n *node) openInside() {
	in := newInside(n.files.inside)
	in.server = gateway.NewServer(http.HandlerFunc(in.serve), n.log)
	in.server.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, insideKey{}, c) }
	go func() {
		defer close(in.served)
		_ = in.server.Serve(in) // until it is closed
	}()
	n.inside = in
	n.opened(func(context.Context) error {
		err := in.server.Close()
		<-in.served
		return err
	})
}

func newInside(connections int) *inside {
	return &inside{gate: gateway.NewGate(), conns: make(chan net.Conn), ended: make(chan struct{}), served: make(chan struct{}), open: map[string]int{},
		places: places.New(connections), bodies: newInsideBodies()}
}

// insideKey is what a request's context has its connection by.
type insideKey struct{}

// serve hands on what the APIs authenticate. Pages, function URLs and measures of
// the whole node are nothing for a tenant's code.
func (in *inside) serve(w http.ResponseWriter, r *http.Request) {
	for _, prefix := range []string{"/console", "/metrics", "/healthz", "/readyz"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			http.NotFound(w, r)
			return
		}
	}
	c, ok := r.Context().Value(insideKey{}).(*insideConn)
	if !ok { // nothing else is served here
		http.NotFound(w, r)
		return
	}
	c.place.Touch()
	// Whose body goes for another's is told nothing: its client tries again.
	end, ok := in.bodies.begin(c.environment, c.whose, r.ContentLength, func() { c.Close() })
	if !ok {
		h := w.Header()
		h.Set("Retry-After", "1")
		h.Set("Content-Type", "application/json")
		h.Set("X-Amzn-ErrorType", "ServiceUnavailableException")
		w.WriteHeader(http.StatusServiceUnavailable) // SDKs try again
		_, _ = io.WriteString(w, `{"message":"Too many long requests of execution environments are on their way. Try again."}`)
		return
	}
	defer end()
	r.Body = &insideBody{r.Body, end}
	in.gate.ServeHTTP(w, r)
}

var errInside = errors.New("too many connections to the node, or it stops")

// Dial makes a connection of an environment, which is somebody's, to the APIs, and
// gives the environment's end of it. The two ends are one connection over loopback,
// so that whoever carries it needs to know of no other kind.
func (in *inside) Dial(ctx context.Context, environment, whose string) (net.Conn, error) {
	c := &insideConn{in: in, environment: environment, whose: whose, made: make(chan struct{})}
	if !in.begin(environment) {
		return nil, errInside
	}
	if c.place = in.places.Take(whose, c.evict); c.place == nil {
		in.end(environment)
		return nil, errInside
	}
	near, far, err := pair(ctx)
	c.Conn = far // nil with an error
	close(c.made)
	if err != nil {
		c.leave()
		return nil, err
	}
	select {
	case in.conns <- c:
		return near, nil
	case <-in.ended:
	case <-ctx.Done():
	}
	near.Close()
	c.Close()
	return nil, errInside
}

// pair makes the two ends of a connection over loopback. Somebody else on this
// machine may connect while the listener is there: it is known by its address.
func pair(ctx context.Context) (near, far net.Conn, err error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	var d net.Dialer
	if near, err = d.DialContext(ctx, "tcp4", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	_ = l.SetDeadline(time.Now().Add(5 * time.Second))
	for {
		if far, err = l.Accept(); err != nil {
			near.Close()
			return nil, nil, err
		}
		if far.RemoteAddr().String() == near.LocalAddr().String() {
			return near, far, nil
		}
		far.Close()
	}
}

func (in *inside) begin(environment string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.open[environment] >= insideMax {
		return false
	}
	in.open[environment]++
	return true
}

func (in *inside) end(environment string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.open[environment]--; in.open[environment] <= 0 {
		delete(in.open, environment)
	}
}

// Accept, Close and Addr implement net.Listener.
func (in *inside) Accept() (net.Conn, error) {
	select {
	case c := <-in.conns:
		return c, nil
	case <-in.ended:
		return nil, net.ErrClosed
	}
}

// Close is explained at Accept.
func (in *inside) Close() error { in.once.Do(func() { close(in.ended) }); return nil }

// Addr is explained at Accept.
func (in *inside) Addr() net.Addr { return insideAddr("") }

// insideConn is the node's end of an environment's connection.
type insideConn struct {
	net.Conn
	in                 *inside
	environment, whose string
	place              *places.Place
	made               chan struct{} // closed when Conn is what it will be
	once               sync.Once
}

// RemoteAddr says whose it is, as auth knows it.
func (c *insideConn) RemoteAddr() net.Addr { return insideAddr(c.environment) }

func (c *insideConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// leave counts it out.
func (c *insideConn) leave() {
	c.once.Do(func() {
		c.place.Leave()
		c.in.end(c.environment)
	})
}

// evict ends it for another's, once it has been made.
func (c *insideConn) evict() {
	go func() {
		if <-c.made; c.Conn != nil {
			c.Close()
		}
	}()
}

type insideAddr string

// Network and String implement net.Addr.
func (insideAddr) Network() string  { return "environment" }
func (a insideAddr) String() string { return auth.Inside(string(a)) }

var _ net.Listener = (*inside)(nil)
