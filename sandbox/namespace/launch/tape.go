package launch

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Tape is a list of system calls that a process makes between its fork and a
// program's code: where nothing can be allocated (child), or in another language
// (package namespace's template). What confines a program is written down here
// once.
type Tape struct {
	calls []call
	data  []byte
	links [][2]uint64 // at the first offset in data belongs the address of the second
}

type call struct {
	number  uintptr
	args    [6]uintptr
	pointer uint8 // bit i: args[i] is an offset in data
	mayFail bool
	step    int
}

// What a child does, for messages.
const (
	stepMap = iota
	stepDescriptors
	stepKeyring
	stepLimit
	stepIDs
	stepBounding
	stepCapabilities
	stepNewPrivileges
	stepLandlock
	stepFilter
	stepDirectory
	stepExec
)

var steps = [...]string{
	stepMap:           "map ids",
	stepDescriptors:   "descriptors",
	stepKeyring:       "keyring",
	stepLimit:         "resource limits",
	stepIDs:           "user and group",
	stepBounding:      "bounding capabilities",
	stepCapabilities:  "capabilities",
	stepNewPrivileges: "no new privileges",
	stepLandlock:      "landlock",
	stepFilter:        "system call filter",
	stepDirectory:     "working directory",
	stepExec:          "execute the program",
}

func (t *Tape) add(step int, number uintptr, args ...uintptr) *call {
	c := call{number: number, step: step}
	copy(c.args[:], args)
	t.calls = append(t.calls, c)
	return &t.calls[len(t.calls)-1]
}

// put adds bytes to the data, aligned, and returns their offset.
func (t *Tape) put(b []byte) uintptr {
	for len(t.data)%8 != 0 {
		t.data = append(t.data, 0)
	}
	at := len(t.data)
	t.data = append(t.data, b...)
	return uintptr(at)
}

