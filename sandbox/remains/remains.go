// Package remains removes what an earlier process of a node left of its sandboxes,
// behind the start of the process that found it: piece by piece, a few at a time,
// so that calls have the processors meanwhile, and again until all is gone. Who
// found the pieces has seen to it that nothing in them runs any more.
//
// It owns the order and the pace, and knows what is still there. What a piece is,
// and how it is removed, is its driver's.
package remains

import (
	"log/slog"
	"sync"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

const (
	// atOnce is how many pieces are being removed at a time while calls are answered:
	// most of it is waiting for the kernel, the rest is taking processes apart.
	atOnce = 2
	// hurried is how many when the node is about to end and answers nobody.
	hurried = 16
	// What cannot be removed is tried again after a while, twice as long each time.
	minPause = 100 * time.Millisecond
	maxPause = time.Minute
	// stuckAfter is how often a piece is tried before it counts as stuck: processes may
	// take longer to end than their driver waits at a time.
	stuckAfter = 5
	// closeWait bounds Close. What is there then, the next start finds.
	closeWait = 10 * time.Second
)

// A Piece is one thing to remove.
type Piece struct {
	Name string
	// Memory is how many bytes it holds. They are taken for free once Remove has
	// returned, whatever it answered: nobody waits for ever for what does not end.
	Memory int64
	// Remove removes it. It may be called again after an error.
	Remove func() error

	tries int // that failed
}

// Remains are the pieces that were found. Its methods are safe for concurrent use,
// and those of a nil Remains tell that there is nothing.
type Remains struct {
	log   *slog.Logger
	total int
	gone  chan struct{} // closed when nothing is left
	hurry chan struct{} // closed by Close
	stop  chan struct{} // closed when Close has waited for long enough
	begin sync.Once
	end   sync.Once

	mu     sync.Mutex
	left   int
	stuck  int
	why    string // something is stuck
	memory int64
	queue  []Piece // not tried in this round
	failed []Piece // tried, and still there
}

// New takes the pieces. Nothing is removed before Begin.
func New(log *slog.Logger, pieces []Piece) *Remains {
	r := &Remains{log: log, total: len(pieces), left: len(pieces), queue: pieces,
		gone: make(chan struct{}), hurry: make(chan struct{}), stop: make(chan struct{})}
	for _, p := range pieces {
		r.memory += p.Memory
	}
	if len(pieces) == 0 {
		close(r.gone)
	} else {
		log.Info("an earlier process of this node left sandboxes: nothing in them runs, and they are removed behind the start", "pieces", r.total, "memory", r.memory)
	}
	return r
}

// Begin has the pieces removed, beside everything else. It is idempotent.
func (r *Remains) Begin() {
	if r != nil {
		r.begin.Do(func() { go r.run() })
	}
}

// Gone is closed when nothing is left.
func (r *Remains) Gone() <-chan struct{} {
	if r == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	return r.gone
}

// Left is what is still there.
func (r *Remains) Left() sandbox.Leftovers {
	if r == nil {
		return sandbox.Leftovers{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := sandbox.Leftovers{Found: r.total, Left: r.left, Memory: r.memory, Stuck: r.stuck}
	if r.stuck > 0 {
		l.Why = r.why
	}
	return l
}

// Close has the rest removed as fast as can be, waits for that, but not for ever, and
// tells how many pieces are still there: the next process finds them as this one did.
func (r *Remains) Close() (left int) {
	if r == nil {
		return 0
	}
	r.end.Do(func() { close(r.hurry) })
	r.Begin()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	select {
	case <-r.gone:
		return 0
	case <-r.stop: // closed before, and waited for then
	case <-late.C:
		r.mu.Lock()
		defer r.mu.Unlock()
		select {
		case <-r.stop:
		default:
			close(r.stop)
		}
		r.log.Warn("what an earlier process left is not all removed; the next start goes on with it", "left", r.left, "of", r.total)
		return r.left
	}
	return r.Left().Left
}

func (r *Remains) run() {
	if r.total == 0 {
		return
	}
	began := time.Now()
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		r.round()
		r.mu.Lock()
		done := r.left == 0
		r.queue, r.failed = r.failed, nil
		r.mu.Unlock()
		if done {
			r.log.Info("what an earlier process left is removed", "pieces", r.total, "took", time.Since(began))
			close(r.gone)
			return
		}
		if !r.rest(pause) {
			return
		}
	}
}

// rest waits before another round, and tells whether there may be one. In a hurry the
// wait is a short one.
func (r *Remains) rest(pause time.Duration) bool {
	long, short := time.After(pause), time.After(minPause)
	hurry := r.hurry
	for {
		select {
		case <-r.stop:
			return false
		case <-long:
			return true
		case <-hurry:
			hurry, long = nil, short
		}
	}
}

// round tries each piece in the queue once.
func (r *Remains) round() {
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(r.work)
	}
	done := make(chan struct{})
	var more sync.WaitGroup
	more.Go(func() {
		select {
		case <-done:
			return
		case <-r.hurry:
		}
		var others sync.WaitGroup
		for range hurried - atOnce {
			others.Go(r.work)
		}
		others.Wait()
	})
	wg.Wait()
	close(done)
	more.Wait()
}

// work removes pieces until none is in the queue.
func (r *Remains) work() {
	for {
		p, ok := r.next()
		if !ok {
			return
		}
		err := p.Remove()
		r.tried(p, err)
	}
}

func (r *Remains) next() (Piece, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.stop:
		return Piece{}, false
	default:
	}
	if len(r.queue) == 0 {
		return Piece{}, false
	}
	p := r.queue[0]
	r.queue = r.queue[1:]
	return p, true
}

func (r *Remains) tried(p Piece, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memory -= p.Memory
	p.Memory = 0
	if err == nil {
		r.left--
		if p.tries >= stuckAfter {
			r.stuck--
		}
		return
	}
	p.tries++
	r.failed = append(r.failed, p)
	if p.tries == stuckAfter {
		r.stuck++
	}
	if p.tries >= stuckAfter {
		r.why = p.Name + ": " + err.Error()
	}
	if p.tries == 1 { // said once
		r.log.Warn("what an earlier process left cannot be removed yet and is tried again", "piece", p.Name, "error", err)
	}
}
