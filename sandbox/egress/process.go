package egress

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/egress/embedded"
	"github.com/alcove-run/alcove/sandbox/egress/relay"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

const (
	// readyMax is how long a relay may take to be ready.
	readyMax = 20 * time.Second
	// sendMax is how long it may take to hear.
	sendMax = 2 * time.Second
	// minPause and maxPause are between a relay's end and the next one's start.
	minPause, maxPause = 50 * time.Millisecond, 5 * time.Second
	// relayUID is whose process it is on the host, where the node is root:
	// somebody who has nothing, just below those of sandboxes.
	relayUID = 0x6fffff00
)

// process is a relay that runs.
type process struct {
	n    *Network
	conn *wire.Conn
	life *os.File // its end is the relay's
	cmd  *exec.Cmd
	over func() // it has ended
	pid  int
	// flows are those that it has, or is about to get. Guarded by Network.mu.
	flows map[uint64]*flow
	ended atomic.Bool
}

// startRelay begins to start a relay; until it is ready, links are silent. Callers
// hold n.mu.
func (n *Network) startRelay() {
	p := &process{n: n, flows: map[uint64]*flow{}}
	if err := p.start(); err != nil {
		n.conf.Log.Error("functions reach no network: the relay cannot be started", "error", err)
		n.again(maxPause)
		return
	}
	n.relay = p
	for _, l := range n.links {
		n.tellLink(l)
	}
	n.wg.Go(func() {
		began := time.Now()
		err := p.serve()
		p.reap()
		n.lost(p, err, time.Since(began))
	})
}

