package launch

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// reaperSize is how much of the text at reaperCode is taken; more than there is.
const reaperSize = 512

// reaperText is the address of the reaper's machine code (reaper_*.s).
func reaperText() *byte

// Reaper is an executable file: the first process of a sandbox once the
// launcher's work is done. Started as
//
//	init PID …
//
// it waits for its children, and when PID has ended it writes the wait status of
// it to descriptor 3 and exits, upon which the kernel ends whatever else is in
// the pid namespace. With 0 for PID the program is nobody's child in here: it
// collects orphans until the other end of descriptor 3 is closed, because the node
// is gone. SIGIO tells, and needs to be blocked with SIGCHLD; but one that came
// before the launcher executed this went to another of the launcher's threads and
// was lost, so the reaper looks, too, before it waits. A Go program in its place would keep one to two megabytes
// for each idle sandbox; this keeps a page.
func Reaper() []byte {
	const (
		base   = 0x400000
		header = 64 + 2*56
	)
	code := slices.Clone(unsafe.Slice(reaperText(), reaperSize))
	le := binary.LittleEndian
	b := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00") // 64 bits, little-endian
	b = le.AppendUint16(b, 2)                                              // ET_EXEC
	b = le.AppendUint16(b, elfMachine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, base+header) // entry
	b = le.AppendUint64(b, 64)          // program headers follow at once
	b = le.AppendUint64(b, 0)           // no sections
	b = le.AppendUint32(b, 0)
	for _, n := range []uint16{64, 56, 2, 64, 0, 0} {
		b = le.AppendUint16(b, n)
	}
	size := uint64(header + len(code))
	for _, p := range []struct {
		kind, flags uint32
		addr, size  uint64
	}{
		{1, 5, base, size},    // PT_LOAD, read and execute
		{0x6474e551, 6, 0, 0}, // PT_GNU_STACK, not executable
	} {
		b = le.AppendUint32(b, p.kind)
		b = le.AppendUint32(b, p.flags)
		b = le.AppendUint64(b, 0)
		b = le.AppendUint64(b, p.addr)
		b = le.AppendUint64(b, p.addr)
		b = le.AppendUint64(b, p.size)
		b = le.AppendUint64(b, p.size)
		b = le.AppendUint64(b, 0x1000)
	}
	return append(b, code...)
}
