// Package spooltest has a file system for tests that forgets, at a crash, what was not
// synced. It is in memory.
package spooltest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/alcove-run/alcove/invoke/async/spool"
)

// FS is a file system that knows what of it was synced. After a crash it
// has that, and of the rest what chance leaves: any of the writes since, whole,
// torn or not at all, in any order, as a disk without power does it.
type FS struct {
	mu     sync.Mutex
	files  map[string]*inode // as running programs see it
	disk   map[string]*inode // names that are on the disk
	room   int64             // bytes that may still be written; negative is no bound
	broken bool              // syncs fail
	syncs  int
}

type inode struct {
	fs      *FS
	now     []byte
	durable []byte
	writes  []write // since the last sync
}

type write struct {
	at   int64
	data []byte
	size int64 // of a truncation; negative for a write
}

// New makes an empty file system.
func New() *FS {
	return &FS{files: map[string]*inode{}, disk: map[string]*inode{}, room: -1}
}

// Create implements [spool.FS].
func (m *FS) Create(name string) (spool.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] != nil {
		return nil, os.ErrExist
	}
	if m.room == 0 {
		return nil, errFull
	}
	m.files[name] = &inode{fs: m}
	return m.files[name], nil
}

// Open implements [spool.FS].
func (m *FS) Open(name string) (spool.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return nil, os.ErrNotExist
	}
	return m.files[name], nil
}

// List implements [spool.FS].
func (m *FS) List() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.files {
		names = append(names, name)
	}
	return names, nil
}

// Remove implements [spool.FS].
func (m *FS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

// Rename implements [spool.FS].
func (m *FS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[to] = m.files[from]
	delete(m.files, from)
	return nil
}

// SyncNames implements [spool.FS].
func (m *FS) SyncNames() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk = map[string]*inode{}
	for name, f := range m.files {
		m.disk[name] = f
	}
	return nil
}

// Close implements [spool.FS].
func (m *FS) Close() error { return nil }

var errFull = errors.New("no space left on device")

// ReadAt implements [spool.File].
func (f *inode) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.now)) {
		return 0, io.EOF
	}
	n := copy(p, f.now[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements [spool.File].
func (f *inode) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n, err := len(p), error(nil)
	if f.fs.room >= 0 && int64(n) > f.fs.room {
		n, err = int(f.fs.room), errFull
	}
	if f.fs.room >= 0 {
		f.fs.room -= int64(n)
	}
	w := write{at: off, data: append([]byte(nil), p[:n]...), size: -1}
	f.writes = append(f.writes, w)
	f.now = w.apply(f.now)
	return n, err
}

func (w write) apply(b []byte) []byte {
	b = append([]byte(nil), b...)
	end := w.at + int64(len(w.data))
	if w.size >= 0 {
		end = w.size
		if int64(len(b)) > end {
			return b[:end]
		}
	}
	for int64(len(b)) < end {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[min(w.at, int64(len(b))):], w.data)
	return b
}

// Truncate implements [spool.File].
func (f *inode) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	w := write{size: size}
	f.writes = append(f.writes, w)
	f.now = w.apply(f.now)
	return nil
}

// Size implements [spool.File].
func (f *inode) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.now)), nil
}

// Sync implements [spool.File].
func (f *inode) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.syncs++
	if f.fs.broken {
		return fmt.Errorf("input/output error")
	}
	f.durable, f.writes = append([]byte(nil), f.now...), nil
	return nil
}

// Close implements [spool.File].
func (f *inode) Close() error { return nil }

// Crash is what is there when the power is back. chance gives a number from 0 to
// n-1.
func (m *FS) Crash(chance func(n int) int) *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := New()
	names := m.disk
	if chance(2) == 0 { // the names were written nevertheless
		names = m.files
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := names[name]
		b := append([]byte(nil), f.durable...)
		for _, w := range f.writes {
			switch chance(3) {
			case 0: // lost
			case 1:
				if len(w.data) > 0 {
					w.data = w.data[:chance(len(w.data)+1)]
				}
				b = w.apply(b)
			case 2:
				b = w.apply(b)
			}
		}
		after.files[name] = &inode{fs: after, now: b, durable: append([]byte(nil), b...)}
		after.disk[name] = after.files[name]
	}
	return after
}

// Room bounds how many more bytes may be written; negative is no bound.
func (m *FS) Room(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = bytes
}

// Break has syncs fail, or not any more.
func (m *FS) Break(broken bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = broken
}

// Syncs is how often files were synced.
func (m *FS) Syncs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

// Files are the contents by name. They are the file system's own.
func (m *FS) Files() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string][]byte{}
	for name, f := range m.files {
		all[name] = f.now
	}
	return all
}
