// Package spooltest has a file system for tests that forgets, at a crash, what was not
// synced. It is in memory.
package spooltest

import (
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/alcove-run/alcove/invoke/async/spool"
)

// FS is a file system that knows what of it was synced. After a crash it has that,
// and of the rest what chance leaves, as a disk without power does it: any of the
// writes since, whole, torn or not at all, in any order; any of the names that were
// made, removed or changed since, each for itself. What a sync failed for is on the
// disk by chance for good: later syncs say nothing about it, as those of Linux.
type FS struct {
	mu     sync.Mutex
	files  map[string]*inode // as running programs see it
	disk   map[string]*inode // names that are on the disk
	names  []naming          // since the last SyncNames
	room   int64             // bytes that may still be written; negative is no bound
	broken bool              // syncs fail
	syncs  int
	steps  int
	most   int // steps that are taken; negative is no bound
}

// naming is a change of the names: from becomes to, or is made, or is removed.
type naming struct {
	from, to string
	file     *inode // that is made
}

type inode struct {
	fs      *FS
	now     []byte
	durable []byte
	writes  []write // since the last sync
	doubt   []write // that a sync failed for
}

type write struct {
	at   int64
	data []byte
	size int64 // of a truncation; negative for a write
}

// New makes an empty file system.
func New() *FS {
	return &FS{files: map[string]*inode{}, disk: map[string]*inode{}, room: -1, most: -1}
}

// ErrStopped is what everything answers after [FS.StopAfter].
var ErrStopped = errors.New("the process has ended")

// step counts one thing that changes the disk; false says that the process has
// ended before it.
func (m *FS) step() bool {
	if m.most >= 0 && m.steps >= m.most {
		return false
	}
	m.steps++
	return true
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
	if !m.step() {
		return nil, ErrStopped
	}
	f := &inode{fs: m}
	m.files[name] = f
	m.names = append(m.names, naming{to: name, file: f})
	return f, nil
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
	if m.files[name] == nil {
		return os.ErrNotExist
	}
	if !m.step() {
		return ErrStopped
	}
	delete(m.files, name)
	m.names = append(m.names, naming{from: name})
	return nil
}

// Rename implements [spool.FS].
func (m *FS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[from] == nil {
		return os.ErrNotExist
	}
	if !m.step() {
		return ErrStopped
	}
	m.files[to] = m.files[from]
	delete(m.files, from)
	m.names = append(m.names, naming{from: from, to: to})
	return nil
}

// SyncNames implements [spool.FS].
func (m *FS) SyncNames() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.step() {
		return ErrStopped
	}
	if m.broken {
		return errIO
	}
	m.disk, m.names = maps.Clone(m.files), nil
	return nil
}

// Close implements [spool.FS].
func (m *FS) Close() error { return nil }

var (
	errFull = errors.New("no space left on device")
	errIO   = errors.New("input/output error")
)

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
	if !f.fs.step() {
		return 0, ErrStopped
	}
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

// covers says that nothing of o is left behind w, which was synced. Lengths are
// metadata: an older one does not come back.
func (w write) covers(o write) bool {
	switch {
	case o.size >= 0:
		return true
	case w.size >= 0:
		return o.at >= w.size
	}
	return w.at <= o.at && w.at+int64(len(w.data)) >= o.at+int64(len(o.data))
}

// Truncate implements [spool.File].
func (f *inode) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.fs.step() {
		return ErrStopped
	}
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
	if !f.fs.step() {
		return ErrStopped
	}
	f.fs.syncs++
	if f.fs.broken {
		f.doubt, f.writes = append(f.doubt, f.writes...), nil
		return errIO
	}
	for _, w := range f.writes {
		f.durable = w.apply(f.durable)
		f.doubt = slices.DeleteFunc(f.doubt, w.covers)
	}
	f.writes = nil
	return nil
}

// Close implements [spool.File].
func (f *inode) Close() error { return nil }

// Crash is what is there when the power is back. chance gives a number from 0 to
// n-1.
func (m *FS) Crash(chance func(n int) int) *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := maps.Clone(m.disk)
	for _, n := range m.names {
		switch file := names[n.from]; {
		case chance(2) == 0: // lost
		case n.file != nil:
			names[n.to] = n.file
		case n.to == "":
			delete(names, n.from)
		case file != nil: // of one whose making is lost, nothing is renamed
			names[n.to] = file
			delete(names, n.from)
		}
	}
	after := New()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		f := names[name]
		b := append([]byte(nil), f.durable...)
		for _, w := range slices.Concat(f.doubt, f.writes) {
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
		after.put(name, b)
	}
	return after
}

// Kill is what is there after the process was killed: everything that was written,
// on the disk or not.
func (m *FS) Kill() *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := New()
	moved := map[*inode]*inode{nil: nil}
	move := func(f *inode) *inode {
		if moved[f] == nil && f != nil {
			moved[f] = &inode{after, f.now, f.durable, slices.Clone(f.writes), slices.Clone(f.doubt)}
		}
		return moved[f]
	}
	for name, f := range m.files {
		after.files[name] = move(f)
	}
	for name, f := range m.disk {
		after.disk[name] = move(f)
	}
	for _, n := range m.names {
		after.names = append(after.names, naming{n.from, n.to, move(n.file)})
	}
	return after
}

// Put makes a file that is on the disk.
func (m *FS) Put(name string, content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(name, content)
}

func (m *FS) put(name string, content []byte) {
	f := &inode{fs: m, now: content, durable: slices.Clone(content)}
	m.files[name], m.disk[name] = f, f
}

// StopAfter lets so many more changes of the disk happen; after them the process
// has ended: nothing happens any more, and [FS.Kill] or [FS.Crash] is what it left.
func (m *FS) StopAfter(steps int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.most = m.steps + steps
}

// Steps is how many changes of the disk there were.
func (m *FS) Steps() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.steps
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
