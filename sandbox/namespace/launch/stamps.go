package launch

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Stamps are moments in the making of a sandbox, in nanoseconds of
// CLOCK_MONOTONIC, which is one for all processes of a machine.
type Stamps struct {
	Begun   int64 // the launcher's main runs
	Ordered int64 // it has read its order
	Entered int64 // cgroups, namespaces and network
	Built   int64 // the file system is the root
	Started int64 // the program has been executed
}

// Now is the present moment.
func Now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // it exists on every Linux
	return t.Nano()
}

func (s *Stamps) all() []*int64 {
	return []*int64{&s.Begun, &s.Ordered, &s.Entered, &s.Built, &s.Started}
}

// encode is what follows the letter of MsgStarted.
func (s *Stamps) encode() string {
	var b []byte
	for _, t := range s.all() {
		b = binary.NativeEndian.AppendUint64(b, uint64(*t))
	}
	return string(b)
}

// Decode reads what a launcher has sent. Too short a text leaves zeros.
func (s *Stamps) Decode(text []byte) {
	for _, t := range s.all() {
		if len(text) < 8 {
			return
		}
		*t, text = int64(binary.NativeEndian.Uint64(text)), text[8:]
	}
}
