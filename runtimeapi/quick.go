package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Awaiter is an [Environment] that hands events out without a goroutine that
// waits for them.
type Awaiter interface {
	// Await is Next without the wait. deliver is called once, with what
	// Next would have returned, by a goroutine of the environment's; it does not
	// block. leave says that the client went away, and tells whether that was in
	// time: then deliver is not called.
	Await(deliver func(*Event, error)) (leave func() bool)
}

// quickConn serves a connection's requests for as long as they are those that
// make up invocations, or pings, in their plain form (quickrequest.go). The first that is
// anything else goes to net/http with all that follows: what is sent there is
// seldom, or strange, and has one well-kept reader.
//
// One goroutine reads. While the client waits at /next, that goroutine waits for
// what the client does next, and the event is written by whoever has it: nobody
// has to wake up in between. Two answers that are due one after the other leave
// together, the acceptance of a result with the event after it, if the client
// asked for both together.
type quickConn struct {
	c   *conn
	s   *Server
	raw syscall.RawConn
	buf [quickIn]byte
	in  []byte // the part of buf that is read and not used yet
	// asked says that the client waits at /next. The goroutine that delivers
	// then owns out, until it has put a token into turn.
	asked bool
	leave func() bool
	turn  chan struct{}
	out   []byte // answers that are due
}

const (
	quickIn = 4 << 10
	// quickEvent is the largest event that is copied behind its header.
	quickEvent = 16 << 10
)

// serveQuick serves c until it ends, or is net/http's.
func (s *Server) serveQuick(c *conn) {
	q := &quickConn{c: c, s: s, turn: make(chan struct{}, 1)}
	q.in = q.buf[:0]
	if sc, ok := c.Conn.(syscall.Conn); ok {
		q.raw, _ = sc.SyscallConn()
	}
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("runtime API", "panic", p, "stack", string(debug.Stack()))
			_ = c.Close()
		}
	}()
	if q.serve() {
		return // to net/http
	}
	// Who sends no more may still read.
	if q.asked && q.leave() {
		q.asked = false
	}
	if q.myTurn() {
		q.flush()
	}
	_ = c.Close()
}

// serve tells whether the connection lives on elsewhere.
func (q *quickConn) serve() bool {
	for {
		req, size, what := recognise(q.in)
		if q.s.onlyHTTP {
			what = unknown
		}
		if what == incomplete && len(q.in) < quickIn {
			if q.read() {
				continue
			}
			if len(q.in) == 0 {
				return false
			}
		}
		if !q.myTurn() {
			return false
		}
		if what != recognised {
			return q.flush() && q.s.handOn(q.c, q.in)
		}
		q.in = q.in[size:]
		if !q.answer(&req) {
			return false
		}
	}
}

// read waits for more bytes. What is due goes out first, for the client may be
// waiting for it.
func (q *quickConn) read() bool {
	if !q.asked && !q.flush() {
		return false
	}
	q.in = q.buf[:copy(q.buf[:], q.in)]
	n, err := q.c.Conn.Read(q.buf[len(q.in):])
	if err != nil {
		q.c.failed(err)
	}
	q.in = q.in[:len(q.in)+n]
	return n > 0 && (err == nil || errors.Is(err, io.EOF))
}

// myTurn waits until the event that was asked for has been handed out: answers
// keep the order of the questions.
func (q *quickConn) myTurn() bool {
	if !q.asked {
		return true
	}
	select {
	case <-q.turn:
		q.asked = false
		return true
	case <-q.s.ctx.Done():
		return false
	}
}

// answer answers one request. False ends the connection.
func (q *quickConn) answer(req *quickRequest) bool {
	q.c.event.Store(nil)
	if req.route == quickNext {
		q.asked = true
		q.leave = q.s.await(q.deliver)
		return true
	}
	w := quickWriter{q: q}
	if req.route == quickPing {
		q.s.ping(&w, nil, "")
		return q.flush() // nothing that is due later holds it up
	}
	body, whole := q.body(req.length)
	r := &http.Request{ContentLength: int64(req.length)}
	switch {
	case !whole && req.route == quickResponse:
		q.s.truncated(&w, r, req.id, req.invocationID, stateResponse)
	case !whole:
		q.s.truncated(&w, r, req.id, req.invocationID, stateError)
	case req.route == quickResponse:
		if err := q.s.env.Response(req.id, req.invocationID, body); err != nil {
			q.s.refuse(&w, r, err, stateResponse)
			break
		}
		q.out = append(q.out, quickAccepted...)
	default:
		f := faultOf(req.errorType, req.contentType, req.xrayCause, body)
		if err := q.s.env.Failure(req.id, req.invocationID, f); err != nil {
			q.s.refuse(&w, r, err, stateError)
			break
		}
		q.out = append(q.out, quickAccepted...)
	}
	if !whole {
		q.flush()
		return false
	}
	return true
}

