package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// Front is the server of a listener that functions are invoked through. It serves a
// connection's requests itself for as long as they are invocations in their plain
// form (plain.go), for the same handler: net/http takes as much of the processors to
// read one, to look meanwhile whether the client hangs up (which ends no invocation)
// and to write the answer, as it takes to answer it. The first request that is
// anything else goes to net/http with all that follows.
type Front struct {
	http   *http.Server
	log    *slog.Logger
	ctx    context.Context // done when the server is closed
	cancel context.CancelFunc
	slow   chan net.Conn // from Front to http

	mu       sync.Mutex            // guards all below
	closed   bool                  // Close has begun
	listener net.Listener          // Serve's
	opened   map[net.Conn]struct{} // those that http does not have
}

// NewFront makes a Front for h, a Gate, with the limits of [NewServer].
func NewFront(h http.Handler, log *slog.Logger) *Front {
	ctx, cancel := context.WithCancel(context.Background())
	return &Front{http: NewServer(h, log), log: log, ctx: ctx, cancel: cancel, slow: make(chan net.Conn), opened: make(map[net.Conn]struct{})}
}

// How long Serve waits after an error before it accepts again: out of descriptors,
// as a rule. It is what net/http does.
const (
	minRetry = 5 * time.Millisecond
	maxRetry = time.Second
)

// Serve accepts connections on l until the server is closed, which closes l too; then
// it returns http.ErrServerClosed. It is called once. The connections are not TLS, which
// plain requests would not tell their handler.
func (f *Front) Serve(l net.Listener) error {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.listener = l
	}
	f.mu.Unlock()
	if closed {
		_ = l.Close()
		return http.ErrServerClosed
	}
	var others sync.WaitGroup
	others.Go(func() { _ = f.http.Serve(handedOn{f, l.Addr()}) }) // ends when the server is closed
	defer others.Wait()
	for wait := minRetry; ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			wait = minRetry
			if !f.open(c) {
				_ = c.Close()
				return http.ErrServerClosed
			}
			go f.serve(c)
			continue
		case f.ctx.Err() != nil:
			return http.ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			_ = f.Close()
			return err
		}
		f.log.Debug("a connection cannot be accepted", "error", err)
		select {
		case <-time.After(wait):
		case <-f.ctx.Done():
			return http.ErrServerClosed
		}
		wait = min(2*wait, maxRetry)
	}
}

// Close closes the listener and all connections. It does not wait for requests under
// way, which are told when nobody can get an answer of theirs any more.
func (f *Front) Close() error {
	f.mu.Lock()
	f.closed = true
	l, opened := f.listener, f.opened
	f.listener, f.opened = nil, nil
	f.mu.Unlock()
	for c := range opened {
		_ = c.Close() // it may have ended meanwhile
	}
	f.cancel()
	var err error
	if l != nil {
		err = l.Close()
	}
	return errors.Join(err, f.http.Close())
}

// open has Close close c. It is false if the server has been closed.
func (f *Front) open(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.opened[c] = struct{}{}
	return true
}

func (f *Front) forget(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.opened, c)
}

// handedOn is the listener of http.
type handedOn struct {
	f    *Front
	addr net.Addr
}

func (h handedOn) Accept() (net.Conn, error) {
	select {
	case c := <-h.f.slow:
		return c, nil
	case <-h.f.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (h handedOn) Close() error   { return nil }
func (h handedOn) Addr() net.Addr { return h.addr }

// begun is a connection of which something has been read.
type begun struct {
	net.Conn
	first []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	b.first = nil
	return b.Conn.Read(p)
}

// plainConn serves a connection's plain requests.
type plainConn struct {
	net.Conn
	f      *Front
	remote string
	until  time.Time // the read deadline, if wait set it
	buf    [maxPlain]byte
	in     []byte // the part of buf that is read and not used yet
	req    plain  // the last that was read
	out    []byte // memory for answers
}

// gatherTime is how long a request that came in pieces may take to be whole; then it
// is net/http's, with its own limits.
const gatherTime = time.Second

// peeked is how much of another request has to be there before it is looked at; line
// ends among it are let pass (RFC 9112, section 2.2: older clients end a body with one).
// It is what net/http does after a POST, which knows nothing of those before it here.
const peeked = 4

// serve serves c until it ends, or is net/http's.
func (f *Front) serve(c net.Conn) {
	p := &plainConn{Conn: c, f: f, remote: c.RemoteAddr().String()}
	p.in = p.buf[:0]
	if p.serve() {
		handed := &begun{Conn: c, first: append([]byte(nil), p.in...)}
		select {
		case f.slow <- handed:
			f.forget(c)
			return
		case <-f.ctx.Done():
		}
	}
	f.forget(c)
	_ = c.Close()
}

// serve tells whether the connection lives on elsewhere.
func (p *plainConn) serve() (elsewhere bool) {
	wait, peek := headerTimeout, 0
	for ; ; wait, peek = idleTimeout, peeked {
		for len(p.in) < max(peek, 1) {
			if !p.wait(wait) || !p.read() {
				return false
			}
		}
		for n := 0; n < peek && (p.in[0] == '\r' || p.in[0] == '\n'); n++ {
			p.in = p.in[1:]
		}
		size, what := p.req.recognise(p.in)
		if what == incomplete {
			size, what = p.gather()
		}
		if what != recognised {
			return p.SetReadDeadline(time.Time{}) == nil // net/http has its own
		}
		if !p.answer(size) {
			return false
		}
		p.in = p.in[size:]
	}
}

// wait has the next read wait about so long: to put the deadline off for each request
// would cost more than it is worth.
func (p *plainConn) wait(d time.Duration) bool {
	until := time.Now().Add(d)
	if !p.until.IsZero() && until.Sub(p.until) < d/16 {
		return true
	}
	p.until = until
	return p.SetReadDeadline(until) == nil
}

// gather reads on until it is clear what the request is, or takes too long.
func (p *plainConn) gather() (size int, what recognition) {
	p.until = time.Time{}
	if p.SetReadDeadline(time.Now().Add(gatherTime)) != nil {
		return 0, foreign
	}
	what = incomplete
	for what == incomplete && p.read() {
		size, what = p.req.recognise(p.in)
	}
	return size, what
}

// read takes what has come, behind what is not used yet.
func (p *plainConn) read() bool {
	p.in = p.buf[:copy(p.buf[:], p.in)]
	n, err := p.Read(p.buf[len(p.in):])
	p.in = p.in[:len(p.in)+n]
	return n > 0 && err == nil
}

// answer has a request answered, and tells whether the connection has another.
func (p *plainConn) answer(size int) (more bool) {
	a := answer{c: p.Conn, out: p.out[:0]}
	defer func() {
		if panicked := recover(); panicked != nil && panicked != http.ErrAbortHandler {
			p.f.log.Error("panic", "client", p.remote, "panic", panicked, "stack", string(debug.Stack()))
		}
	}()
	r := p.req.request(p.f.ctx, p.in[size-p.req.length:size], p.remote)
	p.f.http.Handler.ServeHTTP(&a, r)
	_ = r.Body.Close()
	more = a.end()
	if cap(a.out) <= 2*copied {
		p.out = a.out
	}
	return more
}
