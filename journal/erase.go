package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// erased says whether a payload was taken out of its frame.
func erased(payload []byte) bool { return payload[0] == 0 }

// Erase takes everything that match picks out of the files: zeros stand in its
// place, so that positions stay what they are, and no reader is given it. What is
// appended meanwhile may or may not be asked about. It returns how much it took;
// after an error, or the end of the process, some of it may be there: do it again.
//
// match must not keep a payload.
func (j *Journal) Erase(match func(payload []byte) bool) (int, error) {
	if err := j.seal(); err != nil {
		return 0, err
	}
	j.mu.Lock()
	sealed := slices.Clone(j.segments[:len(j.segments)-1])
	j.mu.Unlock()
	total := 0
	for _, s := range sealed {
		n, err := j.eraseSegment(s, match)
		total += n
		if err != nil {
			return total, fmt.Errorf("journal: erase: %w", err)
		}
	}
	return total, nil
}

// seal begins a new segment if there is anything in the active one.
func (j *Journal) seal() error {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	if j.isClosed() {
		return ErrClosed
	}
	if j.offset <= headerSize {
		return nil
	}
	j.rotate()
	if j.offset > headerSize {
		j.mu.Lock()
		defer j.mu.Unlock()
		return fmt.Errorf("journal: no new segment: %w", j.stats.Err)
	}
	return nil
}

// eraseSegment replaces a sealed segment by one without what match picks, if it
// picks anything.
func (j *Journal) eraseSegment(s segment, match func([]byte) bool) (int, error) {
	j.files.Lock()
	defer j.files.Unlock()
	info, err := os.Stat(j.path(s.number))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // it was deleted meanwhile
	}
	if err != nil {
		return 0, err
	}
	old, err := os.ReadFile(j.path(s.number))
	if err != nil {
		return 0, err
	}
	old = old[:min(int64(len(old)), s.end)]
	n, damaged := eraseFrames(old, match)
	if n == 0 && !damaged {
		return 0, nil
	}
	path := j.path(s.number)
	unfinished := filepath.Join(j.cfg.Dir, filepath.Base(path)+unfinishedSuffix)
	f, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.Write(old)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// When it was written to last is what Since goes by.
		err = os.Chtimes(unfinished, time.Time{}, info.ModTime())
	}
	if err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(unfinished))
	}
	return n, j.dir.Sync()
}

// eraseFrames erases in the content of a segment. What is behind damage nobody
// can read, and it goes whole: it may be anything.
func eraseFrames(content []byte, match func([]byte) bool) (n int, damaged bool) {
	r := bufio.NewReaderSize(bytes.NewReader(content[headerSize:]), 64<<10)
	var buf, frame []byte
	for at := headerSize; ; {
		payload, err := readFrame(r, buf)
		if err == io.EOF {
			return n, false
		}
		if err != nil {
			rest := content[at:]
			damaged = len(bytes.Trim(rest, "\x00")) > 0
			clear(rest)
			return n, damaged
		}
		buf = payload
		end := at + frameHeader + int64(len(payload))
		if !erased(payload) && match(payload) {
			clear(payload)
			frame = appendFrame(frame[:0], payload)
			copy(content[at:end], frame)
			n++
		}
		at = end
	}
}
