package runtimeapi

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

type connKey struct{}

// listener hands out connections that keep to the limits of the server.
type listener struct {
	net.Listener
	s *Server
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		// A sandbox that connects without end waits in its own connect.
		l.s.pay(l.s.dials, 1)
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if made := l.s.admit(c); made != nil {
			return made, nil
		}
		_ = c.Close()
	}
}

// admit gives a connection its place, or nil if there is none for it: neither in
// this server nor, beyond what every environment has of its own, in what all
// share.
func (s *Server) admit(c net.Conn) *conn {
	select {
	case s.conns <- struct{}{}:
	default:
		return nil
	}
	shared := len(s.conns) > s.own
	if shared && !s.spare.take() {
		<-s.conns
		return nil
	}
	return &conn{Conn: c, s: s, shared: shared}
}

// conn counts the bytes and the lines of a request's header as they arrive.
// Once it has read more than smallHeader of them it holds the server's one place
// for a large header, until the request has been answered: what a header takes
// stays for as long.
type conn struct {
	net.Conn
	s *Server

	inBody atomic.Bool
	read   atomic.Int64 // bytes of the header so far, and what came with them
	holds  atomic.Bool
	close  sync.Once
	shared bool // holds a place of Server.spare

	event  atomic.Pointer[Event] // the last that went out, until a request follows
	unread atomic.Bool           // the client has ended without reading all that was sent

	first []byte // what was read before net/http had it

	// Of the goroutine that reads: one at a time, says net/http.
	lines int
	ended bool // the header's last line has been read
	empty bool // so far, the line that is being read is
}

// failed looks at an error of the connection. A peer that closes, or is killed,
// before it has read everything resets the connection (unix(7); RFC 9293, 3.6.1);
// one that has read everything ends it.
func (c *conn) failed(err error) {
	if errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		c.unread.Store(true)
	}
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.failed(err)
	}
	return n, err
}

func (c *conn) Read(p []byte) (int, error) {
	if c.inBody.Load() {
		return c.next(p)
	}
	if c.read.Load() > smallHeader && !c.holds.Load() {
		select {
		case c.s.header <- struct{}{}:
			c.holds.Store(true)
		case <-c.s.ctx.Done():
			return 0, net.ErrClosed
		}
	}
	n, err := c.next(p)
	c.read.Add(int64(n))
	if !c.scan(p[:n]) {
		c.tooLarge()
		return 0, io.EOF // net/http hangs up without a word
	}
	return n, err
}

// next reads what was read before, and then the connection.
func (c *conn) next(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	c.first = nil
	n, err := c.Conn.Read(p)
	if err != nil {
		c.failed(err)
	}
	return n, err
}

// scan counts the lines of the header in b, and tells whether they are few
// enough. It stops at the empty line that ends the header: what comes after is
// of the body, or of another request, and no more than net/http reads at once.
func (c *conn) scan(b []byte) bool {
	for !c.ended {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			c.empty = c.empty && (len(b) == 0 || len(b) == 1 && b[0] == '\r')
			return true
		}
		if c.empty && c.lines > 0 && (i == 0 || i == 1 && b[0] == '\r') {
			c.ended = true
			c.inBody.Store(true)
		}
		if c.lines++; c.lines > maxLines {
			return false
		}
		c.empty = true
		b = b[i+1:]
	}
	return true
}

// tooLarge answers as net/http does when it is a header's bytes that are too many.
func (c *conn) tooLarge() {
	const text = "431 Request Header Fields Too Large"
	_ = c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c.Conn, "HTTP/1.1 "+text+"\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"+text)
}

// connState is net/http's account of a connection. One that is idle has been
// read to the end of its last request: what comes next is another header.
func connState(c net.Conn, state http.ConnState) {
	if c, ok := c.(*conn); ok && state == http.StateIdle {
		c.release()
		c.lines, c.ended, c.empty = 0, false, false
		c.read.Store(0)
		c.inBody.Store(false)
	}
}

func (c *conn) release() {
	if c.holds.CompareAndSwap(true, false) {
		<-c.s.header
	}
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.close.Do(func() {
		c.release()
		if ev := c.event.Load(); ev != nil && ev.Fate != nil {
			ev.Fate.Gone(c.unread.Load())
		}
		c.s.forget(c)
		<-c.s.conns
		if c.shared {
			c.s.spare.give()
		}
	})
	return err
}
