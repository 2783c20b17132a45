package supervise

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// Main tells whether this process is a supervisor; then it does not return until
// the sandbox is to end.
func Main() bool {
	if filepath.Base(os.Args[0]) != Name {
		return false
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "alcove: starting the extensions:", err)
		os.Exit(failed)
	}
	return true
}

// Program is the supervisor as a sandbox needs it.
type Program struct {
	// Dir is the host's directory that has nothing but the program.
	Dir string
	// Memory is what it may take beyond what the function has, in bytes.
	Memory int64
}

// failed is the exit code if the supervisor cannot do its work.
const failed = 125

// supervisor is the state of the program.
type supervisor struct {
	node  net.Conn
	order Order
	feeds feeds

	mu       sync.Mutex
	children map[int]int32 // guarded by mu: process to index
	started  *sync.Cond    // on mu: there is a child
}

func run() error {
	// Every thread counts among the function's processes.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(50)
	// Not for others with this user's id to look into, as far as that goes.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if _, _, errno := syscall.Syscall(unix.SYS_CLOSE_RANGE, sandbox.LogFD+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); errno != 0 {
		return errno
	}
	c, err := net.Dial("unix", filepath.Join(sandbox.SocketDir, SocketName))
	if err != nil {
		return err
	}
	s := &supervisor{node: c, children: make(map[int]int32)}
	s.started = sync.NewCond(&s.mu)
	go s.reap()
	in := bufio.NewReaderSize(c, 32<<10)
	for {
		what, body, err := ReadFrame(in)
		if err != nil {
			return nil // the node is gone, or done
		}
		if err := s.told(what, body); err != nil {
			return err
		}
	}
}

func (s *supervisor) told(what byte, body []byte) error {
	switch what {
	case ToldOrder:
		if err := json.Unmarshal(body, &s.order); err != nil {
			return err
		}
		for i, path := range s.order.Extensions {
			// What they write is told apart by the descriptor: the second is theirs.
			s.start(int32(i), []string{path}, s.order.ExtensionEnv, "/", []uintptr{0, 2, 2})
		}
	case ToldRuntime:
		files := []uintptr{0, 1, 1}
		if _, err := unix.FcntlInt(sandbox.LogFD, unix.F_GETFD, 0); err == nil {
			files = append(files, sandbox.LogFD)
		}
		s.start(RuntimeIndex, s.order.Args, s.order.Env, s.order.Dir, files)
	case ToldTerminate:
		s.mu.Lock()
		defer s.mu.Unlock()
		for pid, index := range s.children {
			if index == RuntimeIndex {
				_ = syscall.Kill(pid, syscall.SIGTERM) // it may have ended
			}
		}
	case ToldSubscription:
		var sub Subscription
		if err := json.Unmarshal(body, &sub); err != nil {
			return err
		}
		s.feeds.subscribe(sub)
	case ToldSettled:
		s.feeds.settle()
	case ToldRecord:
		if len(body) > 2 {
			s.feeds.record(body[0], body[1], body[2:])
		}
	case ToldFlush:
		s.feeds.flush()
	}
	return nil
}

// start starts a program, or tells why not.
func (s *supervisor) start(index int32, args, env []string, dir string, files []uintptr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		s.say(SaidNoDir, index, err)
		return
	} else {
		unix.Close(fd)
	}
	pid, err := syscall.ForkExec(args[0], args, &syscall.ProcAttr{Dir: dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		s.say(SaidNotStarted, index, err)
		return
	}
	s.children[pid] = index
	s.started.Signal()
}

func (s *supervisor) say(what byte, index int32, err error) {
	errno, ok := err.(syscall.Errno)
	if !ok {
		errno = syscall.EINVAL
	}
	_ = WriteTold(s.node, Told{what, index, uint32(errno)}) // a node that is gone needs no telling
}

// reap collects whoever ends and tells of those that were started here.
func (s *supervisor) reap() {
	for {
		s.mu.Lock()
		for len(s.children) == 0 {
			s.started.Wait()
		}
		s.mu.Unlock()
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil || !status.Exited() && !status.Signaled() {
			continue
		}
		s.mu.Lock()
		if index, ours := s.children[pid]; ours {
			delete(s.children, pid)
			_ = WriteTold(s.node, Told{SaidEnded, index, uint32(status)})
		}
		s.mu.Unlock()
	}
}
