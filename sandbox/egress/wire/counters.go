package wire

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxLinks bounds the links of a node: each has a number below it.
const MaxLinks = 1 << 15

// Counter counts what a link has carried, in bytes of payload. The relay adds,
// the node reads.
type Counter struct {
	Out, In atomic.Uint64 // from the sandbox, to it
	_       [6]uint64     // a cache line of its own
}

// Counters is one of them for each number of a link.
type Counters struct {
	file *os.File
	raw  []byte
}

// NewCounters makes the memory.
func NewCounters() (*Counters, error) {
	fd, err := unix.MemfdCreate("alcove-egress", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	f := os.NewFile(uintptr(fd), "counters")
	size := int(unsafe.Sizeof(Counter{})) * MaxLinks
	err = f.Truncate(int64(size))
	if err == nil {
		// Whoever has it mapped would die of pages that another takes away.
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("counters: %w", err)
	}
	return MapCounters(f)
}

// MapCounters maps memory that another process made, and takes over f.
func MapCounters(f *os.File) (*Counters, error) {
	size := int(unsafe.Sizeof(Counter{})) * MaxLinks
	raw, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("counters: %w", err)
	}
	return &Counters{f, raw}, nil
}

// File is for the other process.
func (c *Counters) File() *os.File { return c.file }

// Of is the counter of a link; its number is below MaxLinks.
func (c *Counters) Of(link uint32) *Counter {
	return (*Counter)(unsafe.Pointer(&c.raw[int(link)*int(unsafe.Sizeof(Counter{}))]))
}

// Close unmaps it. Nobody uses a Counter any more.
func (c *Counters) Close() error {
	err := unix.Munmap(c.raw)
	c.raw = nil
	if cerr := c.file.Close(); err == nil {
		err = cerr
	}
	return err
}
