package lambdaapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
)

func fromKey(source, key string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = source + ":1"
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/20260304/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00")
	return r
}

// Whoever knows no more than the id of a key does not keep those out who have it.
func TestUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUploads(time.Now)
		begin := func(r *http.Request) (release func(), ok bool) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			one, err := u.begin(ctx, r, claimedKey(r), 1, func() { t.Error("what is here is cut off") })
			if err != nil {
				return nil, false
			}
			if err := one.done(nil); err != nil {
				t.Error(err)
			}
			return one.end, true
		}
		prove := func(r *http.Request) {
			u.prove(r, alcove.Caller{AccessKeyID: claimedKey(r)}, time.Now())
		}
		own := fromKey("10.0.0.1", "KEY")
		var held []func()
		for i, c := range []struct {
			r  *http.Request
			ok bool
		}{
			{fromKey("10.0.0.6", "KEY"), true}, {fromKey("10.0.0.7", "KEY"), true}, {fromKey("10.0.0.8", "KEY"), false}, // somebody
			{own, false},
		} {
			release, ok := begin(c.r)
			if ok != c.ok {
				t.Fatalf("%d: %v", i, ok)
			}
			if ok {
				held = append(held, release)
			}
		}
		prove(own)
		if _, ok := begin(fromKey("10.0.0.8", "KEY")); ok {
			t.Error("what is proven from elsewhere is taken for a proof")
		}
		if _, ok := begin(fromKey("10.0.0.1", "OTHER")); ok {
			t.Error("a proof of one key is taken for another's")
		}
		for range perSource {
			release, ok := begin(own)
			if !ok {
				t.Fatal("who has proved to have the key gets no place")
			}
			held = append(held, release)
		}
		if _, ok := begin(own); ok {
			t.Error("one source has more places than it may")
		}
		for _, release := range held {
			release()
			release()
		}
		if u.taken != 0 || u.unproven != 0 || len(u.sources) != 0 {
			t.Errorf("%+v", u)
		}
		// Somebody who waits gets the place that is free.
		first, _ := begin(fromKey("10.0.0.6", "KEY"))
		_, _ = begin(fromKey("10.0.0.7", "KEY"))
		go func() { time.Sleep(time.Second); first() }()
		if _, ok := begin(fromKey("10.0.0.8", "KEY")); !ok {
			t.Error("the free place is nobody's")
		}
		for range 2 * maxProven {
			u.prove(own, alcove.Caller{AccessKeyID: time.Now().String()}, time.Now())
			time.Sleep(time.Second)
		}
		if len(u.proven) > maxProven {
			t.Errorf("%d proofs are kept", len(u.proven))
		}
	})
}

// A body that others wait for has to come at a pace; what does is left alone, and so is
// what nobody waits for.
func TestSlowUploads(t *testing.T) {
	const size = 60 << 20 // a MB a second is enough
	for name, c := range map[string]struct {
		key     string // of the one who waits, from 10.0.0.9
		proven  bool
		holders []string // sources, of KEY
		rate    int64    // of the holders, bytes a second
		dropped int
	}{
		"slow":                       {"KEY", false, []string{"10.0.0.1", "10.0.0.2"}, 500 << 10, 1},
		"quick enough":               {"KEY", false, []string{"10.0.0.1", "10.0.0.2"}, 1500 << 10, 0},
		"quick, but two of a source": {"KEY", false, []string{"10.0.0.1", "10.0.0.1"}, 1500 << 10, 1},
		"not in the way":             {"KEY", true, []string{"10.0.0.1", "10.0.0.2"}, 500 << 10, 0},
		"one's own line":             {"KEY", false, []string{"10.0.0.9", "10.0.0.9"}, 100 << 10, 0},
		"one's own, standing still":  {"KEY", false, []string{"10.0.0.9", "10.0.0.9"}, 1 << 10, 1},
		"another's on one line":      {"OTHER", false, []string{"10.0.0.9", "10.0.0.9"}, 100 << 10, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := newUploads(time.Now)
				waiter := fromKey("10.0.0.9", c.key)
				if c.proven {
					u.prove(waiter, alcove.Caller{AccessKeyID: c.key}, time.Now())
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				results := make(chan error, len(c.holders))
				for _, source := range c.holders {
					body := &trickle{rate: c.rate, left: size, cut: make(chan struct{})}
					r := fromKey(source, "KEY")
					one, err := u.begin(ctx, r, "KEY", size, func() { close(body.cut) })
					if err != nil {
						t.Fatal(err)
					}
					go func() {
						_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, reading{body, one}, make([]byte, 2<<20))
						err = one.done(err)
						one.end()
						results <- err
					}()
				}
				synctest.Wait()
				one, err := u.begin(ctx, waiter, c.key, size, nil)
				if got := err == nil; got != (c.dropped > 0 || c.proven) {
					t.Errorf("who waits: %v", err)
				}
				if err == nil {
					one.end()
				}
				dropped := 0
				for range c.holders {
					if err := <-results; errors.Is(err, errSlowUpload) {
						dropped++
					} else if err != nil {
						t.Error(err)
					}
				}
				if dropped != c.dropped {
					t.Errorf("%d were given up, want %d", dropped, c.dropped)
				}
				if u.taken != 0 || u.unproven != 0 || len(u.sources)+len(u.here) != 0 {
					t.Errorf("%+v", u)
				}
			})
		})
	}
}

// trickle is a body that comes at a rate, until it is cut off.
type trickle struct {
	rate, left int64
	cut        chan struct{}
}

func (r *trickle) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-r.cut:
		return 0, os.ErrDeadlineExceeded
	case <-time.After(time.Second):
		n := min(r.rate, r.left, int64(len(p)))
		r.left -= n
		return int(n), nil
	}
}
