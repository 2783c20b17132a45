package supervise

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func subscription() Subscription {
	return Subscription{Kinds: KindPlatform | KindFunction, Form: FormObject, MaxItems: 1000, MaxBytes: 256 << 10, TimeoutMs: 1000}
}

// TestFeedKeepsOrderAndBounds gives a subscription records at random, while its
// listener is slow, fails, or takes them: what arrives is what was given, in order,
// without what was told to be dropped, and what waits is bounded.
func TestFeedKeepsOrderAndBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			sub := subscription()
			sub.MaxItems, sub.MaxBytes = 5, 100
			var got []int
			dropped, failing := 0, false
			f := newFeed(sub, func(batch [][]byte) error {
				time.Sleep(10 * time.Millisecond)
				if failing {
					return io.ErrClosedPipe
				}
				for _, r := range batch {
					var n int
					if _, err := fmt.Sscanf(string(r), "%d ", &n); err == nil {
						got = append(got, n)
						continue
					}
					var d struct{ Record struct{ DroppedRecords int } }
					if err := json.Unmarshal(r, &d); err != nil {
						rt.Fatalf("%s: %v", r, err)
					}
					dropped += d.Record.DroppedRecords
				}
				return nil
			})
			done := make(chan struct{})
			go func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					b, wait := f.next(time.Now())
					if b.records != nil {
						f.try(b)
						continue
					}
					select {
					case <-f.wake:
					case <-time.After(wait):
					case <-done:
						return
					}
				}
			}()
			n := rapid.IntRange(1, 60).Draw(rt, "records")
			for i := range n {
				if rapid.IntRange(0, 9).Draw(rt, "turns") == 0 {
					failing = !failing
				}
				size := rapid.IntRange(1, 40).Draw(rt, "size")
				f.offer(record{KindFunction, FormObject, fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", size))})
				if f.bytes > 2*sub.MaxBytes+60 || len(f.queue) > 2*sub.MaxItems {
					rt.Fatalf("%d records of %d bytes wait", len(f.queue), f.bytes)
				}
				time.Sleep(time.Duration(rapid.IntRange(0, 50).Draw(rt, "pause")) * time.Millisecond)
			}
			failing = false
			time.Sleep(time.Minute)
			f.offer(record{KindFunction, FormObject, []byte("1000000 last")}) // brings what was dropped
			f.flush()
			time.Sleep(time.Minute)
			close(done)
			synctest.Wait()
			for i := 1; i < len(got); i++ {
				if got[i] <= got[i-1] {
					rt.Fatalf("out of order: %v", got)
				}
			}
			if len(got)+dropped != n+1 {
				rt.Fatalf("%d arrived, %d were said to be dropped, of %d", len(got), dropped, n+1)
			}
		})
	})
}

func TestFeedTakesWhatItWants(t *testing.T) {
	var f feeds
	f.record(KindPlatform, AllForms, []byte("before"))
	for range maxBacklogItems {
		f.record(KindExtension, AllForms, []byte("others'"))
	}
	sub := subscription()
	f.subscribe(sub)
	f.record(KindFunction, FormString, []byte("in another form"))
	f.record(KindFunction, FormObject|FormString, []byte("in this form"))
	f.settle()
	f.subscribe(sub)
	if len(f.all) != 1 || f.backlog != nil {
		t.Fatalf("%d subscriptions", len(f.all))
	}
	one := f.all[0]
	one.mu.Lock()
	defer one.mu.Unlock()
	if got := string(bytes.Join(one.queue, []byte(","))); got != "before,in this form" {
		t.Errorf("waits: %s", got)
	}
}

// TestDelivery takes batches to listeners over HTTP and TCP.
func TestDelivery(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	status := make(chan int, 3)
	bodies := make(chan string, 3)
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		bodies <- r.Method + " " + r.Host + r.URL.String() + " " + r.Header.Get("Content-Type") + " " + string(raw)
		w.WriteHeader(<-status)
	}))
	s := subscription()
	s.Port, s.Path, s.Put = l.Addr().(*net.TCPAddr).Port, "/p?q=1", true
	deliver := deliverTo(s)
	batch := [][]byte{[]byte(`{"a":1}`), []byte(`{"b":2}`)}
	for _, want := range []int{200, 204, 500} {
		status <- want
		if err := deliver(batch); (err == nil) != (want < 400) {
			t.Errorf("after %d: %v", want, err)
		}
		if got, want := <-bodies, fmt.Sprintf(`PUT sandbox.localdomain:%d/p?q=1 application/json [{"a":1},{"b":2}]`, s.Port); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	lines, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	s.Port, s.Path = lines.Addr().(*net.TCPAddr).Port, ""
	deliver = deliverTo(s)
	for range 2 {
		if err := deliver(batch); err != nil {
			t.Fatal(err)
		}
	}
	c, err := lines.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for range 4 {
		line, err := in.ReadString('\n')
		if err != nil || !json.Valid([]byte(line)) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// FuzzAnswer has a listener answer with arbitrary bytes.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 N\r\n\r\n", "HTTP/1.1 500 no\r\n\r\n", "x", "HTTP/1.1 2", "HTTP/1.1 100 x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = io.CopyN(io.Discard, c, 10)
			_, _ = c.Write(answer)
		}()
		s := subscription()
		s.Port, s.Path = l.Addr().(*net.TCPAddr).Port, "/"
		if err := deliverTo(s)([][]byte{[]byte("{}")}); err == nil && !bytes.Contains(answer, []byte("HTTP/1.")) {
			t.Errorf("%q was taken for an acceptance", answer)
		}
	})
}

// FuzzFrame reads frames and words from arbitrary bytes.
func FuzzFrame(f *testing.F) {
	f.Add(AppendFrame(nil, ToldRecord, []byte{1, 2}, []byte("{}")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'O'})
	f.Add([]byte{SaidEnded, 1, 0, 0, 0, 9, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		for {
			before := r.Len()
			_, body, err := ReadFrame(r)
			if err != nil {
				break
			}
			if len(body) > before {
				t.Fatal("more than there was")
			}
		}
		r = bytes.NewReader(in)
		for {
			told, err := ReadTold(r)
			if err != nil {
				break
			}
			var b bytes.Buffer
			if err := WriteTold(&b, told); err != nil || b.Len() != toldSize {
				t.Fatal(err)
			}
		}
	})
}
