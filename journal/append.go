package journal

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
)

// batch is what one write(2) carries: the frames of all who arrived while the
// write before was under way.
type batch struct {
	frames  []byte
	reports int64
	done    chan struct{} // closed when err is final
	err     error
}

// maxSpare is the largest memory of a batch that is kept for another.
const maxSpare = 64 << 10

// Append writes a report and returns when the operating system has it. Several
// callers at once share a write. After an error the report is not in the
// journal; the invocation it is about may go on.
func (j *Journal) Append(r *alcove.Report) error {
	buf := payloads.Get().(*[]byte)
	defer payloads.Put(buf)
	payload, err := r.AppendJSON((*buf)[:0])
	if err != nil {
		return fmt.Errorf("journal: encode report: %w", err)
	}
	*buf = payload
	return j.AppendFrame(payload)
}

// payloads are buffers of reports, which AppendFrame copies.
var payloads = sync.Pool{New: func() any { return new([]byte) }}

// AppendFrame is Append for a journal of anything else. It does not keep payload.
func (j *Journal) AppendFrame(payload []byte) error {
	if len(payload) == 0 || len(payload) > maxPayload {
		return fmt.Errorf("journal: a frame of %d bytes: it has one byte at least and %d at most", len(payload), maxPayload)
	}
	if erased(payload) {
		return errors.New("journal: a frame must not begin with a zero byte")
	}
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	b := j.pending
	if b == nil {
		b = &batch{done: make(chan struct{}), frames: j.spare}
		j.spare = nil
		j.pending = b
	}
	b.frames = appendFrame(b.frames, payload)
	b.reports++
	j.mu.Unlock()

	select {
	case <-b.done:
		return b.err
	case j.turn <- struct{}{}:
	}
	defer func() { <-j.turn }()
	select {
	case <-b.done: // by whoever had the turn before
		return b.err
	default:
	}
	// Only the holder of turn takes the pending batch, so it is still b.
	j.mu.Lock()
	j.pending = nil
	j.mu.Unlock()
	j.write(b)
	return b.err
}

// write writes a batch at the end of the active segment and tells everybody
// about it. For the holder of turn.
func (j *Journal) write(b *batch) {
	defer close(b.done)
	if j.leave || j.offset >= max(j.cfg.SegmentBytes, headerSize+1) {
		j.rotate()
	}
	_, err := j.active.WriteAt(b.frames, j.offset)
	if err != nil {
		b.err = fmt.Errorf("journal: append: %w", err)
		// What a failed write left behind must not be taken for frames. If it
		// cannot be cut off, the segment ends here.
		if terr := j.active.Truncate(j.offset); terr != nil {
			j.leave = true
		}
	} else {
		j.offset += int64(len(b.frames))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if cap(b.frames) <= maxSpare {
		j.spare = b.frames[:0]
	}
	b.frames = nil
	if err != nil {
		j.stats.Failed += b.reports
		j.failed(b.err)
		return
	}
	j.worked()
	j.stats.Appended += b.reports
	j.segments[len(j.segments)-1].end = j.offset
	if j.syncing == nil && !j.closed {
		j.work.Add(1)
		j.syncing = time.AfterFunc(j.cfg.SyncEvery, j.syncActive)
	}
	for w := range j.waiters {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// rotate leaves the active segment for a new one, if one can be made; else
// writing goes on where it was. For the holder of turn.
func (j *Journal) rotate() {
	j.mu.Lock()
	last := j.segments[len(j.segments)-1]
	j.mu.Unlock()
	old := j.active
	if err := j.begin(last.number + 1); err != nil {
		j.mu.Lock()
		j.failed(err)
		j.mu.Unlock()
		return
	}
	j.work.Go(func() {
		if err := errors.Join(old.Sync(), old.Close()); err != nil {
			j.mu.Lock()
			j.failed(err)
			j.mu.Unlock()
		}
		j.retain()
	})
}

// syncActive is what the timer runs while something is not synced.
func (j *Journal) syncActive() {
	defer j.work.Done()
	j.mu.Lock()
	j.syncing = nil
	number := j.segments[len(j.segments)-1].number
	j.mu.Unlock()
	// A descriptor of its own, because a change of segments may close the
	// active one meanwhile (and syncs it itself).
	f, err := os.Open(j.path(number))
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		// After a failed sync nobody knows what of the file is on the disk. It
		// will not be asked again: the error is told once, the next write syncs.
		j.failed(fmt.Errorf("journal: sync: %w", err))
	}
}

// failed notes that something does not work, and says so if it worked before.
// Preconditions: j.mu is held.
func (j *Journal) failed(err error) {
	if j.stats.Err == nil {
		j.log.Error("journal: reports may be lost", "error", err)
	}
	j.stats.Err = err
}

// worked notes that appending works. Preconditions: j.mu is held.
func (j *Journal) worked() {
	if j.stats.Err != nil {
		j.log.Info("journal: writing again", "lost", j.stats.Failed)
	}
	j.stats.Err = nil
}
