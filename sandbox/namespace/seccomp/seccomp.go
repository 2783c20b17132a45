// Package seccomp makes the system call filter of the namespace driver: a list
// of what ordinary programs need, everything else refused. It produces the
// program for the kernel and installs nothing.
//
// The list is what container runtimes allow by default, less what they allow to
// rights that no sandbox has, less what was a way out of containers before:
// kernel asynchronous I/O rings, user fault handling, keys, tracing, and every
// family of sockets but unix, internet and route netlink.
package seccomp

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Program is the filter in the kernel's form, struct sock_filter by struct
// sock_filter.
func Program() []byte {
	a := &assembler{}
	a.load(offsetArch)
	a.jumpUnless(unix.BPF_JEQ, auditArch, "no such call") // 32-bit calls have numbers of their own
	a.load(offsetNumber)
	a.search(verdicts())
	a.rules()
	a.label("no such call")
	a.ret(errno(unix.ENOSYS))
	return a.bytes()
}

// A verdict is what is done with a stretch of system calls: an action to return,
// or the label of a rule that looks at the arguments.
type verdict struct {
	from   uint32
	action uint32
	rule   string
}

const allow = unix.SECCOMP_RET_ALLOW

func errno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// verdicts partitions all numbers: each verdict is for the numbers from its own
// up to the next one's.
func verdicts() []verdict {
	byNumber := map[uint32]verdict{}
	for _, n := range append(slices.Clone(allowed), allowedHere...) {
		byNumber[uint32(n)] = verdict{action: allow}
	}
	for _, n := range append(slices.Clone(refused), refusedHere...) {
		byNumber[uint32(n)] = verdict{action: errno(unix.EPERM)}
	}
	for n, rule := range ruled {
		byNumber[n] = verdict{rule: rule}
	}
	var out []verdict
	last := slices.Max(slices.Collect(maps.Keys(byNumber)))
	for n := range last + 2 { // the one after the last begins what is unknown
		v, ok := byNumber[n]
		if !ok {
			v = verdict{action: errno(unix.ENOSYS)}
		}
		if len(out) > 0 && v == (verdict{action: out[len(out)-1].action, rule: out[len(out)-1].rule}) {
			continue
		}
		v.from = n
		out = append(out, v)
	}
	return out
}

// namespaceFlags are the flags of clone that make namespaces. (A time namespace
// cannot be made by clone.)
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// ruled are the calls whose arguments decide. Their kernel types are int or
// unsigned int, so that the lower half of an argument is all there is to it;
// clone's flags are a long whose upper half has no meaning.
var ruled = map[uint32]string{
	unix.SYS_CLONE:       "clone",
	unix.SYS_SOCKET:      "socket",
	unix.SYS_SOCKETPAIR:  "socketpair",
	unix.SYS_SETSOCKOPT:  "setsockopt",
	unix.SYS_PERSONALITY: "personality",
	unix.SYS_IOCTL:       "ioctl",
	unix.SYS_MADVISE:     "madvise",
	unix.SYS_PRCTL:       "prctl",

	unix.SYS_SCHED_SETSCHEDULER: "sched_setscheduler",
}

