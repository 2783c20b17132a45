package intake

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// request is one whose body is written by a test.
func request(from string, length int64) (*http.Request, *io.PipeWriter) {
	r, w := io.Pipe()
	q := httptest.NewRequest(http.MethodPost, "/", r)
	q.RemoteAddr, q.ContentLength = from+":1", length
	return q, w
}

// closing has a cut end the read, as a server's connection does.
type closing struct {
	http.ResponseWriter
	r io.Closer
}

func (c closing) SetReadDeadline(time.Time) error { return c.r.Close() }

func take(b *Budget, q *http.Request, open bool) (*Body, error) {
	return b.Take(closing{httptest.NewRecorder(), q.Body}, q, 100<<20, open)
}

func TestShares(t *testing.T) {
	b := New(8 << 20)
	one := func(from string, n int64, open bool) error {
		q, _ := request(from, n)
		_, err := take(b, q, open)
		return err
	}
	for i, c := range []struct {
		from string
		n    int64
		open bool
		ok   bool
	}{
		{"10.0.0.1", 3 << 20, true, true},
		{"10.0.0.1", 2 << 20, false, false}, // half is one source's
		{"10.0.0.1", 1 << 20, false, true},
		{"10.0.0.2", 2 << 20, true, false}, // half is open
		{"10.0.0.2", 1 << 20, true, true},
		{"[2001:db8::1]", 2 << 20, false, true},
		{"[2001:db8::ffff:1]", 3 << 20, false, false}, // one network
		{"10.0.0.3", 1 << 20, false, true},
		{"10.0.0.4", 5 << 20, false, false}, // more than half
		{"10.0.0.4", 4 << 20, false, false}, // full, and no other has more than that
		{"10.0.0.4", 0, false, true},
	} {
		if err := one(c.from, c.n, c.open); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// read reads a body to its end, which it tells.
func read(q *http.Request, body *Body) chan error {
	end := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, q.Body)
		body.Done()
		end <- err
	}()
	return end
}

// Bodies that hardly move are given up when room is short, and only then; those
// that move are not.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(8 << 20)
		var ends []chan error
		var writers []*io.PipeWriter
		for _, from := range []string{"10.0.0.1", "10.0.0.2"} {
			q, w := request(from, 4<<20)
			body, err := take(b, q, false)
			if err != nil {
				t.Fatal(err)
			}
			ends, writers = append(ends, read(q, body)), append(writers, w)
		}
		next := func() error {
			q, _ := request("10.0.0.3", 2<<20)
			body, err := take(b, q, false)
			if err == nil {
				body.Done()
			}
			return err
		}
		if err := next(); !errors.Is(err, ErrFull) {
			t.Errorf("at once: %v", err)
		}
		for range 12 { // one of them a byte a second, the other as it should be
			time.Sleep(time.Second)
			_, _ = writers[0].Write([]byte{1})
			_, _ = writers[1].Write(make([]byte, slowRate))
		}
		if err := next(); err != nil {
			t.Errorf("with a slow one: %v", err)
		}
		if err := <-ends[0]; !errors.Is(err, ErrSlow) {
			t.Errorf("the slow one: %v", err)
		}
		_ = writers[1].Close()
		if err := <-ends[1]; err != nil {
			t.Errorf("the other: %v", err)
		}
		if b.used != 0 || len(b.sources) != 0 || len(b.reading) != 0 {
			t.Errorf("%+v", b)
		}
	})
}

// Two sources that send a lot, and well, do not keep others out: of what they have on
// their way they keep one body each, and somebody's only one is nobody else's to take.
func TestTwoSourcesDoNotFillIt(t *testing.T) {
	b := New(8 << 20)
	one := func(from string, n int64) (*Body, error) {
		q, _ := request(from, n)
		return take(b, q, false)
	}
	of := map[string][]*Body{}
	for range 4 {
		for _, from := range []string{"10.0.0.1", "10.0.0.2"} {
			body, err := one(from, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			of[from] = append(of[from], body)
		}
	}
	if _, err := one("10.0.0.1", 1<<20); !errors.Is(err, ErrFull) {
		t.Errorf("more for one that has most: %v", err)
	}
	single, err := one("10.0.0.3", 2<<20)
	if err != nil {
		t.Fatalf("another source: %v", err)
	}
	for from, bodies := range of {
		left := 0
		for _, body := range bodies {
			if !body.slow {
				left++
			}
		}
		if left != 3 {
			t.Errorf("%s has %d left", from, left)
		}
	}
	for _, from := range []string{"10.0.0.4", "10.0.0.5", "10.0.0.6"} {
		_, _ = one(from, 1<<20)
	}
	if single.slow {
		t.Error("the only body of a source is given up, though it comes well")
	}
	if _, err := one("10.0.0.7", 4<<20); !errors.Is(err, ErrFull) { // it would have most itself
		t.Errorf("a large one: %v", err)
	}
}

// A large body that cannot be whole in time is slow, though many bytes of it come.
func TestSlowForItsSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 4 * slowRate * int64(wholeTime/time.Second)
		b := New(2 * size)
		q, w := request("10.0.0.1", size)
		body, err := take(b, q, false)
		if err != nil {
			t.Fatal(err)
		}
		end := read(q, body)
		for range 7 {
			time.Sleep(time.Second)
			_, _ = w.Write(make([]byte, 3*slowRate))
		}
		q, _ = request("10.0.0.2", size)
		second, err := take(b, q, false)
		if err != nil {
			t.Errorf("while there is room: %v", err)
		}
		q, _ = request("10.0.0.3", size/2)
		third, err := take(b, q, false)
		if err != nil {
			t.Fatalf("where the slow one is: %v", err)
		}
		if err := <-end; !errors.Is(err, ErrSlow) {
			t.Errorf("the slow one: %v", err)
		}
		second.Done()
		third.Done()
		if b.used != 0 || len(b.sources)+len(b.reading) != 0 {
			t.Errorf("%+v", b)
		}
	})
}

// A body of unknown length counts as it comes.
func TestUnknownLength(t *testing.T) {
	b := New(2 << 20)
	q, w := request("10.0.0.1", -1)
	body, err := take(b, q, false)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range 100 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	n, err := io.Copy(io.Discard, q.Body)
	if !errors.Is(err, ErrFull) || n != 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	body.Done()
	w.CloseWithError(io.EOF)
	if b.used != 0 {
		t.Errorf("%+v", b)
	}
}

// Whatever comes and goes, nothing is counted twice, or lost.
func TestAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New(1 << 20)
		var bodies []*Body
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				q, _ := request(rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "[::1]"}).Draw(t, "from"), rapid.Int64Range(-1, 300<<10).Draw(t, "n"))
				if body, err := take(b, q, rapid.Bool().Draw(t, "open")); err == nil {
					bodies = append(bodies, body)
				}
			},
			"done": func(t *rapid.T) {
				if len(bodies) > 0 {
					i := rapid.IntRange(0, len(bodies)-1).Draw(t, "i")
					bodies[i].Done() // as often as somebody likes
				}
			},
			"": func(t *rapid.T) {
				var used, open int64
				of := map[any]int64{}
				for _, body := range bodies {
					used += body.held
					of[body.source] += body.held
					if body.open {
						open += body.held
					}
				}
				if used != b.used || open != b.open || used > b.limit || open > b.limit/2 {
					t.Fatalf("%d, %d in %+v", used, open, b)
				}
				for source, n := range b.sources {
					if n != of[source] || n > b.limit/2 {
						t.Fatalf("%v has %d, not %d", source, n, of[source])
					}
				}
			},
		})
	})
}
