// Package door is the first process of a sandbox whose function wants to reach
// its Runtime API by TCP. It listens on sandbox.RuntimeAPIAddr, leads each
// connection to the Runtime API's unix socket, runs the function's program as
// its child with the same descriptors, collects whatever ends in the sandbox,
// and ends as the program did.
//
// It runs inside the sandbox with the function's rights: the function can
// harm it, and thereby itself, nobody else.
package door

import (
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// The names by which a program knows that it is to be the door. The second one
// also takes HOME from the environment, which gVisor has put there.
const (
	Arg0       = "alcove-door"
	Arg0NoHome = "alcove-door-nohome"
	// Arg0Held and Arg0HeldTCP are told by an Order what to run. The first one is
	// no door at all, but becomes the program.
	Arg0Held    = "alcove-held"
	Arg0HeldTCP = "alcove-door-held"
)

// Is tells whether a process with this argv[0] is to call Main.
func Is(arg0 string) bool {
	return arg0 == Arg0 || arg0 == Arg0NoHome || arg0 == Arg0Held || arg0 == Arg0HeldTCP || arg0 == Arg0Stamp
}

// failed is the exit code if the door cannot do its work.
const failed = 125

// Args returns the arguments of a door that runs args with env.
func Args(args, env []string) []string {
	arg0 := Arg0NoHome
	if slices.ContainsFunc(env, isHome) {
		arg0 = Arg0
	}
	return append([]string{arg0}, args...)
}

func isHome(variable string) bool { return strings.HasPrefix(variable, "HOME=") }

// Main is the door. It takes os.Args as Args makes them and never returns.
func Main() {
	// One processor is plenty for passing bytes on, and every thread counts
	// among the function's processes.
	runtime.GOMAXPROCS(1)
	keepOwn()
	args, env := os.Args[1:], os.Environ()
	switch os.Args[0] {
	case Arg0Stamp:
		os.Exit(stamped(args))
	case Arg0NoHome:
		env = slices.DeleteFunc(env, isHome)
	case Arg0Held, Arg0HeldTCP:
		o, err := await()
		if err == nil {
			err = os.Chdir(o.Dir)
		}
		if err == nil && os.Args[0] == Arg0Held {
			if home := slices.IndexFunc(env, isHome); home >= 0 && !slices.ContainsFunc(o.Env, isHome) {
				o.Env = append(o.Env, env[home]) // as gVisor does for programs that it starts
			}
			err = syscall.Exec(o.Args[0], o.Args, o.Env)
		}
		if err != nil {
			fail(err)
		}
		args, env = o.Args, o.Env
	}
	l, err := net.Listen("tcp4", sandbox.RuntimeAPIAddr)
	if err != nil {
		fail(err)
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	pid, err := start(args, env)
	if err != nil {
		fail(err)
	}
	go forward(signals, pid)
	go serve(l)
	end(wait(pid))
}

// keepOwn has no program inherit a descriptor beyond the log's. The node's own
// program, which may be the door, opens some that are not marked for that.
func keepOwn() {
	_, _, errno := syscall.Syscall(unix.SYS_CLOSE_RANGE, sandbox.LogFD+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if errno != 0 {
		fail(errno)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "alcove: starting the function:", err)
	os.Exit(failed)
}

// start runs the program with this process's first descriptors, of which the
// one for the log may be missing.
func start(args, env []string) (int, error) {
	files := []uintptr{0, 1, 2}
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, sandbox.LogFD, syscall.F_GETFD, 0); errno == 0 {
		files = append(files, sandbox.LogFD)
	}
	return syscall.ForkExec(args[0], args, &syscall.ProcAttr{Env: env, Files: files})
}

// forward hands the program the signals that are meant for it.
func forward(signals <-chan os.Signal, pid int) {
	for s := range signals {
		switch s {
		case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE:
			continue // ours
		}
		_ = syscall.Kill(pid, s.(syscall.Signal)) // it may have ended
	}
}

// wait collects everybody who ends until it is the program.
func wait(pid int) syscall.WaitStatus {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			fail(err)
		case got == pid && (status.Exited() || status.Signaled()):
			return status
		}
	}
}

// end ends this process as the program ended.
func end(status syscall.WaitStatus) {
	if !status.Signaled() {
		os.Exit(status.ExitStatus())
	}
	runtime.LockOSThread()
	sig := status.Signal()
	// The Go runtime's handler would take it for its own; all zero is the
	// default, which for these signals is the end.
	var action [4]uintptr
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	_ = syscall.Tgkill(syscall.Getpid(), syscall.Gettid(), sig)
	os.Exit(128 + int(sig))
}

// serve leads connections to the Runtime API.
func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			continue // out of descriptors, for example
		}
		go lead(c.(*net.TCPConn))
	}
}

func lead(tcp *net.TCPConn) {
	defer tcp.Close()
	c, err := net.Dial("unix", sandbox.SocketDir+"/"+sandbox.SocketName)
	if err != nil {
		return
	}
	socket := c.(*net.UnixConn)
	defer socket.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		pass(tcp, socket)
	}()
	pass(socket, tcp)
	<-back
}

// pass copies one direction, its end included. An error ends the other
// direction, too.
func pass(to, from interface {
	io.ReadWriteCloser
	CloseWrite() error
}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				_ = from.Close()
				return
			}
		}
		if err == io.EOF {
			_ = to.CloseWrite()
			return
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}