// rules emits the code for each of ruled.
func (a *assembler) rules() {
	a.label("clone")
	a.loadArg(0)
	a.jumpIf(unix.BPF_JSET, namespaceFlags, "not permitted")
	a.ret(allow)

	a.label("socket")
	a.loadArg(0)
	a.jumpIf(unix.BPF_JEQ, unix.AF_UNIX, "yes")
	a.jumpIf(unix.BPF_JEQ, unix.AF_INET, "internet")
	a.jumpIf(unix.BPF_JEQ, unix.AF_INET6, "internet")
	a.jumpUnless(unix.BPF_JEQ, unix.AF_NETLINK, "no family")
	a.loadArg(2)
	a.jumpIf(unix.BPF_JEQ, unix.NETLINK_ROUTE, "yes") // getaddrinfo, getifaddrs
	a.jump("no protocol")
	a.label("internet")
	a.loadArg(2) // others load kernel modules, or are MPTCP, from which programs fall back
	for _, p := range []uint32{unix.IPPROTO_IP, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6} {
		a.jumpIf(unix.BPF_JEQ, p, "yes")
	}
	a.label("no protocol")
	a.ret(errno(unix.EPROTONOSUPPORT))
	a.label("socketpair")
	a.loadArg(0)
	a.jumpIf(unix.BPF_JEQ, unix.AF_UNIX, "yes")
	a.label("no family")
	a.ret(errno(unix.EAFNOSUPPORT))

	a.label("setsockopt") // no code for the kernel's packet filter
	a.loadArg(1)
	a.jumpUnless(unix.BPF_JEQ, unix.SOL_SOCKET, "yes")
	a.loadArg(2)
	for _, o := range []uint32{unix.SO_ATTACH_FILTER, unix.SO_ATTACH_BPF, unix.SO_ATTACH_REUSEPORT_CBPF, unix.SO_ATTACH_REUSEPORT_EBPF} {
		a.jumpIf(unix.BPF_JEQ, o, "not permitted")
	}
	a.ret(allow)

	a.label("personality") // plain Linux, or only asking
	a.loadArg(0)
	a.jumpIf(unix.BPF_JEQ, 0, "yes")
	a.jumpIf(unix.BPF_JEQ, 0xffffffff, "yes")
	a.jump("not permitted")

	a.label("ioctl") // no typing into a terminal
	a.loadArg(1)
	a.jumpIf(unix.BPF_JEQ, unix.TIOCSTI, "not permitted")
	a.jumpIf(unix.BPF_JEQ, tiocLinux, "not permitted")
	a.ret(allow)

	// Who leaves SCHED_BATCH comes before those who have not. Libraries that ask for
	// what is the usual policy elsewhere are told that they have it.
	a.label("sched_setscheduler")
	a.loadArg(1)
	for _, policy := range []uint32{unix.SCHED_BATCH, unix.SCHED_IDLE} {
		a.jumpIf(unix.BPF_JEQ, policy, "yes")
		a.jumpIf(unix.BPF_JEQ, policy|schedResetOnFork, "yes")
	}
	a.jumpIf(unix.BPF_JEQ, unix.SCHED_NORMAL, "nothing to do")
	a.jumpIf(unix.BPF_JEQ, unix.SCHED_NORMAL|schedResetOnFork, "nothing to do")
	a.jump("not permitted")

	// Pages that the kernel merges tell one sandbox what another has.
	a.label("madvise")
	a.loadArg(2)
	a.jumpIf(unix.BPF_JEQ, unix.MADV_MERGEABLE, "invalid")
	a.ret(allow)
	a.label("prctl")
	a.loadArg(0)
	a.jumpIf(unix.BPF_JEQ, unix.PR_SET_MEMORY_MERGE, "invalid")
	a.label("yes")
	a.ret(allow)
	a.label("nothing to do")
	a.ret(errno(0))
	a.label("invalid")
	a.ret(errno(unix.EINVAL))
	a.label("not permitted")
	a.ret(errno(unix.EPERM))
}

const (
	tiocLinux        = 0x541c     // TIOCLINUX
	schedResetOnFork = 0x40000000 // SCHED_RESET_ON_FORK
)

// Offsets in struct seccomp_data.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// An assembler collects instructions; jumps name labels, which lie ahead.
type assembler struct {
	code   []instruction
	labels map[string]int
}

type instruction struct {
	unix.SockFilter
	target string // of a jump; conditional ones jump there or go on
	unless bool
}

func (a *assembler) emit(code uint16, k uint32) {
	a.code = append(a.code, instruction{SockFilter: unix.SockFilter{Code: code, K: k}})
}

func (a *assembler) load(offset uint32) { a.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset) }
func (a *assembler) loadArg(n uint32)   { a.load(offsetArgs + 8*n) } // lower half: little-endian
func (a *assembler) ret(action uint32)  { a.emit(unix.BPF_RET|unix.BPF_K, action) }
func (a *assembler) jump(target string) { a.branch(unix.BPF_JA, 0, target, false) }
func (a *assembler) label(name string) {
	if a.labels == nil {
		a.labels = map[string]int{}
	}
	a.labels[name] = len(a.code)
}

// jumpIf and jumpUnless compare what was loaded last. A conditional jump of the
// kernel's reaches 255 instructions, so it only steps over a long one.
func (a *assembler) jumpIf(test uint16, k uint32, target string) {
	a.branch(test, k, target, false)
}

func (a *assembler) jumpUnless(test uint16, k uint32, target string) {
	a.branch(test, k, target, true)
}

func (a *assembler) branch(test uint16, k uint32, target string, unless bool) {
	if test != unix.BPF_JA {
		f := unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k}
		if unless {
			f.Jt = 1
		} else {
			f.Jf = 1
		}
		a.code = append(a.code, instruction{SockFilter: f})
	}
	a.code = append(a.code, instruction{SockFilter: unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA}, target: target})
}

// search finds the verdict for the number that was loaded, halving the list, so
// that a call is decided by about eight comparisons. The kernel does even that
// only once for calls that are always allowed.
func (a *assembler) search(list []verdict) {
	if len(list) > 1 {
		middle := len(list) / 2
		right := "from " + strconv.Itoa(int(list[middle].from))
		a.jumpIf(unix.BPF_JGE, list[middle].from, right)
		a.search(list[:middle])
		a.label(right)
		a.search(list[middle:])
		return
	}
	if list[0].rule != "" {
		a.jump(list[0].rule)
		return
	}
	a.ret(list[0].action)
}

// bytes resolves the labels.
func (a *assembler) bytes() []byte {
	var b []byte
	for i, in := range a.code {
		if in.target != "" {
			in.K = uint32(a.labels[in.target] - i - 1)
		}
		b = binary.NativeEndian.AppendUint16(b, in.Code)
		b = append(b, in.Jt, in.Jf)
		b = binary.NativeEndian.AppendUint32(b, in.K)
	}
	return b
}
