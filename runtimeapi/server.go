package runtimeapi

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxConns bounds the connections of one environment, over all listeners.
	// One too many is closed at once. Each costs the node a descriptor.
	maxConns = 16
	// OwnConns is how many connections an environment whose runtime is somebody
	// else's may have whatever others do: such a client needs one or two.
	OwnConns = 2
	// maxLines bounds the lines of a request's header: net/http bounds its bytes
	// only, and takes some two hundred of memory for a line of three. Trailers it
	// bounds to 4 KiB in all.
	maxLines = 128
	// smallHeader is how large a request's header may be on any connection;
	// beyond it, and up to maxHeader, only on one at a time. Clients put the
	// X-Ray cause of an error into a header, up to 1 MiB of it.
	smallHeader = 8 << 10
	maxHeader   = 1<<20 + 64<<10
)

// Server is the Runtime API of one environment.
type Server struct {
	env    Environment
	log    *slog.Logger
	http   http.Server
	ctx    context.Context // done when the server is closed
	cancel context.CancelFunc

	conns  chan struct{} // a place for each connection
	own    int           // connections that it may have whatever others do
	spare  *Spare        // for connections beyond own
	dials  *rate.Limiter // for every connection
	idle   *rate.Limiter // for what moves no invocation, see pay
	bodies chan struct{} // a place for each large body that is being read
	header chan struct{} // the one place for a large header

	slow     chan net.Conn // from quickConns to http
	onlyHTTP bool          // quickConns hand all on; for tests

	mu       sync.Mutex
	closed   bool                   // guarded by mu; no request is taken up any more
	opened   map[io.Closer]struct{} // guarded by mu; listeners, and connections that http does not have
	serving  bool                   // guarded by mu; http is
	requests sync.WaitGroup
}

// NewServer makes a server for env. It serves nothing until [Server.Serve] is
// called. Close it to free what it holds. Connections beyond own take their place
// from spare, which servers share; nil has no end.
func NewServer(env Environment, own int, spare *Spare, logger *slog.Logger) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		env: env, log: logger, ctx: ctx, cancel: cancel,
		dials:  rate.NewLimiter(dialRate, dialRate),
		idle:   rate.NewLimiter(idleRate, 2*idleRate),
		conns:  make(chan struct{}, maxConns),
		own:    own,
		spare:  spare,
		bodies: make(chan struct{}, maxBodies),
		header: make(chan struct{}, 1),
		slow:   make(chan net.Conn),
		opened: make(map[io.Closer]struct{}),
	}
	s.http = http.Server{
		Handler:                      http.HandlerFunc(s.handle),
		MaxHeaderBytes:               maxHeader,
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: connState,
		// Malformed requests are the function's business and would flood the log.
		ErrorLog: log.New(debugWriter{logger}, "", 0),
	}
	return s
}

// Serve accepts connections on l until the server is closed, which also closes
// l; then it returns nil. Several listeners may be served at once.
func (s *Server) Serve(l net.Listener) error {
	if !s.open(l) {
		return l.Close()
	}
	defer s.forget(l)
	from := &listener{Listener: l, s: s}
	for wait := minRetry; ; {
		c, err := from.Accept()
		switch {
		case err == nil:
			wait = minRetry
			s.take(c.(*conn))
			continue
		case s.ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		// Out of descriptors, as a rule; net/http waits in the same way.
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			return nil
		}
		wait = min(2*wait, maxRetry)
	}
}

// How long Serve waits after an error before it accepts again.
const (
	minRetry = 5 * time.Millisecond
	maxRetry = time.Second
)

// take serves a connection in a goroutine of its own.
func (s *Server) take(c *conn) {
	if !s.open(c) {
		_ = c.Close()
		return
	}
	go func() {
		defer s.requests.Done()
		s.serveQuick(c)
	}()
}

// open has [Server.Close] close c. It counts a connection as a request, and is
// false if the server has been closed.
func (s *Server) open(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.opened[c] = struct{}{}
	if _, ok := c.(*conn); ok {
		s.requests.Add(1)
	}
	return true
}

func (s *Server) forget(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.opened, c)
}

// handOn gives a connection, and what has been read of it, to net/http.
func (s *Server) handOn(c *conn, read []byte) bool {
	c.first = read
	s.mu.Lock()
	if !s.serving && !s.closed {
		s.serving = true
		s.requests.Add(1)
		go func() {
			defer s.requests.Done()
			_ = s.http.Serve(handedOn{s}) // ends when the server is closed
		}()
	}
	s.mu.Unlock()
	select {
	case s.slow <- c:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// handedOn is the listener of http.
type handedOn struct{ s *Server }

func (h handedOn) Accept() (net.Conn, error) {
	select {
	case c := <-h.s.slow:
		return c, nil
	case <-h.s.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (h handedOn) Close() error   { return nil }
func (h handedOn) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// Close closes all listeners and connections and makes every [Environment.Next]
// that is blocked return. It does not wait for requests under way, so it may be
// called from inside an Environment; see [Server.Wait].
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	opened := s.opened
	s.opened = nil
	s.mu.Unlock()
	s.cancel()
	var err error
	for c := range opened {
		err = errors.Join(err, c.Close())
	}
	return errors.Join(err, s.http.Close())
}

// Wait returns when no request is being answered any more. Call it after
// [Server.Close], and not from inside an Environment.
func (s *Server) Wait() { s.requests.Wait() }

// begin counts a request, unless the server has been closed.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.requests.Add(1)
	}
	return !s.closed
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		panic(http.ErrAbortHandler) // hangs up
	}
	defer s.requests.Done()
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.inBody.Store(true)
		c.event.Store(nil)
		if n := c.read.Load(); n > smallHeader {
			s.pay(s.idle, n/smallHeader)
		}
	}
	s.serve(w, r)
}

type debugWriter struct{ log *slog.Logger }

func (d debugWriter) Write(p []byte) (int, error) {
	d.log.Debug("runtime API", "text", string(p))
	return len(p), nil
}
