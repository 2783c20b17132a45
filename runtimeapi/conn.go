package runtimeapi

import (
	"net"
	"sync"
	"sync/atomic"
)

type connKey struct{}

// listener hands out connections that keep to the limits of the server.
type listener struct {
	net.Listener
	s *Server
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.s.conns <- struct{}{}:
			return &conn{Conn: c, s: l.s}, nil
		default:
			_ = c.Close()
		}
	}
}

// conn counts the bytes of a request's header as they arrive. While it reads
// more than smallHeader of them it holds the server's one place for a large
// header.
type conn struct {
	net.Conn
	s *Server

	inBody atomic.Bool
	read   atomic.Int64 // bytes of the header so far
	holds  atomic.Bool
	close  sync.Once
}

func (c *conn) Read(p []byte) (int, error) {
	if c.inBody.Load() {
		return c.Conn.Read(p)
	}
	if c.read.Load() > smallHeader && !c.holds.Load() {
		select {
		case c.s.header <- struct{}{}:
			c.holds.Store(true)
		case <-c.s.ctx.Done():
			return 0, net.ErrClosed
		}
	}
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// beginBody says that the header is complete.
func (c *conn) beginBody() {
	c.inBody.Store(true)
	c.release()
}

// beginHeader says that what comes next is the header of another request.
func (c *conn) beginHeader() {
	c.read.Store(0)
	c.inBody.Store(false)
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
		<-c.s.conns
	})
	return err
}
