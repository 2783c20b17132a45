package launch

import (
	"errors"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A program is what the child of the launcher needs between fork and exec,
// where it can allocate nothing.
type program struct {
	order *Order
	probe bool // wait for the end instead of executing

	path       *byte
	argv, envp []*byte
	tape       Tape
	logFD      int
	syncFD     int // gets a byte once the ids are mapped
	errFD      int // takes a failure; closed by exec
}

// start forks the program and returns when it has been executed.
func start(o *Order, logFD int) (pid int, err error) {
	p := &program{order: o, logFD: logFD}
	if p.path, err = syscall.BytePtrFromString(o.Args[0]); err != nil {
		return 0, fail("arguments", err)
	}
	if p.argv, err = syscall.SlicePtrFromStrings(o.Args); err != nil {
		return 0, fail("arguments", err)
	}
	if p.envp, err = syscall.SlicePtrFromStrings(o.Env); err != nil {
		return 0, fail("environment", err)
	}
	rules, err := landlock()
	if err != nil {
		return 0, fail("landlock", err)
	}
	p.tape.program(o, rules)
	p.tape.resolve()
	var sync, failed [2]int
	if err := unix.Pipe2(sync[:], unix.O_CLOEXEC); err != nil {
		return 0, fail("pipe", err)
	}
	if err := unix.Pipe2(failed[:], unix.O_CLOEXEC); err != nil {
		return 0, fail("pipe", err)
	}
	p.syncFD, p.errFD = sync[0], failed[1]
	err = asUser(o.HostUID, func() error {
		pid, err = forkProgram(p)
		return err
	})
	if err != nil {
		return 0, fail("user namespace", err)
	}
	unix.Close(failed[1])
	if err := mapIDs(o, pid); err != nil {
		return 0, err
	}
	if _, err := unix.Write(sync[1], []byte{1}); err != nil {
		return 0, fail("release the program", err)
	}
	var report [2]uint32
	n, err := unix.Read(failed[0], (*[8]byte)(unsafe.Pointer(&report))[:])
	if err != nil {
		return 0, fail("wait for the program", err)
	}
	if n == 0 {
		return pid, nil
	}
	switch errno := syscall.Errno(report[1]); report[0] {
	case stepExec:
		return 0, &programError{'P', errno}
	case stepDirectory:
		return 0, &programError{'D', errno}
	}
	return 0, fail(steps[report[0]]+" ("+o.Args[0]+" in "+o.Dir+")", syscall.Errno(report[1]))
}

// mapIDs gives the child's user namespace its one user and its groups.
func mapIDs(o *Order, pid int) error {
	dir := "/proc/" + strconv.Itoa(pid)
	one := func(inside, outside uint64) string {
		return strconv.FormatUint(inside, 10) + " " + strconv.FormatUint(outside, 10) + " 1\n"
	}
	groups := one(o.GID, o.HostUID)
	for i, g := range o.Groups {
		groups += one(g, o.HostGroups[i])
	}
	files := [][2]string{{"/uid_map", one(o.UID, o.HostUID)}, {"/gid_map", groups}}
	if o.HostUID == 0 { // an ordinary user may map a group only so
		files = append([][2]string{{"/setgroups", "deny"}}, files...)
	}
	for _, f := range files {
		if err := writeFile(dir+f[0], f[1]); err != nil {
			return fail("write "+f[0], err)
		}
	}
	return nil
}

func writeFile(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(text))
	unix.Close(fd)
	return err
}

// asUser has f done as the sandbox's user on the host, with all rights. Who makes
// a user namespace is charged for what is counted in it (ucounts: inotify
// instances, pending signals, …), up to that user's limits: as root, all sandboxes
// and the host would share them.
func asUser(uid uint64, f func() error) error {
	if uid == 0 { // an ordinary user, who has no others
		return f()
	}
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(bits)|secbitNoSetuidFixup, 0, 0, 0); err != nil {
		return err
	}
	// Of this thread alone, unlike unix.Setresuid.
	const keep = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
		return errno
	}
	err = f()
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep); errno != 0 {
		return errors.Join(err, errno)
	}
	return errors.Join(err, unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(bits), 0, 0, 0))
}

// secbitNoSetuidFixup is SECBIT_NO_SETUID_FIXUP, see capabilities(7).
const secbitNoSetuidFixup = 1 << 2

// forkProgram forks. The child has a copy of this process's memory and its one
// thread; it runs child, which makes system calls and nothing else.
func forkProgram(p *program) (int, error) {
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	if pid == 0 {
		child(p)
	}
	return int(pid), nil
}

// child goes from fork to exec. It must not allocate, grow its stack or be
// interrupted by the runtime, none of which works in a forked process.
//
//go:nosplit
//go:norace
func child(p *program) {
	var b [1]byte
	for p.probe { // the ids of a process that has ended cannot be mapped
		syscall.RawSyscall(unix.SYS_READ, uintptr(p.syncFD), uintptr(unsafe.Pointer(&b)), 1)
	}
	step, errno := becomeProgram(p)
	report := [2]uint32{uint32(step), uint32(errno)}
	syscall.RawSyscall(unix.SYS_WRITE, uintptr(p.errFD), uintptr(unsafe.Pointer(&report)), 8)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 127, 0, 0)
	}
}

//go:nosplit
//go:norace
func becomeProgram(p *program) (step int, errno syscall.Errno) {
	var b [1]byte
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(p.syncFD), uintptr(unsafe.Pointer(&b)), 1)
	if errno != 0 || n != 1 {
		return stepMap, errno
	}
	syscall.RawSyscall(unix.SYS_SETSID, 0, 0, 0) // cannot fail in a child
	if p.logFD >= 0 {
		// The control socket's number; the socket itself stays with the parent.
		if _, _, errno = syscall.RawSyscall(unix.SYS_DUP3, uintptr(p.logFD), 3, 0); errno != 0 {
			return stepDescriptors, errno
		}
	}
	if step, errno = p.tape.play(); errno != 0 {
		return step, errno
	}
	_, _, errno = syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(p.path)),
		uintptr(unsafe.Pointer(&p.argv[0])), uintptr(unsafe.Pointer(&p.envp[0])))
	return stepExec, errno
}
