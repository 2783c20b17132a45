package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/segmentio/encoding/json"

	"github.com/alcove-run/alcove"
)

// Position is a place between two reports. The zero value is the beginning.
// A consumer keeps the position together with what it made of the reports
// before it, and goes on from there after a restart.
type Position struct {
	Segment uint64 `json:"segment"`
	Offset  int64  `json:"offset"`
}

// String gives the position as segment:offset.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Segment, p.Offset) }

// After says whether p is behind q.
func (p Position) After(q Position) bool {
	return p.Segment > q.Segment || p.Segment == q.Segment && p.Offset > q.Offset
}

// ParsePosition reads what String wrote.
func ParsePosition(s string) (Position, error) {
	var p Position
	if _, err := fmt.Sscanf(s, "%d:%d", &p.Segment, &p.Offset); err != nil {
		return Position{}, fmt.Errorf("journal: position %q: %w", s, err)
	}
	return p, nil
}

// Read calls fn for every report after from that is in the journal when it is
// called, oldest first, with the position behind that report. Segments deleted
// meanwhile are passed over. An error of fn ends it and is returned. fn must not keep
// the report, whose memory the next has, but may keep what is in it.
func (j *Journal) Read(from Position, fn func(Position, *alcove.Report) error) error {
	_, err := j.read(from, decoded(fn))
	return err
}

// ReadFrames is Read for a journal of anything else. fn must not keep a frame.
func (j *Journal) ReadFrames(from Position, fn func(Position, []byte) error) error {
	_, err := j.read(from, func(p Position, payload []byte) error { return fn(p, payload) })
	return err
}

// Since gives a position that no frame which was appended at t or later is
// before: that of the first segment that was written to since. The system's clock
// is believed.
func (j *Journal) Since(t time.Time) Position {
	j.mu.Lock()
	segments := slices.Clone(j.segments)
	j.mu.Unlock()
	for _, s := range segments {
		if info, err := os.Stat(j.path(s.number)); err != nil || !info.ModTime().Before(t) {
			return Position{Segment: s.number}
		}
	}
	return Position{Segment: segments[len(segments)-1].number}
}

// errUndecoded is a frame that is whole, and no report.
type errUndecoded struct{ error }

// decoded is a function of reports as one of frames. All reports have one memory.
func decoded(fn func(Position, *alcove.Report) error) func(Position, []byte) error {
	var report alcove.Report
	return func(p Position, payload []byte) error {
		report = alcove.Report{}
		if err := json.Unmarshal(payload, &report); err != nil {
			return errUndecoded{err}
		}
		return fn(p, &report)
	}
}

// Follow is Read, and then goes on with each report that is appended until ctx
// ends or the journal is closed; it returns ctx's cause or [ErrClosed] then.
func (j *Journal) Follow(ctx context.Context, from Position, fn func(Position, *alcove.Report) error) error {
	more := make(chan struct{}, 1)
	j.mu.Lock()
	j.waiters[more] = struct{}{}
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		delete(j.waiters, more)
		j.mu.Unlock()
	}()
	for closing := false; ; {
		var err error
		from, err = j.read(from, decoded(func(p Position, r *alcove.Report) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fn(p, r)
		}))
		if err != nil {
			return err
		}
		if closing {
			return ErrClosed
		}
		select {
		case <-more:
		case <-j.done:
			closing = true // once more, for what was written last
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Wait returns when something was appended after from, or when ctx has ended
// (its cause) or the journal is closed ([ErrClosed]) and nothing was.
func (j *Journal) Wait(ctx context.Context, from Position) error {
	more := make(chan struct{}, 1)
	j.mu.Lock()
	if j.end().After(from) {
		j.mu.Unlock()
		return nil
	}
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	j.waiters[more] = struct{}{}
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		delete(j.waiters, more)
		j.mu.Unlock()
	}()
	select {
	case <-more:
		return nil
	case <-j.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end is the position behind the last report, zero if there is none.
// Preconditions: j.mu is held.
func (j *Journal) end() Position {
	for _, s := range slices.Backward(j.segments) {
		if s.end > headerSize { // not a new one that nothing is in
			return Position{s.number, s.end}
		}
	}
	return Position{}
}

// read is ReadFrames, and gives the position that was reached.
func (j *Journal) read(from Position, fn func(Position, []byte) error) (Position, error) {
	j.mu.Lock()
	segments := make([]segment, 0, len(j.segments))
	for _, s := range j.segments {
		if s.number >= from.Segment {
			segments = append(segments, s)
		}
	}
	j.mu.Unlock()
	for _, s := range segments {
		if s.number > from.Segment {
			from = Position{s.number, headerSize}
		}
		if from.Offset >= s.end {
			continue
		}
		var err error
		if from, err = j.readSegment(s, from, fn); err != nil {
			return from, err
		}
	}
	return from, nil
}

// readSegment reads one segment up to its end as it was known.
func (j *Journal) readSegment(s segment, from Position, fn func(Position, []byte) error) (Position, error) {
	f, err := os.Open(j.path(s.number))
	if errors.Is(err, os.ErrNotExist) {
		return from, nil
	}
	if err != nil {
		return from, fmt.Errorf("journal: open segment: %w", err)
	}
	defer f.Close()
	from.Offset = max(from.Offset, headerSize)
	r := bufio.NewReaderSize(io.NewSectionReader(f, from.Offset, s.end-from.Offset), 64<<10)
	var buf []byte
	for {
		payload, err := readFrame(r, buf)
		if err == io.EOF {
			return from, nil
		}
		if err != nil {
			return j.corrupt(s, from, err), nil
		}
		buf = payload
		next := Position{from.Segment, from.Offset + frameHeader + int64(len(payload))}
		if erased(payload) {
			from = next
			continue
		}
		err = fn(next, payload)
		if _, ok := errors.AsType[errUndecoded](err); ok {
			return j.corrupt(s, from, err), nil
		}
		from = next
		if err != nil {
			return from, err
		}
	}
}

// corrupt notes that a segment cannot be read on from a position, and gives its
// end.
func (j *Journal) corrupt(s segment, from Position, err error) Position {
	j.mu.Lock()
	j.stats.Corrupt++
	j.mu.Unlock()
	j.log.Error("journal: rest of a segment cannot be read", "segment", s.number, "offset", from.Offset, "error", err)
	from.Offset = s.end
	return from
}
