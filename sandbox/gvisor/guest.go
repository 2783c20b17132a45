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
		Syscalls: []specs.LinuxSyscall{
			denyNamespaces(),
			// The flags of clone3 are behind a pointer, out of a filter's sight. C
			// libraries go on with clone when they are told that there is none.
			absent("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"),
			deny(
				"ptrace", // absent depends on it
				"setns", "mount", "umount2", "pivot_root", "chroot",
				"keyctl", "add_key", "request_key",
				"perf_event_open", "bpf", "userfaultfd",
				"open_by_handle_at", "name_to_handle_at",
				"syslog", "quotactl", "swapon", "swapoff", "acct", "reboot",
				"init_module", "finit_module", "delete_module", "kexec_load",
			),
		},
	}
}

// denyNamespaces denies clone and unshare with any namespace; nearly all other
// uses of clone are the start of a thread or process. Of several conditions on
// one argument one is enough, as everywhere in the world of OCI, and one rule is
// compiled much sooner than one for each flag.
func denyNamespaces() specs.LinuxSyscall {
	rule := deny("clone", "unshare")
	for _, flag := range []uint64{
		unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWPID, unix.CLONE_NEWNET,
		unix.CLONE_NEWIPC, unix.CLONE_NEWUTS, unix.CLONE_NEWCGROUP,
	} {
		rule.Args = append(rule.Args, specs.LinuxSeccompArg{Index: 0, Value: flag, ValueTwo: flag, Op: specs.OpMaskedEqual})
	}
	return rule
}

// deny answers with EPERM. gVisor ignores any other number that is asked for.
func deny(names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: specs.ActErrno}
}

// absent answers with ENOSYS, which is what a call gets that is to be reported
// to a tracer if there is none.
func absent(names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: specs.ActTrace}
}