// words are numbers as C's uint64_t.
func words(n ...uint64) []byte {
	var b []byte
	for _, w := range n {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return b
}

// bounding takes away the chance to gain a capability by exec, but for those in
// keep, a bit each. It needs a capability itself, so it comes before ids change.
func (t *Tape) bounding(keep uint64) {
	for c := uintptr(0); c < 64; c++ {
		if _, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_READ, c, 0); errno != 0 {
			return // c is not a capability: that was all
		}
		if keep&(1<<c) == 0 {
			t.add(stepBounding, unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
		}
	}
}

// ids makes it one user and group, with these further groups and no others where
// those can be set.
func (t *Tape) ids(uid, gid uint64, set bool, groups ...uint64) {
	switch {
	case set && len(groups) > 0:
		var list []byte // of gid_t
		for _, g := range groups {
			list = binary.NativeEndian.AppendUint32(list, uint32(g))
		}
		t.add(stepIDs, unix.SYS_SETGROUPS, uintptr(len(groups)), t.put(list)).pointer = 0b10
	case set:
		t.add(stepIDs, unix.SYS_SETGROUPS, 0, 0)
	}
	t.add(stepIDs, unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
	t.add(stepIDs, unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
}

// rights takes every capability but those in keep, and new privileges of every
// kind. It is for one thread.
func (t *Tape) rights(keep uint64) {
	t.add(stepCapabilities, unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL).mayFail = true
	header := t.put(words(unix.LINUX_CAPABILITY_VERSION_3)) // and process 0, oneself
	sets := make([]byte, 24)
	putCaps(sets, keep)
	t.add(stepCapabilities, unix.SYS_CAPSET, header, t.put(sets)).pointer = 0b11
	t.add(stepNewPrivileges, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
}

// putCaps writes two struct __user_cap_data_struct: effective and permitted are
// set, nothing is inheritable.
func putCaps(b []byte, set uint64) {
	for i := range 2 {
		half := uint32(set >> (32 * i))
		binary.NativeEndian.PutUint32(b[12*i:], half)
		binary.NativeEndian.PutUint32(b[12*i+4:], half)
		binary.NativeEndian.PutUint32(b[12*i+8:], 0)
	}
}

// refuse installs the Landlock rules, if there are any, and the filter.
func (t *Tape) refuse(landlockFD int, filter []byte) {
	if landlockFD >= 0 {
		t.add(stepLandlock, unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(landlockFD), 0)
	}
	code := t.put(filter)
	prog := t.put(words(uint64(len(filter)/8), 0)) // struct sock_fprog; little-endian
	t.links = append(t.links, [2]uint64{uint64(prog) + 8, uint64(code)})
	t.add(stepFilter, unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, prog).pointer = 0b100
}

// program is what a program's process does before its code runs, in a user
// namespace whose ids are mapped.
func (t *Tape) program(o *Order, landlockFD int) {
	t.bounding(0)
	t.ids(o.UID, o.GID, o.HostUID != 0, o.Groups...)
	t.add(stepIDs, unix.SYS_UMASK, 0o022).mayFail = true
	// A change of ids takes /proc/self from the user until the next execve, which
	// a forked program does not make.
	t.add(stepIDs, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)
	t.add(stepDirectory, unix.SYS_CHDIR, t.put(append([]byte(o.Dir), 0))).pointer = 0b1
	t.rights(0)
	t.refuse(landlockFD, o.Filter)
}

// ForkedLandlockFD is where a forked program has its Landlock rules while it
// plays ForkedTape.
const ForkedLandlockFD = 5

// ForkedTape is what a process does that was forked from a template and has
// entered the sandbox's cgroups and namespaces, and a user namespace of its own
// whose ids are mapped. It names nothing that is of one sandbox only. The caller is
// the node.
func ForkedTape(o *Order) *Tape {
	t := &Tape{}
	t.add(stepDescriptors, unix.SYS_SETSID).mayFail = true
	t.add(stepKeyring, unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0).mayFail = true
	for _, l := range resourceLimits(o) {
		// The template has the node's limits, and no right to raise them.
		var have unix.Rlimit
		if err := unix.Prlimit(0, l.what, nil, &have); err == nil {
			l.max = min(l.max, have.Max)
		}
		t.add(stepLimit, unix.SYS_PRLIMIT64, 0, uintptr(l.what), t.put(words(l.max, l.max)), 0).pointer = 0b100
	}
	t.program(o, ForkedLandlockFD)
	return t
}

// Encode gives the tape as words: the numbers of calls, links and bytes of data;
// for each call its number, the mask of its pointers with bit 8 for those that may
// fail, its step and six arguments; the links; the data.
func (t *Tape) Encode() []byte {
	b := words(uint64(len(t.calls)), uint64(len(t.links)), uint64(len(t.data)))
	for _, c := range t.calls {
		mask := uint64(c.pointer)
		if c.mayFail {
			mask |= 1 << 8
		}
		b = append(b, words(uint64(c.number), mask, uint64(c.step))...)
		for _, a := range c.args {
			b = append(b, words(uint64(a))...)
		}
	}
	for _, l := range t.links {
		b = append(b, words(l[0], l[1])...)
	}
	b = append(b, t.data...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// Step names what a call of a tape does.
func Step(n uint64) string {
	if n < uint64(len(steps)) {
		return steps[n]
	}
	return "an unknown step"
}

// resolve puts addresses in place of offsets. The data must live, and stay, until
// the tape has been played.
func (t *Tape) resolve() {
	if len(t.data) == 0 {
		return
	}
	base := uintptr(unsafe.Pointer(&t.data[0]))
	for _, l := range t.links {
		binary.NativeEndian.PutUint64(t.data[l[0]:], uint64(base)+l[1])
	}
	for i := range t.calls {
		c := &t.calls[i]
		for a := range c.args {
			if c.pointer&(1<<a) != 0 {
				c.args[a] += base
			}
		}
		c.pointer = 0
	}
}

// play makes the calls of a resolved tape from the calling thread, up to the
// first that fails.
//
//go:nosplit
//go:norace
func (t *Tape) play() (step int, errno syscall.Errno) {
	for i := 0; i < len(t.calls); i++ {
		c := &t.calls[i]
		_, _, errno = syscall.RawSyscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		if errno != 0 && !c.mayFail {
			return c.step, errno
		}
	}
	return 0, 0
}
