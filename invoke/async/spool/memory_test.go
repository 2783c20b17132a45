package spool

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
)

// memoryFS is a file system that knows what of it was synced. After a crash it
// has that, and of the rest what chance leaves: any of the writes since, whole,
// torn or not at all, in any order, as a disk without power does it.
type memoryFS struct {
	mu    sync.Mutex
	files map[string]*inode // as running programs see it
	disk  map[string]*inode // names that are on the disk
	room  int64             // bytes that may still be written; negative is no bound
	// broken fails syncs.
	broken bool
	syncs  int
}

type inode struct {
	fs      *memoryFS
	now     []byte
	durable []byte
	writes  []write // since the last sync
}

type write struct {
	at   int64
	data []byte
	size int64 // of a truncation; negative for a write
}

func newMemoryFS() *memoryFS {
	return &memoryFS{files: map[string]*inode{}, disk: map[string]*inode{}, room: -1}
}

func (m *memoryFS) Create(name string) (File, error) {
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

func (m *memoryFS) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return nil, os.ErrNotExist
	}
	return m.files[name], nil
}

func (m *memoryFS) List() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.files {
		names = append(names, name)
	}
	return names, nil
}

func (m *memoryFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

func (m *memoryFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[to] = m.files[from]
	delete(m.files, from)
	return nil
}

func (m *memoryFS) SyncNames() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disk = map[string]*inode{}
	for name, f := range m.files {
		m.disk[name] = f
	}
	return nil
}

func (m *memoryFS) Close() error { return nil }

var errFull = errors.New("no space left on device")

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

func (f *inode) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	w := write{size: size}
	f.writes = append(f.writes, w)
	f.now = w.apply(f.now)
	return nil
}

func (f *inode) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.now)), nil
}

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

func (f *inode) Close() error { return nil }

// crash is what is there when the power is back. chance gives a number from 0 to
// n-1.
func (m *memoryFS) crash(chance func(n int) int) *memoryFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := newMemoryFS()
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
