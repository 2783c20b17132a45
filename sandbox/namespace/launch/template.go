package launch

import (
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// templateRights are the capabilities that a template process keeps: to enter a
// sandbox's namespaces (SYS_ADMIN, SYS_CHROOT; SYS_PTRACE because they are named by
// a process), and, for its children, what ForkedTape takes from them step by step.
const templateRights = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_SYS_PTRACE |
	1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETPCAP

// becomeTemplate turns this process into a template: an interpreter that has a
// sandbox's root tree for its files and no network, but is a process of the node's
// pid namespace, whose children it makes siblings of itself. It runs the platform's
// code alone.
func becomeTemplate(o *Order) error {
	if err := enter(o); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fail("private mounts", err)
	}
	root, err := Layer(o.Root, o.Empty, sendNote)
	if err != nil {
		return fail("root "+o.Root, err)
	}
	if err := enterRoot(root); err != nil {
		return fail("change root", err)
	}
	argv, err := syscall.SlicePtrFromStrings(o.Args)
	if err != nil {
		return fail("arguments", err)
	}
	envp, err := syscall.SlicePtrFromStrings(o.Env)
	if err != nil {
		return fail("environment", err)
	}
	for _, fd := range []uintptr{ControlFD, TemplateFD} {
		if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err != nil {
			return fail("descriptors", err)
		}
	}
	var t Tape
	t.add(stepLimit, unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, t.put(words(0, 0)), 0).pointer = 0b100
	t.add(stepIDs, unix.SYS_UMASK, 0o022).mayFail = true
	t.add(stepDirectory, unix.SYS_CHDIR, t.put(append([]byte(o.Dir), 0))).pointer = 0b1
	t.bounding(templateRights)
	t.rights(templateRights)
	t.resolve()
	if step, errno := t.play(); errno != 0 {
		return fail(steps[step], errno)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(argv[0])),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])))
	return fail("execute the template", errno)
}

// TemplateFD is where a template finds the program that forks sandboxes from it.
const TemplateFD = 4

// adopt waits for a program that is forked from a template into this sandbox, and
// tells whether there is one.
func adopt() (forked bool, err error) {
	rules, err := landlock()
	if err != nil {
		return false, fail("landlock", err)
	}
	if err := unix.Sendmsg(ControlFD, []byte{MsgReady}, unix.UnixRights(rules), nil, 0); err != nil {
		unix.Exit(1)
	}
	unix.Close(rules)
	var answer [1]byte
	if n, err := unix.Read(ControlFD, answer[:]); err != nil || n != len(answer) {
		return false, fail("read whether it was forked", orBad(err))
	}
	return answer[0] == 1, nil
}

// endWithNode has the reaper, which the calling thread is going to be, learn of
// the node's end by a signal that it waits for, as for those of orphans. It watches
// a pipe that all have, through an opening of its own, since each opening has one
// process to signal.
func endWithNode(pipe int) (int, error) {
	life, err := unix.Open("/proc/self/fd/"+strconv.Itoa(pipe), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fail("watch the node", err)
	}
	set := uint64(1)<<(uint(unix.SIGCHLD)-1) | uint64(1)<<(uint(unix.SIGIO)-1)
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0)
	if errno != 0 {
		return -1, fail("block signals", errno)
	}
	return life, watchNode(life, unix.Getpid(), unix.SIGIO)
}
