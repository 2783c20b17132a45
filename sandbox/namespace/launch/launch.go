// Package launch is the inside half of the namespace driver: it runs in the
// process that becomes a sandbox. That process is started by package namespace
// in fresh mount, pid, network, ipc and uts namespaces, reads one Order from a
// socket, and
//
//   - enters its cgroups, and a cgroup namespace that hides where they are;
//   - builds the file system and makes it its root;
//   - forks the program, which gets a user namespace of its own, with one user
//     id, no capabilities, no way to new privileges, and a system call filter;
//   - replaces itself, as process 1, by a reaper of a few dozen instructions,
//     which collects the dead, tells the node how the program ended, and takes
//     the whole sandbox with it.
//
// As root the launcher holds the host's full rights up to that last step, which
// is why it does nothing but this, takes orders only from the socket that it
// inherited, and runs none of a tenant's bytes. As an ordinary user it is root
// in a user namespace only.
//
// It is linked into a small program of its own (cmd/alcove-init), because its
// start is part of every cold start, so it imports little; and into the node,
// which executes itself if that small program is not there.
package launch

import (
	"errors"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Descriptors of the launcher. After them come, in this order and where the
// Order says so, the one for sandbox.LogFD, the file system for /tmp, and, for a
// forked program, a pipe that ends with the node.
const (
	ControlFD = 3
	ReaperFD  = 4
	nextFD    = 5
	// LinkFD is where the first process holds the other end of its link, for whoever
	// serves it to have it again. Nothing but the node may take it.
	LinkFD = 16
)

// Messages from the launcher to the node, each a packet that begins with its
// letter. The last packet comes from the reaper and is the program's wait
// status, four bytes in the machine's order.
const (
	MsgListener = 'L' // brings the TCP listener's descriptor
	MsgLink     = 'T' // brings the other end of the link to the outside
	MsgStarted  = 'S' // the program has been executed; Stamps follow
	MsgError    = 'E' // the text of what went wrong; the launcher ends
	MsgReady    = 'R' // brings the Landlock rules for a forked program; whether there is one is the answer
	MsgProgram  = 'P' // the program cannot be executed: P or D, its directory, and the error's number; the launcher ends
	MsgNote     = 'N' // something is weaker than it could be; the text says what
)

// Arg0 is argv[0] of a launcher, by which a program that embeds this package
// knows that it is meant to be one.
const Arg0 = "alcove-init"

// usualSlack is what Linux gives the first process for its timers, in ns.
const usualSlack = 50_000

// MaxOrder bounds the size of an encoded Order, in bytes.
const MaxOrder = 4 << 20

// Main is the launcher. It never returns.
func Main() {
	runtime.LockOSThread() // rights, cgroups and filters belong to threads
	err := run()
	text := string(MsgError) + err.Error()
	if p, ok := err.(*programError); ok {
		text = string(MsgProgram) + string(p.what) + strconv.Itoa(int(p.errno))
	}
	send(text)
	unix.Exit(1)
}

// A stepError says which step failed.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// A programError is a program that cannot be started in a sandbox that is
// complete.
type programError struct {
	what  byte // as MsgProgram has it
	errno syscall.Errno
}

func (e *programError) Error() string { return e.errno.Error() }

func fail(step string, err error) error {
	if err == nil {
		return nil
	}
	return &stepError{step, err}
}

func run() error {
	at := Stamps{Begun: Now()}
	schedule()
	// Nothing that is open here is for the program, but 0, 1 and 2.
	if err := unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fail("close_range", err)
	}
	o, err := receive()
	if err != nil {
		return err
	}
	at.Ordered = Now()
	if o.Template {
		return becomeTemplate(o)
	}
	fd := nextFD
	logFD, tmpFD := -1, -1
	if o.Log {
		logFD = fd
		fd++
	}
	if o.Tmp == 0 {
		tmpFD = fd
		fd++
	}
	lifeFD := fd
	if err := enter(o); err != nil {
		return err
	}
	if err := network(o); err != nil {
		return err
	}
	at.Entered = Now()
	unix.Umask(0)
	if err := buildRoot(o, tmpFD); err != nil {
		return err
	}
	at.Built = Now()
	if err := ownInput(); err != nil {
		return err
	}
	if err := limit(o); err != nil {
		return err
	}
	if o.Probe {
		return probe(o)
	}
	forked := false
	if o.Forked {
		if forked, err = adopt(); err != nil {
			return err
		}
	}
	child := 0 // whom the reaper waits for: nobody, if the program is not its child
	if forked {
		lifeFD, err = endWithNode(lifeFD)
	} else if child, err = start(o, logFD); err == nil {
		err = watchNode(ControlFD, child, unix.SIGKILL)
	}
	if err != nil {
		return err
	}
	at.Started = Now()
	send(string(MsgStarted) + at.encode())
	if forked { // the node has closed its end of the control socket, or will
		if err := unix.Dup3(lifeFD, ControlFD, unix.O_CLOEXEC); err != nil {
			return fail("watch the node", err)
		}
	}
	return reap(o, child)
}

// schedule sets how the kernel schedules this thread and all that it starts. Where
// it may not be set, nothing is lost but speed.
func schedule() {
	// A program that is woken does not take the processor from whoever has it at the
	// moment, which mostly is the node in the middle of waking it. The filter holds it
	// to that. An operator's own choice for the node stays, and so does nice.
	if policy, _, _ := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0); policy == unix.SCHED_NORMAL {
		var priority uint64 // of which there is one
		unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_BATCH, uintptr(unsafe.Pointer(&priority)))
	}
	// The launcher was started with more slack for its runtime's sake.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, usualSlack, 0, 0, 0)
}

