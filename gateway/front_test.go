package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/netutil"
)

const (
	invokeLine = "POST /2015-03-31/functions/f/invocations HTTP/1.1\r\n"
	plainHead  = invokeLine + "Host: 127.0.0.1:4566\r\n"
	signedHead = plainHead + "User-Agent: aws-sdk-go-v2/1.0 md/x#1\r\nContent-Length: 2\r\nAmz-Sdk-Request: attempt=1; max=3\r\nAuthorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00\r\n" +
		"X-Amz-Date: 20260101T000000Z\r\nx-amz-tenant-id: \t blue \r\nAccept-Encoding: gzip\r\n\r\n{}"
)

// sayings are what clients say on a connection, in the plain form and off it.
var sayings = []string{
	signedHead,
	signedHead + signedHead,
	plainHead + "\r\n",
	plainHead + "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n",
	plainHead + "Content-Length: 02\r\n\r\n{}",
	plainHead + "Content-Length: 2\r\nX-Amz-Tenant-Id:\r\n\r\n{}",
	plainHead + "Content-Length: 2\r\nX-Amz-Invocation-Type: RequestResponse\r\n\r\n{}",
	plainHead + "Content-Length: 2\r\nX-Amz-Invocation-Type: Event\r\n\r\n{}" + signedHead,
	plainHead + "Content-Length: 2\r\nX-Amz-Tenant-Id: a\r\nX-Amz-Tenant-Id: b\r\n\r\n{}",
	plainHead + "Content-Length: 2\r\nX-Amz-Tenant-Id: a\r\nx-amz-tenant-id: b\r\n\r\n{}",
	plainHead + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
	plainHead + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
	plainHead + "Content-Length: +2\r\n\r\n{}",
	plainHead + "Content-Length: 3\r\n\r\n{}",
	plainHead + "Content-Length: 9000\r\n\r\n" + strings.Repeat("1", 9000),
	plainHead + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	plainHead + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	plainHead + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
	plainHead + "Connection: close\r\nContent-Length: 2\r\n\r\n{}" + signedHead,
	plainHead + "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}",
	plainHead + "Host: other\r\nContent-Length: 2\r\n\r\n{}",
	plainHead + "X-Other: y\r\nContent-Length: 2\r\n\r\n{}",
	plainHead + "Accept: \x01\r\n\r\n",
	plainHead + "Accept: x\n y\r\n\r\n",
	plainHead + "Accept : x\r\n\r\n",
	plainHead + " Accept: x\r\n\r\n",
	plainHead + "X-Amz-Tenant-\u0130d: a\r\n\r\n", // in lower case an i
	plainHead + "Amz-Sd\u212a-Request: attempt=1\r\n\r\n",
	plainHead + "Accept: " + strings.Repeat("x", 9000) + "\r\n\r\n",
	invokeLine + "\r\n",
	invokeLine + "Host:\r\n\r\n",
	invokeLine + "Host: id.lambda-url.us-east-1.localhost\r\nContent-Length: 2\r\n\r\n{}",
	strings.Replace(signedHead, "/f/", "/arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/", 1),
	strings.Replace(signedHead, "/f/", "/f%3A1/", 1),
	strings.Replace(signedHead, "/f/", "//", 1),
	strings.Replace(signedHead, "/f/", "/f/g/", 1),
	strings.Replace(signedHead, "/invocations", "/invocations/", 1),
	strings.Replace(signedHead, "/invocations", "/invocations?", 1),
	strings.Replace(signedHead, "/invocations", "/invocations?Qualifier=1", 1),
	strings.Replace(signedHead, "/invocations", "/invocations?Qualifier=%24LATEST", 1),
	strings.Replace(signedHead, "/invocations", "/invocations#f", 1),
	strings.Replace(signedHead, "HTTP/1.1", "HTTP/1.0", 1),
	strings.Replace(signedHead, "POST ", "POST  ", 1),
	strings.Replace(signedHead, "POST ", "GET ", 1),
	strings.Replace(signedHead, "POST ", "POST http://h", 1),
	"GET /2015-03-31/functions/ HTTP/1.1\r\nHost: x\r\n\r\n" + signedHead,
	signedHead + "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	"\r\n" + signedHead,
	signedHead + "\r\n" + signedHead + "\r\n",
	signedHead + "\r\n\r\n", signedHead + "\r\n\r\n\r\n" + signedHead, signedHead + "{}", signedHead + "GET ",
	signedHead + "\r\n\r\n" + signedHead,
	signedHead + "\n\r\n\r\n" + signedHead,
	signedHead + "\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"P",
	"",
}

// described is what a handler can see of a request.
func described(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	return fmt.Sprintf("%s %q %+v %s %d %d %q %q %q %d %v %v %v %s %v", r.Method, r.RequestURI, *r.URL, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Header, r.Host,
		body, r.ContentLength, err, r.TransferEncoding, r.Close, r.Trailer, r.TLS)
}

