package pump

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// one is a listener that has one connection.
type one struct{ conns chan net.Conn }

func (l one) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l one) Close() error   { return nil }
func (l one) Addr() net.Addr { return &net.TCPAddr{} }

// TestWhole has a peer take one answer slowly, which it may, and leave the next: it
// does not stay in memory.
func TestWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		l := one{make(chan net.Conn, 1)}
		l.conns <- far
		took := make(chan time.Duration, 2)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			from := time.Now()
			Whole(w, make([]byte, wholeFrom+1))
			took <- time.Since(from)
		})}
		go func() { _ = server.Serve(l) }()
		ask := func() *http.Response {
			if _, err := io.WriteString(near, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			r, err := http.ReadResponse(bufio.NewReaderSize(near, 16), nil)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		first := ask()
		time.Sleep(wholeTime / 2)
		if b, err := io.ReadAll(first.Body); err != nil || len(b) != wholeFrom+1 {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		<-took
		time.Sleep(wholeTime)
		ask()
		if d := <-took; d != wholeTime {
			t.Errorf("an answer that nobody took was held for %v", d)
		}
		near.Close()
		close(l.conns)
		server.Close()
	})
}
