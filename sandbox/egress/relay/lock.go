package relay

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// Arg0 is argv[0] of a relay, by which a program that embeds this package knows
// that it is meant to be one.
const Arg0 = "alcove-egress"

// Descriptors of a relay.
const (
	ControlFD  = 3 // a wire.Conn
	CountersFD = 4
	// LifeFD is one end of a pair of sockets of which the node holds the other
	// and never writes: its end is the relay's.
	LifeFD = 5
)

// Memory, in bytes. DefaultMemory is what a relay may take if it is not told
// another number; ofGo is what the Go runtime maps beyond what is in use. A relay
// that takes more all the same ends, and the node starts another one.
const (
	DefaultMemory = 1 << 30
	ofGo          = 192 << 20
)

// Main is to be called at the beginning of main, and returns false in a process
// that is not meant to be a relay. In one that is, it does not return.
func Main() bool {
	if os.Args[0] != Arg0 {
		return false
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "alcove egress:", err)
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// boundMemory has memory collected before there is as much as is allowed, and the
// kernel refuse more. What connections buffer is bounded so that it is less
// (Limits of package egress): this is for what nobody has thought of.
func boundMemory(most int64) error {
	debug.SetMemoryLimit(most - most/4)
	limit := unix.Rlimit{Cur: uint64(most + ofGo), Max: uint64(most + ofGo)}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
		return fmt.Errorf("bound memory: %w", err)
	}
	return nil
}

func run() error {
	most := int64(DefaultMemory)
	if len(os.Args) > 1 {
		var err error
		if most, err = strconv.ParseInt(os.Args[1], 10, 64); err != nil || most <= 0 {
			return fmt.Errorf("%q is no number of bytes", os.Args[1])
		}
	}
	if err := boundMemory(most); err != nil {
		return err
	}
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err == nil {
		r.Cur = r.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &r) // or what it is
	}
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	conn, err := wire.FromFile(os.NewFile(ControlFD, "control"))
	if err != nil {
		return err
	}
	counters, err := wire.MapCounters(os.NewFile(CountersFD, "counters"))
	if err != nil {
		return err
	}
	if err := dieWithNode(); err != nil {
		return err
	}
	notes, err := lockIn()
	if err != nil {
		return err
	}
	if err := conn.Send(&wire.Message{Kind: wire.Ready, Number: wire.Version, Data: []byte(strings.Join(notes, "; "))}, -1); err != nil {
		return err
	}
	return Serve(conn, counters)
}

// dieWithNode has the kernel kill this process when the node's end of the pair is
// closed, whatever this process does by then.
func dieWithNode() error {
	for _, c := range [][2]int{
		{unix.F_SETOWN, unix.Getpid()},
		{unix.F_SETSIG, int(unix.SIGKILL)},
		{unix.F_SETFL, unix.O_ASYNC | unix.O_NONBLOCK},
	} {
		if _, err := unix.FcntlInt(LifeFD, c[0], c[1]); err != nil {
			return fmt.Errorf("watch the node: %w", err)
		}
	}
	return nil
}

// lockIn gives up everything but memory and the descriptors that there are and
// will be handed over. What fails of the outer layers is a note; the filter has to
// be.
func lockIn() (notes []string, err error) {
	// No path leads anywhere. The filter knows of no call that takes one, too.
	err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err == nil {
		err = unix.Mount("alcove", "/tmp", "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k")
	}
	if err == nil {
		err = unix.Chroot("/tmp")
	}
	if err == nil {
		err = unix.Chdir("/")
	}
	if err != nil {
		notes = append(notes, "it still sees the host's files: "+err.Error())
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	none := [2]unix.CapUserData{}
	var pin runtime.Pinner
	pin.Pin(&header)
	pin.Pin(&none[0])
	defer pin.Unpin()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0); errno != 0 {
		return nil, fmt.Errorf("capabilities: %w", errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return nil, fmt.Errorf("no new privileges: %w", errno)
	}
	return notes, install(filter())
}

// calls are what the Go runtime needs, and what carries bytes: there is no socket
// to be made, none to be connected, and none of those that are handed over sends
// anywhere but to its peer, because nothing here takes an address.
var calls = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_FCNTL,
	unix.SYS_RECVMSG, unix.SYS_SHUTDOWN, unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_PPOLL,
	unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_TGKILL, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_RESTART_SYSCALL, unix.SYS_GETRANDOM, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

// filter refuses all other calls, memory to execute, and new processes.
func filter() []unix.SockFilter {
	arch := uint32(unix.AUDIT_ARCH_X86_64)
	if runtime.GOARCH == "arm64" {
		arch = unix.AUDIT_ARCH_AARCH64
	}
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		hasBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		// Offsets in struct seccomp_data.
		number, archAt, arg0, arg2 = 0, 4, 16, 32
	)
	allow := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	refuse := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	f := []unix.SockFilter{
		{Code: load, K: archAt}, {Code: equal, K: arch, Jt: 1}, refuse,
		{Code: load, K: number},
	}
	for _, c := range calls {
		f = append(f, unix.SockFilter{Code: equal, K: c, Jf: 1}, allow)
	}
	for _, c := range []uint32{unix.SYS_MMAP, unix.SYS_MPROTECT} {
		f = append(f, unix.SockFilter{Code: equal, K: c, Jf: 4},
			unix.SockFilter{Code: load, K: arg2}, unix.SockFilter{Code: hasBit, K: unix.PROT_EXEC, Jf: 1}, refuse, allow)
	}
	f = append(f, unix.SockFilter{Code: equal, K: unix.SYS_CLONE, Jf: 4},
		unix.SockFilter{Code: load, K: arg0}, unix.SockFilter{Code: hasBit, K: unix.CLONE_THREAD, Jt: 1}, refuse, allow)
	f = append(f, unix.SockFilter{Code: equal, K: unix.SYS_PRCTL, Jf: 4}, // names of memory, for whoever looks
		unix.SockFilter{Code: load, K: arg0}, unix.SockFilter{Code: equal, K: unix.PR_SET_VMA, Jt: 1}, refuse, allow)
	return append(f, refuse)
}

// install puts a filter over all threads.
func install(f []unix.SockFilter) error {
	raw := make([]byte, 0, 8*len(f))
	for _, in := range f {
		raw = binary.NativeEndian.AppendUint16(raw, in.Code)
		raw = append(raw, in.Jt, in.Jf)
		raw = binary.NativeEndian.AppendUint32(raw, in.K)
	}
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: (*unix.SockFilter)(unsafe.Pointer(&raw[0]))}
	tid, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(raw)
	if errno != 0 {
		return fmt.Errorf("system call filter: %w", errno)
	}
	if tid != 0 {
		return fmt.Errorf("system call filter: thread %d cannot have it", tid)
	}
	return nil
}
