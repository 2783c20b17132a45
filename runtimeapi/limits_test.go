package runtimeapi_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
)

// TestConnectionLimit: beyond the limit a connection is closed at once, and a
// place that is given back can be used.
func TestConnectionLimit(t *testing.T) {
	s := serve(t)
	var open []net.Conn
	for range 16 {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	extra, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	_ = extra.SetReadDeadline(time.Now().Add(patience))
	if n, err := extra.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection too many: %d %v", n, err)
	}
	_ = open[0].Close()
	deadline := time.Now().Add(patience)
	for {
		res, err := s.client.Get("http://runtime/2018-06-01/ping")
		if err == nil {
			_ = res.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestSpareConnections: what is beyond every environment's own connections is
// shared, and given back when it ends; the own ones are there whatever others do.
func TestSpareConnections(t *testing.T) {
	spare := runtimeapi.NewSpare(1)
	sharing := func() *served {
		env := runtimeapitest.New()
		return serveSharing(t, spare, env, env)
	}
	greedy, modest := sharing(), sharing()
	dial := func(s *served) net.Conn {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	isServed := func(c net.Conn) bool {
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(c, "GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n")
		n, err := c.Read(make([]byte, 256))
		return err == nil && n > 0
	}
	var third net.Conn
	for i := range runtimeapi.OwnConns + 2 {
		c := dial(greedy)
		if got, want := isServed(c), i <= runtimeapi.OwnConns; got != want {
			t.Errorf("connection %d is served: %v", i+1, got)
		}
		if i == runtimeapi.OwnConns {
			third = c
		}
	}
	for i := range runtimeapi.OwnConns + 1 {
		if got, want := isServed(dial(modest)), i < runtimeapi.OwnConns; got != want {
			t.Errorf("connection %d of another environment is served: %v", i+1, got)
		}
	}
	_ = third.Close()
	deadline := time.Now().Add(patience)
	for !isServed(dial(modest)) {
		if time.Now().After(deadline) {
			t.Fatal("the place is not given back")
		}
	}
}

// TestOneLargeHeader: only one connection at a time may send a large header;
// the others are not disturbed.
func TestOneLargeHeader(t *testing.T) {
	s := serve(t)
	large := func() net.Conn {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, "GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 512<<10)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := large()
	second, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	// The second is not read beyond its share, so the socket fills up.
	_ = second.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	n, err := io.WriteString(second, "GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 1<<20))
	if err == nil {
		t.Fatalf("the server took %d bytes of a second large header", n)
	}
	if res, body := s.do("GET", "/2018-06-01/ping", nil); res.StatusCode != 200 || body != "pong" {
		t.Errorf("a small request beside them: %s %q", res.Status, body)
	}
	_, _ = io.WriteString(first, "\r\n\r\n")
	if status := statusLine(t, first); !strings.Contains(status, " 200 ") {
		t.Errorf("the first: %q", status)
	}
	_ = second.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(second, "x\r\n\r\n"); err != nil {
		t.Fatalf("the second, when it is its turn: %v", err)
	}
	if status := statusLine(t, second); !strings.Contains(status, " 200 ") {
		t.Errorf("the second: %q", status)
	}
}

// TestHeaderLimit: a header beyond the limit is refused.
func TestHeaderLimit(t *testing.T) {
	s := serve(t)
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, "GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 2<<20)+"\r\n\r\n")
	}()
	if status := statusLine(t, c); !strings.Contains(status, " 431 ") {
		t.Errorf("status %q", status)
	}
}