// ways are ways to answer.
var ways = []func(w http.ResponseWriter, text string){
	func(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) },
	func(w http.ResponseWriter, text string) {
		h := w.Header()
		h["X-Amz-B"], h["X-Amz-A"], h["Content-Type"] = []string{" b\nc "}, []string{"1", "2"}, []string{"application/json"}
		h.Set("Content-Length", fmt.Sprint(len(text)))
		w.WriteHeader(http.StatusOK)
		h.Set("X-Late", "1")
		_, _ = io.WriteString(w, text)
		if _, err := io.WriteString(w, "more"); !errors.Is(err, http.ErrContentLength) {
			panic(err)
		}
	},
	func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusNotFound) },
	func(w http.ResponseWriter, text string) {
		w.WriteHeader(http.StatusNoContent)
		if _, err := io.WriteString(w, text); !errors.Is(err, http.ErrBodyNotAllowed) {
			panic(err)
		}
	},
	func(w http.ResponseWriter, text string) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, text)
	},
	func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)+1))
		_, _ = io.WriteString(w, text)
	},
	func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Length", fmt.Sprint(1<<20))
		c := http.NewResponseController(w)
		if err := errors.Join(c.SetWriteDeadline(time.Now().Add(time.Minute)), c.SetReadDeadline(time.Time{})); err != nil {
			panic(err)
		}
		_, _ = w.Write(bytes.Repeat([]byte(text), 1+1<<20/len(text))[:1<<20])
		_ = c.SetWriteDeadline(time.Time{})
	},
	func(http.ResponseWriter, string) {},
	func(http.ResponseWriter, string) { panic(http.ErrAbortHandler) },
}

var dates = regexp.MustCompile(`\r\nDate: [^\r]*GMT\r\n`)

// said is all that comes back for bytes that arrive in pieces, one after another, at
// a server with a way to answer.
func said(t *testing.T, serve func(net.Listener, http.Handler) (stop func()), in string, pieces, way int) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ways[way](w, described(r)) }))
	defer stop()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		for i := range pieces { // fails if the server has hung up
			if _, err := io.WriteString(c, in[len(in)*i/pieces:len(in)*(i+1)/pieces]); err != nil {
				break
			}
		}
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	out, _ := io.ReadAll(c) // ends with a reset where the server did not read all
	return dates.ReplaceAllString(string(out), "\r\nDate: then\r\n")
}

func byFront(l net.Listener, h http.Handler) func() {
	f := NewFront(h, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- f.Serve(l) }()
	return func() { _ = f.Close(); <-done }
}

func byHTTP(l net.Listener, h http.Handler) func() {
	s := NewServer(h, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	return func() { _ = s.Close(); <-done }
}

// TestFrontAnswersAsHTTP: what the short way takes is answered with the bytes that
// net/http answers with, however it arrives.
func TestFrontAnswersAsHTTP(t *testing.T) {
	for _, in := range sayings {
		want := said(t, byHTTP, in, 1, 0)
		for _, pieces := range []int{1, 2, 7} {
			if got := said(t, byFront, in, pieces, 0); got != want {
				t.Errorf("%.300q in %d pieces:\n got %q\nwant %q", in, pieces, got, want)
			}
		}
	}
	for way := range ways {
		in := signedHead + plainHead + "Content-Length: 2\r\n\r\n[]"
		want := said(t, byHTTP, in, 1, way)
		if got := said(t, byFront, in, 1, way); got != want {
			t.Errorf("way %d:\n got %.2000q\nwant %.2000q", way, got, want)
		}
	}
}

// TestPlainRequests says which of the sayings take the short way.
func TestPlainRequests(t *testing.T) {
	var p plain
	for _, in := range []string{
		signedHead, plainHead + "\r\n", plainHead + "Content-Length: 02\r\n\r\n{}",
		plainHead + "Content-Length: 2\r\nX-Amz-Invocation-Type: RequestResponse\r\n\r\n{}",
		strings.Replace(signedHead, "/f/", "/arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/", 1),
		strings.Replace(signedHead, "/invocations", "/invocations?Qualifier=1", 1),
	} {
		if size, what := p.recognise([]byte(in)); what != recognised || size != len(in) {
			t.Errorf("%q: %d, %d bytes of %d", in, what, size, len(in))
		}
		for n := range len(in) {
			if _, what := p.recognise([]byte(in[:n])); what != incomplete {
				t.Fatalf("%q is not taken for the beginning of a plain request", in[:n])
			}
		}
	}
}

// FuzzPlain: what the short way takes is read as net/http reads it, and ends where it
// ends for net/http.
func FuzzPlain(f *testing.F) {
	for _, in := range sayings {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var p plain
		size, what := p.recognise(in)
		if what != recognised {
			return
		}
		from := bufio.NewReader(bytes.NewReader(in))
		want, err := http.ReadRequest(from)
		if err != nil {
			t.Fatalf("%q: net/http refuses it: %v", in, err)
		}
		got := p.request(t.Context(), in[size-p.length:size], "")
		if !reflect.DeepEqual(got.Header, want.Header) {
			t.Errorf("%q: header\n got %q\nwant %q", in, got.Header, want.Header)
		}
		if g, w := described(got), described(want); g != w {
			t.Errorf("%q:\n got %s\nwant %s", in, g, w)
		}
		rest, _ := io.ReadAll(from)
		if !bytes.Equal(rest, in[size:]) {
			t.Errorf("%q: %q is left, and for net/http %q", in, in[size:], rest)
		}
	})
}

