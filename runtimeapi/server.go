package runtimeapi

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"golang.org/x/time/rate"
)

const (
	// maxConns bounds the connections of one environment, over all listeners.
	// One too many is closed at once. A runtime needs one or two; each costs the
	// node a descriptor.
	maxConns = 16
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
	dials  *rate.Limiter // for every connection
	idle   *rate.Limiter // for what moves no invocation, see pay
	bodies chan struct{} // a place for each large body that is being read
	header chan struct{} // the one place for a large header

	mu       sync.Mutex
	closed   bool // guarded by mu; no request is taken up any more
	requests sync.WaitGroup
}

// NewServer makes a server for env. It serves nothing until [Server.Serve] is
// called. Close it to free what it holds.
func NewServer(env Environment, logger *slog.Logger) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		env: env, log: logger, ctx: ctx, cancel: cancel,
		dials:  rate.NewLimiter(dialRate, dialRate),
		idle:   rate.NewLimiter(idleRate, 2*idleRate),
		conns:  make(chan struct{}, maxConns),
		bodies: make(chan struct{}, maxBodies),
		header: make(chan struct{}, 1),
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
	err := s.http.Serve(&listener{Listener: l, s: s})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close closes all listeners and connections and makes every [Environment.Next]
// that is blocked return. It does not wait for requests under way, so it may be
// called from inside an Environment; see [Server.Wait].
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel() // first: http.Server waits for an Accept, which may be waiting itself
	return s.http.Close()
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
		if n := c.read.Load(); n > smallHeader {
			s.pay(s.idle, n/smallHeader)
		}
	}
	s.serve(w, r)
}

type debugWriter struct{ log *slog.Logger }

func (d debugWriter) Write(p []byte) (int, error) {
	d.log.Debug("runtime API", "msg", string(p))
	return len(p), nil
}
