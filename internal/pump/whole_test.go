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

// TestPace has a peer take an answer slowly, piece by piece, for as long as it
// likes, and leave the next.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		l := one{make(chan net.Conn, 1)}
		l.conns <- far
		const pieces = 40
		took, sent := make(chan time.Duration, 2), make(chan int, 2)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			from, p := time.Now(), NewPace(w)
			n := 0
			for range pieces {
				if _, err := p.Write(make([]byte, 8<<10)); err != nil {
					break
				}
				n++
			}
			p.Done()
			took <- time.Since(from)
			sent <- n
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
		for {
			_, err := io.ReadFull(first.Body, make([]byte, 8<<10))
			if err != nil {
				break
			}
			time.Sleep(paceTime / 2)
		}
		if d, n := <-took, <-sent; n != pieces || d < pieces*paceTime/2-time.Minute {
			t.Errorf("%d pieces were sent in %v", n, d)
		}
		ask()
		if d, n := <-took, <-sent; n == pieces || d != paceTime {
			t.Errorf("an answer that nobody took was held for %v, with %d pieces sent", d, n)
		}
		near.Close()
		close(l.conns)
		server.Close()
	})
}
