package lambdaapi

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
)

// Large bodies are deployment packages, and each is in memory as a whole, more than
// once while it is read: few are taken in at a time. Who sends one is known for
// certain only when it is here, as its signature covers it; until then anybody who
// has seen the id of an access key could keep the others waiting. So one source may
// have but some of the places, and most are for those who have lately proved to have
// the key that they name, by a small request from the same source.
const (
	// maxUploads is how many bodies larger than any invocation's are read at once;
	// each takes up to 70 MB.
	maxUploads = 4
	// unprovenUploads of them are for whoever comes, perSource for one address.
	unprovenUploads = 2
	perSource       = 2
	// provenFor is how long a proof is good; maxProven bounds how many are kept.
	provenFor = time.Hour
	maxProven = 1024
	// uploadTime is how long a body may take as a whole while others wait for its
	// place, slowUpload the bytes a second that are enough for those who wait behind
	// their own; none is looked at before graceOf.
	uploadTime = time.Minute
	slowUpload = 64 << 10
	graceOf    = 5 * time.Second
	lookAgain  = time.Second
)

var errSlowUpload = &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeTooManyRequests,
	Message: "The request body came too slowly, while others waited."}

type uploads struct {
	now func() time.Time

	mu       sync.Mutex // guards all below
	here     map[*upload]bool
	taken    int
	unproven int
	sources  map[netip.Addr]int
	changed  chan struct{} // closed when a place is free
	proven   map[proof]time.Time
}

// proof is of whom it is that something is known.
type proof struct {
	source netip.Addr
	key    string
}

func newUploads(now func() time.Time) *uploads {
	return &uploads{now: now, here: map[*upload]bool{}, sources: map[netip.Addr]int{}, changed: make(chan struct{}), proven: map[proof]time.Time{}}
}

func proofOf(r *http.Request, key string) proof {
	at, _ := netip.ParseAddrPort(r.RemoteAddr) // else it is nowhere, as all of those are
	return proof{at.Addr().Unmap(), key}
}

// prove notes that r was made by whom it says.
func (u *uploads) prove(r *http.Request, caller alcove.Caller, now time.Time) {
	p := proofOf(r, caller.AccessKeyID)
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.proven[p]; !ok && len(u.proven) >= maxProven {
		for old, at := range u.proven {
			if now.Sub(at) >= provenFor {
				delete(u.proven, old)
			}
		}
		for old := range u.proven { // any, if all are good
			if len(u.proven) < maxProven {
				break
			}
			delete(u.proven, old)
		}
	}
	u.proven[p] = now
}

// claimedKey is the id of the key that r says it is signed with.
func claimedKey(r *http.Request) string {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(scope, "/")
	return key
}

// upload is a large body that has a place.
type upload struct {
	u     *uploads
	of    proof
	known bool
	size  int64
	began time.Time
	cut   func() // ends a read of the body
	end   func()

	// mu of u guards these.
	came    int64
	whole   bool // it is here, or will not be
	dropped bool
}

// done ends the reading of the body; err is how that went.
func (one *upload) done(err error) error {
	one.u.mu.Lock()
	defer one.u.mu.Unlock()
	one.whole = true
	if one.dropped {
		return errSlowUpload
	}
	return err
}

// begin waits for a place for the body of r, which has so many bytes and says that it
// is of key's. cut ends the reading of it.
func (u *uploads) begin(ctx context.Context, r *http.Request, key string, size int64, cut func()) (*upload, error) {
	p := proofOf(r, key)
	for {
		now := u.now()
		u.mu.Lock()
		at, known := u.proven[p]
		known = known && now.Sub(at) < provenFor
		if u.taken < maxUploads && u.sources[p.source] < perSource && (known || u.unproven < unprovenUploads) {
			one := &upload{u: u, of: p, known: known, size: size, began: now, cut: cut}
			one.end = sync.OnceFunc(func() { u.end(one) })
			u.here[one] = true
			u.taken++
			u.sources[p.source]++
			if !known {
				u.unproven++
			}
			u.mu.Unlock()
			return one, nil
		}
		u.makeRoom(p, known, now)
		changed := u.changed
		u.mu.Unlock()
		look := time.NewTimer(lookAgain)
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
		}
		look.Stop()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// makeRoom gives up an upload that is in the way of p and comes too slowly, or is the
// second one of a source that nothing is known of, while p's has none. mu is held.
func (u *uploads) makeRoom(p proof, known bool, now time.Time) {
	var loser *upload
	least := 1.0
	for one := range u.here {
		passed := now.Sub(one.began)
		inTheWay := u.taken >= maxUploads || u.sources[p.source] >= perSource && one.of.source == p.source ||
			!known && u.unproven >= unprovenUploads && !one.known
		if one.dropped {
			if inTheWay {
				return // its place is about to be free
			}
			continue
		}
		if !inTheWay || one.whole || passed < graceOf {
			continue
		}
		// How much of what should have come is here. Somebody's own uploads share a line,
		// so that they hinder one another only if they stand still.
		due := float64(one.size) / uploadTime.Seconds()
		if one.of == p {
			due = min(due, slowUpload)
		}
		part := float64(one.came) / (due * passed.Seconds())
		if !one.known && u.sources[one.of.source] > 1 && u.sources[p.source] == 0 {
			part = min(part, 0.99)
		}
		if part < least {
			loser, least = one, part
		}
	}
	if loser != nil {
		loser.dropped = true
		loser.cut()
	}
}

func (u *uploads) end(one *upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.here, one)
	u.taken--
	if !one.known {
		u.unproven--
	}
	if u.sources[one.of.source]--; u.sources[one.of.source] == 0 {
		delete(u.sources, one.of.source)
	}
	close(u.changed)
	u.changed = make(chan struct{})
}

// reading is the body of an upload, which is counted.
type reading struct {
	io.Reader
	of *upload
}

func (r reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.of.u.mu.Lock()
	defer r.of.u.mu.Unlock()
	r.of.came += int64(n)
	return n, err
}