// receive reads the order. A node that is gone sends none.
func receive() (*Order, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Read(ControlFD, buf)
	if err != nil || n < 8 {
		return nil, fail("read the order", orBad(err))
	}
	size := int(*(*uint64)(unsafe.Pointer(&buf[0])))
	if size > MaxOrder {
		return nil, fail("read the order", errOrder)
	}
	order := append(make([]byte, 0, size), buf[8:n]...)
	for len(order) < size {
		if n, err = unix.Read(ControlFD, buf); err != nil || n == 0 {
			return nil, fail("read the order", orBad(err))
		}
		order = append(order, buf[:n]...)
	}
	o := new(Order)
	return o, fail("read the order", o.Decode(order))
}

func orBad(err error) error {
	if err == nil {
		return errOrder
	}
	return err
}

// send sends one packet to the node. If the node is gone, nothing is to go on:
// with the launcher, whatever it has started ends too.
func send(packet string) {
	if _, err := unix.Write(ControlFD, []byte(packet)); err != nil {
		unix.Exit(1)
	}
}

// enter joins the sandbox's cgroups and hides their place.
func enter(o *Order) error {
	for _, dir := range o.V1Groups {
		// This thread alone: the program is forked from it, and the others end
		// when it executes the reaper. See cgroup.Group.V1Paths.
		fd, err := unix.Open(dir+"/tasks", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fail("open "+dir, err)
		}
		_, err = unix.Write(fd, []byte("0"))
		unix.Close(fd)
		if err != nil {
			return fail("enter "+dir, err)
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fail("cgroup namespace", err)
	}
	// A keyring that is not the node's. Without the call there are no keyrings.
	_, _, _ = unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	return fail("host name", unix.Sethostname([]byte("sandbox")))
}

// ownInput puts the sandbox's own /dev/null in place of the node's, which is one
// file for all: locks on it would be seen by others.
func ownInput() error {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail("standard input", err)
	}
	return fail("standard input", errors.Join(unix.Dup3(fd, 0, 0), unix.Close(fd)))
}

type resourceLimit struct {
	what int
	max  uint64
}

// resourceLimits are those of a program.
func resourceLimits(o *Order) []resourceLimit {
	return []resourceLimit{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NOFILE, o.OpenFiles},
		{unix.RLIMIT_NPROC, o.Processes},
		{unix.RLIMIT_MEMLOCK, 64 << 10},
		{unix.RLIMIT_RTPRIO, 0},
		{unix.RLIMIT_NICE, 0},
		{unix.RLIMIT_MSGQUEUE, 1 << 20},
		{unix.RLIMIT_SIGPENDING, 4096},
	}
}

// limit sets the resource limits that the program inherits.
func limit(o *Order) error {
	for _, l := range resourceLimits(o) {
		var old unix.Rlimit
		r := unix.Rlimit{Cur: l.max, Max: l.max}
		if err := unix.Prlimit(0, l.what, nil, &old); err == nil && old.Max < r.Max {
			r = unix.Rlimit{Cur: old.Max, Max: old.Max} // an ordinary user cannot raise it
		}
		if err := unix.Prlimit(0, l.what, &r, nil); err != nil {
			return fail("resource limit "+strconv.Itoa(l.what), err)
		}
	}
	return nil
}

// probe is what is tried instead of a program: its user namespace.
func probe(o *Order) error {
	var sync [2]int
	if err := unix.Pipe2(sync[:], unix.O_CLOEXEC); err != nil {
		return fail("pipe", err)
	}
	pid, err := forkProgram(&program{probe: true, order: o, syncFD: sync[0]})
	if err != nil {
		return fail("user namespace", err)
	}
	if err := mapIDs(o, pid); err != nil {
		return err
	}
	send(string(MsgStarted))
	unix.Exit(0) // and the child with this process
	return nil
}

// watchNode has the kernel send a process a signal when the node's end of a
// descriptor is closed: when the node has ended, in whatever way. The program's end
// is the sandbox's.
func watchNode(fd, pid int, signal unix.Signal) error {
	for _, c := range [][2]int{
		{unix.F_SETOWN, pid},
		{unix.F_SETSIG, int(signal)},
		{unix.F_SETFL, unix.O_ASYNC},
	} {
		if _, err := unix.FcntlInt(uintptr(fd), c[0], c[1]); err != nil {
			return fail("watch the node", err)
		}
	}
	return nil
}

// reap gives up every right and becomes the reaper.
func reap(o *Order, pid int) error {
	if _, err := unix.FcntlInt(ControlFD, unix.F_SETFD, 0); err != nil {
		return fail("keep the control socket", err)
	}
	if o.Link {
		if _, err := unix.FcntlInt(LinkFD, unix.F_SETFD, 0); err != nil {
			return fail("keep the link", err)
		}
	}
	// The node's pipes end with the program, not with the reaper.
	if err := unix.CloseRange(0, 2, 0); err != nil {
		return fail("close_range", err)
	}
	// All this is of this thread: the others end when the reaper is executed.
	var t Tape
	t.bounding(0)
	if o.InitUID != 0 {
		t.ids(o.InitUID, o.InitUID, true)
	}
	t.rights(0)
	t.refuse(-1, o.Filter)
	t.resolve()
	if step, errno := t.play(); errno != 0 {
		return fail(steps[step]+" of the first process", errno)
	}
	argv, err := syscall.SlicePtrFromStrings([]string{"init", strconv.Itoa(pid), o.Marker})
	if err != nil {
		return err
	}
	envp := []*byte{nil}
	empty := []byte{0}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, ReaperFD, uintptr(unsafe.Pointer(&empty[0])),
		uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])), unix.AT_EMPTY_PATH, 0)
	return fail("execute the reaper", errno)
}
