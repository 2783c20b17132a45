// Package intake bounds what the bodies of a server's requests take of memory
// together, from when they are announced until their requests are done, whoever
// sends them: it is for bodies that arrive before anybody knows who that is.
//
// One source may have half of it, and so may what is open to everybody. Where room
// is short, bodies that come too slowly to be whole in time are given up for those
// that come, then of the source that has most on its way all but one. It knows nothing
// of what bodies are.
package intake

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// A body is slow of which fewer bytes come in than slowRate a second, or than
	// would make it whole in wholeTime, over a window, once it has had one.
	window    = 5 * time.Second
	slowRate  = 64 << 10
	wholeTime = 2 * time.Minute
	// chunk is what is taken at a time for a body of unknown length.
	chunk = 64 << 10
)

// ErrFull means that there is no room for a body.
var ErrFull = errors.New("intake: too many bodies are on their way")

// ErrSlow is what a body reads as that was given up.
var ErrSlow = errors.New("intake: the body came too slowly, and others wait")

// Budget is the memory for bodies. Its methods may be called from many goroutines.
type Budget struct {
	limit int64

	mu      sync.Mutex // guards all below, and the bodies' state
	used    int64
	open    int64
	sources map[netip.Prefix]int64
	reading map[*Body]bool
}

// New makes a Budget of so many bytes.
func New(limit int64) *Budget {
	return &Budget{limit: limit, sources: map[netip.Prefix]int64{}, reading: map[*Body]bool{}}
}

// Body is the body of one request. It is read by one goroutine.
type Body struct {
	io.ReadCloser
	b      *Budget
	source netip.Prefix
	open   bool
	need   int64  // bytes a second, or it is slow
	cut    func() // ends a Read that waits

	// The budget's lock guards these.
	held    int64 // of the budget
	came    int64
	closed  bool
	slow    bool      // it was given up
	since   time.Time // when the window began, in which
	before  int64     // so many bytes were there already
	settled bool      // a window has passed
	rate    int64     // in bytes a second, of the window before
}

// Take has the body of r count, up to the limit that anybody reads of one, and be
// read as the request's. open says that everybody may send it. Close it when the
// request is done.
func (b *Budget) Take(w http.ResponseWriter, r *http.Request, limit int64, open bool) (*Body, error) {
	control := http.NewResponseController(w)
	body := &Body{ReadCloser: r.Body, b: b, source: sourceOf(r.RemoteAddr), open: open, since: time.Now(),
		need: max(slowRate, min(r.ContentLength, limit)/int64(wholeTime/time.Second)),
		cut:  func() { _ = control.SetReadDeadline(time.Unix(1, 0)) }} // writers of tests cannot
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.grow(body, min(max(r.ContentLength, 0), limit)) {
		return nil, ErrFull
	}
	b.reading[body] = true
	r.Body = body
	return body, nil
}

// sourceOf is where a request comes from: an address, of IPv6 the network that
// somebody gets as a whole.
func sourceOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := at.Addr().Unmap(), 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits) // the bits are right
	return p
}

// grow takes n bytes more for a body, which is at the cost of others that are slow
// if it has to be. mu is held.
func (b *Budget) grow(body *Body, n int64) bool {
	for _, bound := range []struct {
		over func() bool
		of   func(*Body) bool
	}{
		{func() bool { return b.sources[body.source]+n > b.limit/2 }, func(o *Body) bool { return o.source == body.source }},
		{func() bool { return body.open && b.open+n > b.limit/2 }, func(o *Body) bool { return o.open }},
		{func() bool { return b.used+n > b.limit }, func(*Body) bool { return true }},
	} {
		for bound.over() {
			loser := b.slowest(body, bound.of)
			if loser == nil {
				loser = b.fromMost(body, n, bound.of)
			}
			if loser == nil {
				return false
			}
			loser.slow = true
			b.release(loser)
			loser.cut()
		}
	}
	body.held += n
	b.used += n
	b.sources[body.source] += n
	if body.open {
		b.open += n
	}
	return true
}

// slowest is the slowest of the slow bodies that hold something, or nil.
func (b *Budget) slowest(but *Body, of func(*Body) bool) (found *Body) {
	now := time.Now()
	least := 1.0
	for o := range b.reading {
		o.roll(now)
		if part := float64(o.rate) / float64(o.need); o != but && o.held > 0 && o.settled && part < least && of(o) {
			found, least = o, part
		}
	}
	return found
}

// fromMost is what has come least far of the source that has most on its way, if that
// has several bodies and more than body's source would have with n bytes more, or nil.
// So whoever sends one body keeps it, however many others there are.
func (b *Budget) fromMost(body *Body, n int64, of func(*Body) bool) (found *Body) {
	type share struct {
		bytes  int64
		bodies int
		last   *Body
	}
	shares := map[netip.Prefix]*share{}
	for o := range b.reading {
		if o.held == 0 || !of(o) || o == body {
			continue
		}
		s := shares[o.source]
		if s == nil {
			s = &share{}
			shares[o.source] = s
		}
		s.bytes += o.held
		s.bodies++
		if s.last == nil || o.came < s.last.came {
			s.last = o
		}
	}
	most := b.sources[body.source] + n
	for source, s := range shares {
		if source != body.source && s.bodies > 1 && s.bytes > most {
			found, most = s.last, s.bytes
		}
	}
	return found
}

// roll ends a body's window if it is over.
func (body *Body) roll(now time.Time) {
	passed := now.Sub(body.since)
	if passed < window {
		return
	}
	body.rate = int64(float64(body.came-body.before) / passed.Seconds())
	body.since, body.before, body.settled = now, body.came, true
}

// release gives back what a body holds, which is not read any more. mu is held.
func (b *Budget) release(body *Body) {
	delete(b.reading, body)
	b.used -= body.held
	if body.open {
		b.open -= body.held
	}
	if b.sources[body.source] -= body.held; b.sources[body.source] == 0 {
		delete(b.sources, body.source)
	}
	body.held = 0
}

// Read implements io.Reader.
func (body *Body) Read(p []byte) (int, error) {
	n, err := body.ReadCloser.Read(p)
	b := body.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if body.slow {
		return 0, ErrSlow
	}
	body.came += int64(n)
	body.roll(time.Now())
	if more := body.came - body.held; more > 0 && !body.closed && !b.grow(body, (more+chunk-1)/chunk*chunk) {
		return 0, ErrFull
	}
	if err != nil {
		delete(b.reading, body) // it is there, or will not be
	}
	return n, err
}

// Done gives back what the body holds: nobody has it any more.
func (body *Body) Done() {
	body.b.mu.Lock()
	defer body.b.mu.Unlock()
	body.closed = true
	body.b.release(body)
}