// TestFrontKeepsTime: a connection that says nothing ends, one that is slow is
// net/http's, and one that takes its time between requests does not end too early.
func TestFrontKeepsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		f := NewFront(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), slog.New(slog.DiscardHandler))
		defer f.Close()
		if !f.open(far) {
			t.Fatal("it is closed")
		}
		ended := make(chan time.Time, 1)
		go func() { f.serve(far); ended <- time.Now() }()
		began := time.Now()
		if at := <-ended; at.Sub(began) != headerTimeout {
			t.Errorf("a connection that said nothing ended after %v", at.Sub(began))
		}

		near, far = net.Pipe()
		_ = f.open(far)
		go func() { f.serve(far); ended <- time.Now() }()
		answers := bufio.NewReader(near)
		var last time.Time
		for _, rest := range []time.Duration{idleTimeout / 2, idleTimeout / 2, idleTimeout / 5, 0} {
			if _, err := io.WriteString(near, plainHead+"\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := http.ReadResponse(answers, nil); err != nil {
				t.Fatal(err)
			}
			last = time.Now()
			time.Sleep(rest)
		}
		if after := (<-ended).Sub(last); after < idleTimeout*9/10 || after > idleTimeout {
			t.Errorf("an idle connection ended after %v", after)
		}

		near, far = net.Pipe()
		_ = f.open(far)
		go f.serve(far)
		began = time.Now()
		_, _ = io.WriteString(near, plainHead[:20])
		if c := <-f.slow; time.Since(began) != gatherTime {
			t.Errorf("half a request was handed on after %v", time.Since(began))
		} else {
			go func() { _, _ = io.WriteString(near, plainHead[20:]+"\r\n") }()
			if r, err := http.ReadRequest(bufio.NewReader(c)); err != nil || r.Host != "127.0.0.1:4566" {
				t.Errorf("what was handed on is read as %v, %v", r, err)
			}
			c.Close()
		}
		near.Close()
	})
}

// TestFrontGivesBack: whatever becomes of a connection, its place is free when its
// client has gone.
func TestFrontGivesBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	places := netutil.LimitListener(l, 1)
	panics := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") == "panic" {
			panic("as asked")
		}
	})
	defer byFront(places, panics)()
	for range 2 {
		for _, in := range []string{"", signedHead, signedHead + "GET / HTTP/1.1\r\nHost: x\r\n\r\n", signedHead[:60], signedHead + signedHead[:60], plainHead + "Accept: panic\r\n\r\n", "\r\n"} {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, in); err != nil {
				t.Fatal(err)
			}
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c) // until the server has hung up; the next waits for that
			c.Close()
		}
	}
}

// TestFrontCloses: Close ends connections in whatever state, and the requests on them.
// That one had just ended is no error.
func TestFrontCloses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, left := make(chan bool, 2), make(chan error, 2)
	f := NewFront(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") == "wait" {
			entered <- true
			<-r.Context().Done()
			left <- r.Context().Err()
		}
	}), slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- f.Serve(l) }()
	var clients []net.Conn
	for _, in := range []string{"", signedHead, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", plainHead + "Accept: wait\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nAccept: wait\r\n\r\n"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
		if _, err := io.WriteString(c, in); err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(in, "wait"):
			<-entered
		case in != "":
			if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	ended, err := net.Dial("tcp", l.Addr().String())
	if err != nil || !f.open(ended) {
		t.Fatal(err)
	}
	ended.Close()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	for _, c := range clients {
		if out, _ := io.ReadAll(c); len(out) > 0 {
			t.Errorf("%q", out)
		}
	}
	for range 2 {
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// BenchmarkPlain is an invocation that takes no time, over loopback, read without and
// with net/http; processor-µs/op is that of client, server and kernel.
func BenchmarkPlain(b *testing.B) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = io.ReadFull(r.Body, body)
		w.Header()["Content-Type"], w.Header()["Content-Length"] = []string{"application/json"}, []string{"2"}
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body)
	})
	for _, by := range []struct {
		name  string
		serve func(net.Listener, http.Handler) (stop func())
	}{{"front", byFront}, {"net-http", byHTTP}} {
		b.Run(by.name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer by.serve(l, h)()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			var before, after syscall.Rusage
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			b.ReportAllocs()
			in := make([]byte, 4096)
			for b.Loop() {
				if _, err := io.WriteString(c, signedHead); err != nil {
					b.Fatal(err)
				}
				n := 0
				for !bytes.HasSuffix(in[:n], []byte("\r\n\r\n{}")) {
					m, err := c.Read(in[n:])
					if n += m; err != nil {
						b.Fatal(err)
					}
				}
			}
			_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(spent)/1000/float64(b.N), "processor-µs/op")
		})
	}
}
