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
)

// inside is the node's APIs as environments reach them: at the far end of their
// own links, whatever they may reach of the network. Each connection is known by
// the environment that made it, and requests are taken with that environment's
// credentials alone.
type inside struct {
	server *http.Server
	gate   *gateway.Gate
	conns  chan net.Conn
	ended  chan struct{}
	once   sync.Once
	served chan struct{}

	mu     sync.Mutex
	open   map[string]int // connections by environment; guarded by mu
	bodies insideBodies
}

// insideMax is how many connections one environment may have to the node.
const insideMax = 32

// insideBodies are the long bodies that are on their way from environments. They
// take memory of the node's, which is charged to nobody, until they have arrived or
// their time is over.
type insideBodies struct {
	mu   sync.Mutex
	by   map[string]int // by environment; guarded by mu, as all is
	all  int
	huge int // longer than any invocation
}

// Bounds of it. The node takes four huge bodies at once (lambdaapi): half of them is
// kept for callers from outside.
const (
	longBody     = 64 << 10
	hugeBody     = 6 << 20
	longOfOne    = 4
	longOfAll    = 64
	hugeOfAll    = 2
	unknownBytes = hugeBody + 1
)

// begin counts a body in, and gives what counts it out, as often as that is called.
func (b *insideBodies) begin(environment string, size int64) (end func(), ok bool) {
	if size < 0 {
		size = unknownBytes
	}
	if size <= longBody {
		return func() {}, true
	}
	huge := 0
	if size > hugeBody {
		huge = 1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by[environment] >= longOfOne || b.all >= longOfAll || b.huge+huge > hugeOfAll {
		return nil, false
	}
	if b.by == nil {
		b.by = map[string]int{}
	}
	b.by[environment]++
	b.all++
	b.huge += huge
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.all--
		b.huge -= huge
		if b.by[environment]--; b.by[environment] == 0 {
			delete(b.by, environment)
		}
	}), true
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
	in := &inside{gate: gateway.NewGate(), conns: make(chan net.Conn), ended: make(chan struct{}), served: make(chan struct{}), open: map[string]int{}}
	in.server = gateway.NewServer(http.HandlerFunc(in.serve), n.log)
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

// serve hands on what the APIs authenticate. Pages, function URLs and measures of
// the whole node are nothing for a tenant's code.
func (in *inside) serve(w http.ResponseWriter, r *http.Request) {
	for _, prefix := range []string{"/console", "/metrics", "/healthz", "/readyz"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			http.NotFound(w, r)
			return
		}
	}
	end, ok := in.bodies.begin(r.RemoteAddr, r.ContentLength)
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

// Dial makes a connection of an environment to the APIs, and gives the
// environment's end of it. The two ends are one connection over loopback, so that
// whoever carries it needs to know of no other kind.
func (in *inside) Dial(ctx context.Context, environment string) (net.Conn, error) {
	if !in.begin(environment) {
		return nil, errInside
	}
	near, far, err := pair(ctx)
	if err != nil {
		in.end(environment)
		return nil, err
	}
	c := &insideConn{Conn: far, in: in, environment: environment}
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
	in          *inside
	environment string
	once        sync.Once
}

// RemoteAddr says whose it is, as auth knows it.
func (c *insideConn) RemoteAddr() net.Addr { return insideAddr(c.environment) }

func (c *insideConn) Close() error {
	c.once.Do(func() { c.in.end(c.environment) })
	return c.Conn.Close()
}

type insideAddr string

// Network and String implement net.Addr.
func (insideAddr) Network() string  { return "environment" }
func (a insideAddr) String() string { return auth.Inside(string(a)) }

var _ net.Listener = (*inside)(nil)