// body reads a body of n bytes into memory of its own.
func (q *quickConn) body(n int) (body []byte, whole bool) {
	body = make([]byte, n)
	have := copy(body, q.in)
	q.in = q.in[have:]
	if have == n {
		return body, true
	}
	if !q.flush() {
		return nil, false
	}
	_, err := io.ReadFull(q.c.Conn, body[have:])
	return body, err == nil
}

// flush writes what is due.
func (q *quickConn) flush() bool {
	if len(q.out) == 0 {
		return true
	}
	_, err := q.c.Conn.Write(q.out)
	q.out = q.out[:0]
	return err == nil
}

const quickAccepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\nContent-Type: application/json\r\n\r\n{\"status\":\"OK\"}\n"

// deliver writes the event that was asked for, behind what is due. It does not
// block: what the socket does not take is written by a goroutine.
func (q *quickConn) deliver(ev *Event, err error) {
	if err != nil {
		go func() {
			q.s.refuse(&quickWriter{q: q}, &http.Request{}, err, stateReady)
			q.flush()
			q.turn <- struct{}{}
		}()
		return
	}
	q.c.event.Store(ev)
	q.out = appendEvent(q.out, ev)
	if q.raw == nil || len(ev.Payload) > quickEvent {
		go q.deliverRest(q.out, ev.Payload)
		return
	}
	q.out = append(q.out, ev.Payload...)
	var n int
	var werr error
	_ = q.raw.Write(func(fd uintptr) bool {
		n, werr = unix.Write(int(fd), q.out)
		return true
	})
	if werr != nil {
		q.c.failed(werr)
	}
	if n = max(n, 0); n < len(q.out) && (werr == nil || werr == unix.EAGAIN || werr == unix.EINTR) {
		go q.deliverRest(q.out[n:], nil)
		return
	}
	q.out = q.out[:0]
	q.turn <- struct{}{}
}

func (q *quickConn) deliverRest(first, second []byte) {
	all := net.Buffers{first, second}
	if _, err := all.WriteTo(q.c.Conn); err != nil {
		q.c.failed(err)
	}
	q.out = q.out[:0]
	q.turn <- struct{}{}
}

// appendEvent is the header of the answer to /next.
func appendEvent(b []byte, ev *Event) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Type: "...)
	contentType := ev.ContentType
	if contentType == "" {
		contentType = typeJSON
	}
	b = appendValue(b, contentType)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(ev.Payload)), 10)
	for _, h := range [...]struct{ name, value string }{
		{"Lambda-Runtime-Aws-Request-Id", ev.RequestID},
		{"Lambda-Runtime-Invocation-Id", ev.InvocationID},
		{"Lambda-Runtime-Trace-Id", ev.TraceID},
		{"Traceparent", ev.Traceparent},
		{"Tracestate", ev.Tracestate},
		{"Lambda-Runtime-Client-Context", ev.ClientContext},
		{"Lambda-Runtime-Cognito-Identity", ev.CognitoIdentity},
		{"Lambda-Runtime-Invoked-Function-Arn", ev.FunctionARN},
		{"Lambda-Runtime-Aws-Tenant-Id", string(ev.Tenant)},
	} {
		if h.value != "" {
			b = append(append(append(b, "\r\n"...), h.name...), ": "...)
			b = appendValue(b, h.value)
		}
	}
	b = append(b, "\r\nLambda-Runtime-Deadline-Ms: "...)
	b = strconv.AppendInt(b, ev.Deadline.UnixMilli(), 10)
	return append(b, "\r\n\r\n"...)
}

// appendValue writes a header's value as net/http does: without line breaks, and
// without blanks around it.
func appendValue(b []byte, value string) []byte {
	if strings.ContainsAny(value, "\r\n") {
		value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	return append(b, strings.Trim(value, " \t\r\n")...)
}

// quickWriter renders the answers that are not worth a renderer of their own.
type quickWriter struct {
	q      *quickConn
	header http.Header
}

func (w *quickWriter) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func (w *quickWriter) WriteHeader(status int) {
	b := fmt.Appendf(w.q.out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for name, values := range w.header {
		for _, value := range values {
			b = append(append(append(b, name...), ": "...), value...)
			b = append(b, "\r\n"...)
		}
	}
	w.q.out = append(b, "\r\n"...)
}

func (w *quickWriter) Write(p []byte) (int, error) {
	w.q.out = append(w.q.out, p...)
	return len(p), nil
}

// await is the environment's Await, or its Next if it has none.
func (s *Server) await(deliver func(*Event, error)) (leave func() bool) {
	if a, ok := s.env.(Awaiter); ok {
		return a.Await(deliver)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	left := make(chan bool, 1)
	go func() {
		ev, err := s.env.Next(ctx)
		if errors.Is(err, context.Canceled) {
			left <- true
			return
		}
		left <- false
		deliver(ev, err)
	}()
	return func() bool {
		cancel()
		return <-left
	}
}
