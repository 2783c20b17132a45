package seccomp

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// call is what the kernel gives a filter.
type call struct {
	number, arch uint32
	args         [6]uint64
}

// run interprets the program the way the kernel does, plainly.
func run(t testing.TB, program []byte, c call) uint32 {
	t.Helper()
	data := make([]byte, 64)
	binary.LittleEndian.PutUint32(data[0:], c.number)
	binary.LittleEndian.PutUint32(data[4:], c.arch)
	for i, a := range c.args {
		binary.LittleEndian.PutUint64(data[16+8*i:], a)
	}
	var acc uint32
	for pc := 0; pc < len(program)/8; pc++ {
		in := program[pc*8:]
		code, jt, jf := binary.NativeEndian.Uint16(in), int(in[2]), int(in[3])
		k := binary.NativeEndian.Uint32(in[4:])
		branch := func(ok bool) {
			if ok {
				pc += jt
			} else {
				pc += jf
			}
		}
		switch code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[k:])
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(k)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			branch(acc == k)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			branch(acc >= k)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			branch(acc&k != 0)
		case unix.BPF_RET | unix.BPF_K:
			return k
		default:
			t.Fatalf("instruction %d: code %#x", pc, code)
		}
	}
	t.Fatal("ran off the end")
	return 0
}

// plain is the same decision, made from the lists directly.
func plain(number uint32) uint32 {
	switch n := int(number); {
	case slices.Contains(allowed, n), slices.Contains(allowedHere, n):
		return allow
	case slices.Contains(refused, n), slices.Contains(refusedHere, n):
		return errno(unix.EPERM)
	}
	return errno(unix.ENOSYS)
}

func TestEveryNumber(t *testing.T) {
	p := Program()
	if n := len(p) / 8; n > unix.BPF_MAXINSNS {
		t.Fatalf("%d instructions", n)
	}
	t.Logf("%d instructions", len(p)/8)
	for n := range uint32(1000) {
		if _, ok := ruled[n]; ok {
			continue
		}
		if got, want := run(t, p, call{number: n, arch: auditArch}), plain(n); got != want {
			t.Errorf("call %d: %#x, want %#x", n, got, want)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		c := call{number: rapid.Uint32().Draw(r, "number"), arch: rapid.Uint32().Draw(r, "arch")}
		if _, ok := ruled[c.number]; ok {
			return
		}
		want := plain(c.number)
		if c.arch != auditArch {
			want = errno(unix.ENOSYS)
		}
		if got := run(t, p, c); got != want {
			r.Errorf("%+v: %#x, want %#x", c, got, want)
		}
	})
}

func TestListsAreDisjoint(t *testing.T) {
	all := append(append(append(slices.Clone(allowed), allowedHere...), refused...), refusedHere...)
	for n := range ruled {
		all = append(all, int(n))
	}
	slices.Sort(all)
	for i, n := range all[1:] {
		if all[i] == n {
			t.Errorf("call %d is in two lists", n)
		}
	}
}

func TestArguments(t *testing.T) {
	p := Program()
	eperm, einval := errno(unix.EPERM), errno(unix.EINVAL)
	noFamily, noProtocol := errno(unix.EAFNOSUPPORT), errno(unix.EPROTONOSUPPORT)
	const high = 0xdeadbeef_00000000 // no argument has a meaning up there
	for _, c := range []struct {
		what   string
		number uint32
		args   [6]uint64
		want   uint32
	}{
		{"thread", unix.SYS_CLONE, [6]uint64{0x3d0f00}, allow},
		{"fork", unix.SYS_CLONE, [6]uint64{uint64(unix.SIGCHLD)}, allow},
		{"user namespace", unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWUSER | 17}, eperm},
		{"net namespace", unix.SYS_CLONE, [6]uint64{high | unix.CLONE_NEWNET}, eperm},
		{"unix", unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC}, allow},
		{"tcp", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}, allow},
		{"udp6", unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, unix.SOCK_DGRAM}, allow},
		{"mptcp", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, noProtocol},
		{"sctp", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, noProtocol},
		{"route", unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allow},
		{"netfilter", unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, noProtocol},
		{"packet", unix.SYS_SOCKET, [6]uint64{unix.AF_PACKET, unix.SOCK_RAW}, noFamily},
		{"alg", unix.SYS_SOCKET, [6]uint64{unix.AF_ALG, unix.SOCK_SEQPACKET}, noFamily},
		{"vsock, high bits", unix.SYS_SOCKET, [6]uint64{high | unix.AF_VSOCK}, noFamily},
		{"unix, high bits", unix.SYS_SOCKET, [6]uint64{high | unix.AF_UNIX}, allow},
		{"unix pair", unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX}, allow},
		{"tipc pair", unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_TIPC}, noFamily},
		{"reuse address", unix.SYS_SETSOCKOPT, [6]uint64{3, unix.SOL_SOCKET, unix.SO_REUSEADDR}, allow},
		{"packet filter", unix.SYS_SETSOCKOPT, [6]uint64{3, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER}, eperm},
		{"same number, other level", unix.SYS_SETSOCKOPT, [6]uint64{3, unix.IPPROTO_TCP, unix.SO_ATTACH_FILTER}, allow},
		{"personality?", unix.SYS_PERSONALITY, [6]uint64{0xffffffff}, allow},
		{"no randomisation", unix.SYS_PERSONALITY, [6]uint64{0x40000}, eperm},
		{"terminal size", unix.SYS_IOCTL, [6]uint64{0, unix.TIOCGWINSZ}, allow},
		{"terminal input", unix.SYS_IOCTL, [6]uint64{0, high | unix.TIOCSTI}, eperm},
		{"batch", unix.SYS_SCHED_SETSCHEDULER, [6]uint64{0, unix.SCHED_BATCH}, allow},
		{"idle, not for children", unix.SYS_SCHED_SETSCHEDULER, [6]uint64{0, unix.SCHED_IDLE | schedResetOnFork}, allow},
		{"usual policy", unix.SYS_SCHED_SETSCHEDULER, [6]uint64{0, high | unix.SCHED_NORMAL}, errno(0)},
		{"usual policy, not for children", unix.SYS_SCHED_SETSCHEDULER, [6]uint64{0, unix.SCHED_NORMAL | schedResetOnFork}, errno(0)},
		{"fifo", unix.SYS_SCHED_SETSCHEDULER, [6]uint64{0, unix.SCHED_FIFO}, eperm},
		{"own slice", unix.SYS_SCHED_SETATTR, [6]uint64{}, errno(unix.ENOSYS)},
		{"free", unix.SYS_MADVISE, [6]uint64{0, 0, unix.MADV_DONTNEED}, allow},
		{"merge", unix.SYS_MADVISE, [6]uint64{0, 0, unix.MADV_MERGEABLE}, einval},
		{"merge all", unix.SYS_PRCTL, [6]uint64{unix.PR_SET_MEMORY_MERGE, 1}, einval},
		{"name", unix.SYS_PRCTL, [6]uint64{unix.PR_SET_NAME}, allow},
	} {
		if got := run(t, p, call{number: c.number, arch: auditArch, args: c.args}); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.what, got, c.want)
		}
	}
}
