package gvisor

import (
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// guestFilter is a system call filter inside the sandbox, between the function
// and the sentry. The boundary is the sentry, which has its own filter towards
// the host; this one takes from a hostile function the parts of the sentry that
// no function needs and that are reached without any privilege, user namespaces
// above all, which would make it root over mounts and networks of its own. What
// it denies is denied on AWS, too. Calls that it does not name cost nothing:
// the sentry knows the answer by their number.
func guestFilter() *specs.LinuxSeccomp {
	arch := specs.ArchX86_64
	if runtime.GOARCH == "arm64" {
		arch = specs.ArchAARCH64
	}
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: []specs.Arch{arch},
		Syscalls: append(denyNamespaces(),
			// Its flags are behind a pointer, out of a filter's sight. The C
			// library goes on with clone when it is told that there is none.
			deny(unix.ENOSYS, "clone3"),
			deny(unix.EPERM,
				"setns", "mount", "umount2", "pivot_root", "chroot",
				"keyctl", "add_key", "request_key",
				"perf_event_open", "bpf", "userfaultfd",
				"open_by_handle_at", "name_to_handle_at",
				"syslog", "quotactl", "swapon", "swapoff", "acct", "reboot",
				"init_module", "finit_module", "delete_module", "kexec_load",
			),
			deny(unix.ENOSYS, "io_uring_setup", "io_uring_enter", "io_uring_register"),
		),
	}
}

// denyNamespaces denies clone and unshare with any namespace; nearly all other
// uses of clone are the start of a thread or process.
func denyNamespaces() []specs.LinuxSyscall {
	var rules []specs.LinuxSyscall
	for _, flag := range []uint64{
		unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET,
		unix.CLONE_NEWIPC, unix.CLONE_NEWUTS, unix.CLONE_NEWCGROUP,
	} {
		for _, name := range []string{"clone", "unshare"} {
			rule := deny(unix.EPERM, name)
			rule.Args = []specs.LinuxSeccompArg{{Index: 0, Value: flag, ValueTwo: flag, Op: specs.OpMaskedEqual}}
			rules = append(rules, rule)
		}
	}
	return rules
}

func deny(errno unix.Errno, names ...string) specs.LinuxSyscall {
	e := uint(errno)
	return specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: &e}
}
