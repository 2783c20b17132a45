package runtimeapi_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// dial opens a connection that ends with the test.
func (s *served) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("unix", s.socket)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestHeaderLines: a header of too many lines is refused, wherever its bytes are
// cut, and one of many lines is not.
func TestHeaderLines(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines int
		want  string
	}{{"many", 120, " 200 "}, {"too many", 140, " 431 "}} {
		for _, cut := range []int{1, 2, 3, 7, 1 << 20} {
			t.Run(fmt.Sprint(c.name, " cut at ", cut), func(t *testing.T) {
				s := serve(t)
				conn := s.dial()
				go func() {
					b := []byte("GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:\r\n", c.lines) + "\r\n")
					for len(b) > 0 {
						n := min(cut, len(b))
						if _, err := conn.Write(b[:n]); err != nil {
							return
						}
						b = b[n:]
					}
				}()
				if status := statusLine(t, conn); !strings.Contains(status, c.want) {
					t.Errorf("status %q, want %s", status, c.want)
				}
			})
		}
	}
}

// TestLinesOfABodyAreNotTheHeaders: a body of any number of lines, and what is
// left of one that nobody reads, is not held against its request or the next.
func TestLinesOfABodyAreNotTheHeaders(t *testing.T) {
	s := serve(t)
	lines := strings.Repeat("\n", 20<<10)
	for range 3 {
		s.invoke(event("r1"))
		res, _ := s.do("POST", response, strings.NewReader(lines))
		if res.StatusCode != 202 {
			t.Fatalf("a body of many lines: %s", res.Status)
		}
		if res, _ := s.do("POST", "/2018-06-01/nothing", strings.NewReader(lines)); res.StatusCode != 404 {
			t.Fatalf("a body that nobody reads: %s", res.Status)
		}
	}
}

// TestHeadersInMemory: what all connections of an environment may hold in
// headers is some hundred kilobytes and one large header.
func TestHeadersInMemory(t *testing.T) {
	s := serve(t)
	before := heap()
	var all sync.WaitGroup
	flood := func(head string) {
		conn := s.dial()
		// The server stops reading, and the socket is full.
		_ = conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		all.Go(func() { _, _ = io.WriteString(conn, head) })
	}
	for range 16 { // requests that stay, for their bodies never come
		flood("POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nB: " +
			strings.Repeat("x", 1<<20) + "\r\n" + strings.Repeat("a:\r\n", 100) + "\r\n")
	}
	all.Wait()
	// One header of 1 MiB is held in the buffers it came through, and in the
	// socket's.
	if held := heap() - before; held > 8<<20 {
		t.Errorf("headers hold %d KiB", held>>10)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestWhatMovesNothingIsRationed: pings and what is refused wait when there are
// too many of them; an invocation beside them does not.
func TestWhatMovesNothingIsRationed(t *testing.T) {
	s := serve(t)
	s.server.AllowIdle(5)
	flood := s.dial()
	requests := []string{
		"GET /2018-06-01/ping", "GET /nothing", "PUT /2018-06-01/ping", "PUT /2022-07-01/telemetry",
		"POST /2018-06-01/runtime/invocation/no/response",
	}
	for range 20 {
		for _, r := range requests {
			if _, err := io.WriteString(flood, r+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	answers := make(chan string, 200)
	go func() {
		var b [4096]byte
		for {
			n, err := flood.Read(b[:])
			if err != nil {
				close(answers)
				return
			}
			for range strings.Count(string(b[:n]), "HTTP/1.1 ") {
				answers <- ""
			}
		}
	}()
	for range 5 {
		<-answers
	}
	for range 10 {
		s.invoke(event("r1"))
		if res, _ := s.do("POST", response, strings.NewReader("{}")); res.StatusCode != 202 {
			t.Fatalf("an invocation beside the flood: %s", res.Status)
		}
	}
	_ = s.server.Close()
	more := 0
	for range answers {
		more++
	}
	if more > 1 { // one that waited may be answered at the end
		t.Errorf("%d answers beyond the ration", more)
	}
}

// TestDialsAreRationed: who opens connections without end waits.
func TestDialsAreRationed(t *testing.T) {
	s := serve(t)
	s.server.AllowDials(3)
	answers := make(chan bool, 6)
	for range 6 {
		conn := s.dial()
		if _, err := io.WriteString(conn, "GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		go func() {
			b, _ := io.ReadAll(conn)
			answers <- len(b) > 0
		}()
	}
	for range 3 {
		if !<-answers {
			t.Fatal("a connection within the ration was not served")
		}
	}
	_ = s.server.Close()
	served := 0
	for range 3 {
		if <-answers {
			served++
		}
	}
	// The accept under way when the ration was set had paid before.
	if served > 1 {
		t.Errorf("%d connections served beyond the ration", served)
	}
}