// again starts a relay after a while. Until then no link does, or a relay that cannot
// be started would be tried for every one of them, over and over. Callers hold n.mu.
func (n *Network) again(pause time.Duration) {
	if n.pausing {
		return
	}
	n.pausing = true
	n.wg.Go(func() {
		select {
		case <-n.ctx.Done():
			return
		case <-time.After(pause):
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.pausing = false
		if !n.closed && n.relay == nil {
			n.startRelay()
		}
	})
}

// lost forgets a relay that has ended, and everything that it carried.
func (n *Network) lost(p *process, err error, lasted time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id := range p.flows {
		n.gone(p, id)
	}
	if n.relay == p {
		n.relay = nil
	}
	if n.closed {
		return
	}
	n.conf.Log.Error("the relay has ended, and all connections of functions with it; it is started again", "error", err)
	pause := minPause
	if lasted < time.Minute {
		pause = time.Second
	}
	n.again(pause)
}

// gone counts out a flow that has ended. Callers hold n.mu.
func (n *Network) gone(p *process, id uint64) {
	f := p.flows[id]
	if f == nil {
		return
	}
	delete(p.flows, id)
	delete(f.link.flows, id)
	f.label.flows--
	n.release(f.label)
	f.place.Leave()
}

// minFD is above all descriptors that a relay gets, which are put in place before
// it is executed by its own number.
const minFD = 32

// program is what to execute, and what is to be done afterwards.
func (n *Network) program() (string, func(), error) {
	bin := embedded.Program()
	if n.conf.Exe != "" || bin == nil {
		return cmp.Or(n.conf.Exe, "/proc/self/exe"), func() {}, nil
	}
	// A file that no user can be kept from executing.
	fd, err := unix.MemfdCreate(relay.Arg0, unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3
		fd, err = unix.MemfdCreate(relay.Arg0, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return "", nil, fmt.Errorf("memory for the relay: %w", err)
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, minFD)
	unix.Close(fd)
	if err != nil {
		return "", nil, fmt.Errorf("memory for the relay: %w", err)
	}
	// Written through another description, which is closed: an executable file is
	// not one that is open for writing.
	path := "/proc/self/fd/" + strconv.Itoa(high)
	if err = os.WriteFile(path, bin, 0o555); err == nil {
		err = unix.Fchmod(high, 0o555)
	}
	if err != nil {
		unix.Close(high)
		return "", nil, fmt.Errorf("memory for the relay: %w", err)
	}
	return path, func() { unix.Close(high) }, nil
}

// start starts the program, as far from everything as this machine lets it.
func (p *process) start() error {
	exe, closeExe, err := p.n.program()
	if err != nil {
		return err
	}
	defer closeExe()
	errs := []error{}
	for _, attr := range attributes() {
		if err = p.launch(exe, attr); err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// attributes are ways to start a relay, best first.
func attributes() []*syscall.SysProcAttr {
	const apart = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	id, gid := os.Geteuid(), os.Getegid()
	if id != 0 {
		return []*syscall.SysProcAttr{{
			Cloneflags: apart | unix.CLONE_NEWUSER, Setsid: true, Credential: &syscall.Credential{NoSetGroups: true},
			UidMappings: []syscall.SysProcIDMap{{HostID: id, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: gid, Size: 1}},
		}}
	}
	one := []syscall.SysProcIDMap{{HostID: relayUID, Size: 1}}
	return []*syscall.SysProcAttr{
		{Cloneflags: apart | unix.CLONE_NEWUSER, Setsid: true, Credential: &syscall.Credential{}, UidMappings: one, GidMappings: one},
		// Where root may not make user namespaces, it can still be somebody else.
		{Cloneflags: apart, Setsid: true, Credential: &syscall.Credential{Uid: relayUID, Gid: relayUID}},
	}
}

func (p *process) launch(exe string, attr *syscall.SysProcAttr) error {
	conn, control, err := wire.Pair()
	if err != nil {
		return err
	}
	defer control.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		conn.Close()
		return err
	}
	life, theirs := os.NewFile(uintptr(pair[0]), "life"), os.NewFile(uintptr(pair[1]), "life")
	defer theirs.Close()
	var said tail
	cmd := &exec.Cmd{Path: exe, Args: []string{relay.Arg0, strconv.FormatInt(p.n.conf.Limits.memory(), 10)}, Env: []string{}, Dir: "/", Stderr: &said,
		ExtraFiles: []*os.File{control, p.n.counters.File(), theirs}, SysProcAttr: attr}
	over, err := startHere(cmd)
	control.Close() // or nobody would see that a relay has ended before it was ready
	if err == nil {
		p.over = over
		p.conn, p.life, p.cmd, p.pid = conn, life, cmd, cmd.Process.Pid
		if err = p.ready(); err == nil {
			return nil
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		over()
		err = fmt.Errorf("%w: %s", err, said.String())
	}
	conn.Close()
	life.Close()
	return err
}

// ready waits until the relay has locked itself in.
func (p *process) ready() error {
	if err := p.conn.SetReadDeadline(time.Now().Add(readyMax)); err != nil {
		return err
	}
	var m wire.Message
	fd, err := p.conn.Receive(&m)
	if fd >= 0 {
		unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("the relay is not ready: %w", err)
	}
	if m.Kind != wire.Ready || m.Number != wire.Version {
		return fmt.Errorf("the relay is of another build: go generate ./sandbox/egress/embedded (it says %d, %d)", m.Kind, m.Number)
	}
	if len(m.Data) > 0 {
		p.n.conf.Log.Warn("the relay is less confined than it could be", "found", string(m.Data))
	}
	return p.conn.SetReadDeadline(time.Time{})
}

// send tells the relay something. A relay that does not listen is ended.
func (p *process) send(m *wire.Message, fd int) {
	if p.ended.Load() {
		return
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(sendMax))
	if err := p.conn.Send(m, fd); err != nil {
		p.kill()
	}
}

func (p *process) kill() {
	p.ended.Store(true)
	_ = p.cmd.Process.Kill() // it may have ended
	p.conn.Close()
}

// stop is kill, of a relay that has done nothing wrong.
func (p *process) stop() { p.kill() }

func (p *process) reap() {
	p.kill()
	p.life.Close()
	_ = p.cmd.Wait()
	if p.over != nil { // else it was not started here
		p.over()
	}
}

// startHere starts a process that the kernel ends with this one, whatever it does by
// then (PR_SET_PDEATHSIG): other signals that would tell it of an end do not end the
// first process of a pid namespace. What counts is the end of the thread that has
// started it. So that thread is kept, with nothing to do, until over is called.
func startHere(cmd *exec.Cmd) (over func(), err error) {
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
		err := cmd.Start()
		started <- err
		if err == nil {
			<-ended
		}
	}()
	return sync.OnceFunc(func() { close(ended) }), <-started
}

// serve does what the relay asks until it ends.
func (p *process) serve() error {
	for {
		var m wire.Message
		fd, err := p.conn.Receive(&m)
		if fd >= 0 {
			unix.Close(fd) // it has none to give
		}
		if err != nil {
			return err
		}
		switch m.Kind {
		case wire.Dial:
			err = p.n.wanted(p, &m)
		case wire.Query:
			p.n.asked(p, &m)
		case wire.Gone:
			p.n.mu.Lock()
			p.n.gone(p, m.ID)
			p.n.mu.Unlock()
		default:
			err = wire.ErrMessage
		}
		if err != nil {
			return err
		}
	}
}

// tail keeps the end of what a process says.
type tail struct{ bytes.Buffer }

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	if t.Len() > 4096 {
		t.Truncate(0)
	}
	return t.Buffer.Write(b)
}
