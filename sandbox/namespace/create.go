package namespace

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/namespace/launch"
)

const (
	// ownMemory is what a sandbox needs besides its program and comes on top of
	// the memory limit: the launcher before it is gone, page tables, sockets.
	ownMemory = 8 << 20
	// ownProcesses are the launcher's threads and the reaper. The program's own
	// number is bounded exactly by RLIMIT_NPROC, as its user is nobody else's.
	ownProcesses = 24
	// tcpPort is that of sandbox.RuntimeAPIAddr.
	tcpPort = 9001
	// minShm is what the launcher puts into the file system of /dev/shm.
	minShm = 64 << 10
)

var validID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// check refuses a Spec that no sandbox can be made of.
func check(spec *sandbox.Spec) error {
	for _, c := range []struct {
		ok   bool
		what string
	}{
		{validID.MatchString(spec.ID), "the id is not 32 hexadecimal digits"},
		{filepath.IsAbs(spec.Root), "the root is not an absolute path"},
		{filepath.IsAbs(spec.SocketDir), "the socket directory is not an absolute path"},
		{len(spec.Args) > 0 && filepath.IsAbs(spec.Args[0]), "the program is not an absolute path"},
		{filepath.IsAbs(spec.Dir), "the working directory is not an absolute path"},
		{spec.Stdout != nil && spec.Stderr != nil, "an output is missing"},
		{spec.Limits.Memory > 0 && spec.Limits.Tmp > 0 && spec.Limits.Shm >= 0, "a limit is missing"},
		{spec.Limits.CPU > 0 && spec.Limits.Processes > 0 && spec.Limits.OpenFiles > 0, "a limit is missing"},
	} {
		if !c.ok {
			return errors.New(c.what)
		}
	}
	if err := spec.CheckUser(); err != nil {
		return err
	}
	for _, m := range spec.Mounts {
		if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) {
			return fmt.Errorf("mount %s at %s: not absolute", m.Source, m.Target)
		}
		if err := sandbox.CheckTarget(spec.Root, m.Target); err != nil {
			return err
		}
	}
	for _, target := range []string{"/proc", "/dev", "/tmp", sandbox.SocketDir} {
		if err := sandbox.CheckTarget(spec.Root, target); err != nil {
			return err
		}
	}
	for _, target := range spec.Late {
		if err := checkLate(spec, target); err != nil {
			return err
		}
	}
	for _, s := range append(slices.Clone(spec.Args), spec.Env...) {
		if strings.ContainsRune(s, 0) {
			return errors.New("an argument or variable contains a zero byte")
		}
	}
	return nil
}

// Create implements sandbox.Driver.
func (d *Driver) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	if len(spec.Args) == 0 {
		return nil, fmt.Errorf("namespace: %w", sandbox.ErrNoProgram)
	}
	if err := check(&spec); err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	if len(spec.Late) > 0 && !d.root {
		return nil, errNoLate
	}
	b := newBox(d, spec)
	if err := d.admit(b); err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	b.mu.Lock()
	err := b.start(ctx)
	b.mu.Unlock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("namespace: %w", err), b.Destroy())
	}
	if len(spec.Late) > 0 {
		return &blank{box: b}, nil
	}
	return b, nil
}

// start makes the sandbox. Whatever it has made when it fails, Destroy removes.
func (b *box) start(ctx context.Context) error {
	d, spec := b.driver, &b.spec
	began := launch.Now()
	var err error
	if d.root {
		if b.user, err = d.ids.take(); err != nil {
			return err
		}
	}
	l := spec.Limits
	b.group, err = d.conf.Cgroups.New(spec.ID, cgroup.Limits{Memory: memoryOf(l), CPU: l.CPU, Processes: l.Processes + ownProcesses})
	if err != nil {
		return err
	}
	order := d.order(b)
	order.Shm = uint64(shmOf(l))
	if d.scratch != nil {
		if b.tmp, err = d.scratch.Take(l.Tmp); err != nil {
			return fmt.Errorf("/tmp: %w", err)
		}
		if err := b.tmp.own(b.user); err != nil {
			return fmt.Errorf("/tmp: %w", err)
		}
	} else {
		order.Tmp = uint64(l.Tmp)
	}
	if err := b.ownPipes(); err != nil {
		return err
	}
	b.template, b.unforked = d.templates.take(spec)
	order.Forked = b.template != nil
	prepared := launch.Now()
	if err := b.launch(); err != nil {
		return err
	}
	at, err := b.await(ctx, order, nil)
	if err == nil && b.main != nil {
		err = b.release()
	}
	if err != nil {
		return err
	}
	b.traced(began, prepared, at)
	b.group.Settle()
	b.begin()
	return nil
}

// shmOf is the size of /dev/shm in bytes.
func shmOf(l sandbox.Limits) int64 { return max(l.Shm, minShm) }

// memoryOf is the group's limit in bytes.
func memoryOf(l sandbox.Limits) int64 { return l.Memory + shmOf(l) + ownMemory }

// order fills in what a launcher is told.
func (d *Driver) order(b *box) *launch.Order {
	spec := &b.spec
	who := spec.Who()
	o := &launch.Order{
		Root: spec.Root, SocketDir: spec.SocketDir, Empty: d.empty,
		Memory: uint64(spec.Limits.Memory), CPUs: uint64(runtime.NumCPU()),
		BindDevices: d.bindDevices, MaskFiles: d.masks.files, MaskDirs: d.masks.dirs,
		UID: uint64(who.UID), GID: uint64(who.GID),
		OpenFiles: uint64(spec.Limits.OpenFiles), Processes: uint64(spec.Limits.Processes),
		Log: spec.Log != nil, Filter: d.filter, Marker: d.marker,
		Args: spec.Args, Env: spec.Env, Dir: spec.Dir,
	}
	if d.root {
		o.HostUID, o.InitUID = uint64(b.user), uint64(b.user)+1
		for i, g := range who.Groups { // without root's rights there is one group
			o.Groups = append(o.Groups, uint64(g))
			o.HostGroups = append(o.HostGroups, uint64(d.ids.group(i)))
		}
	}
	if b.group != nil {
		o.V1Groups = b.group.V1Paths()
	}
	for _, m := range spec.Mounts {
		o.Mounts = append(o.Mounts, launch.Mount{Source: m.Source, Target: m.Target})
	}
	if spec.TCP {
		o.Port = tcpPort
	}
	o.Link, o.Pair = spec.Link, b.driver.pair
	return o
}

// ownPipes gives the output pipes to the sandbox's user, so that programs can
// open them again by /dev/stdout and /dev/stderr.
func (b *box) ownPipes() error {
	if b.user == 0 {
		return nil
	}
	for _, f := range []*os.File{b.spec.Stdout, b.spec.Stderr, b.spec.Log} {
		if f == nil {
			continue
		}
		var st unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
			return fmt.Errorf("outputs: %w", err)
		}
		if st.Type != unix.PIPEFS_MAGIC { // somebody else's file
			continue
		}
		if err := f.Chown(int(b.user), int(b.user)); err != nil {
			return fmt.Errorf("outputs: %w", err)
		}
	}
	return nil
}

// launch starts the launcher, which waits for its order.
func (b *box) launch() error {
	files := []*os.File{b.spec.Stdout, b.spec.Stderr, b.driver.launcher.reaper}
	if b.spec.Log != nil {
		files = append(files, b.spec.Log)
	}
	if b.tmp != nil {
		files = append(files, b.tmp.mount)
	}
	if b.template != nil {
		files = append(files, b.driver.life.r)
	}
	var err error
	b.conn, b.proc, err = b.driver.spawn(b.group, unix.CLONE_NEWPID, files...)
	if err != nil {
		return fmt.Errorf("start the launcher: %w", err)
	}
	if b.tmp != nil {
		return b.tmp.handOver()
	}
	return nil
}

// spawn starts a launcher in namespaces of its own, to which flags are added. It
// gets stdout, stderr, and, after its end of the control socket, the other files.
func (d *Driver) spawn(group *cgroup.Group, flags uintptr, files ...*os.File) (*net.UnixConn, *child, error) {
	conn, theirs, err := socketPair("control")
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	defer null.Close()
	all := append([]*os.File{null, files[0], files[1], theirs}, files[2:]...)
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | flags,
		Setsid:     true,
	}
	if !d.root {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		attr.Credential = &syscall.Credential{NoSetGroups: true}
	}
	if group != nil && group.FD() >= 0 {
		attr.UseCgroupFD, attr.CgroupFD = true, group.FD()
	}
	// It has one thing to do at a time, and its runtime starts so the sooner.
	proc, err := startChild(d.launcher.path, []string{launch.Arg0, d.marker}, []string{"GOMAXPROCS=1"}, all, attr)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, proc, nil
}

// socketPair makes a connection of packets to another process.
func socketPair(name string) (*net.UnixConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("%s socket: %w", name, err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), name), os.NewFile(uintptr(pair[1]), name)
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("%s socket: %w", name, err)
	}
	return conn.(*net.UnixConn), theirs, nil
}

// programError reads what a launcher says of a program that cannot be started.
func programError(order *launch.Order, text string) error {
	if text == "" {
		return errors.New("the launcher said nothing of the program")
	}
	errno, err := strconv.ParseUint(text[1:], 10, 16)
	if err != nil {
		return fmt.Errorf("the launcher said %q of the program", text)
	}
	if text[0] == 'D' {
		return &sandbox.ProgramError{Path: order.Dir, Dir: true, Err: syscall.Errno(errno)}
	}
	return &sandbox.ProgramError{Path: order.Args[0], Err: syscall.Errno(errno)}
}

// packetSize is what goes into one packet to the launcher, which reads 64 KiB.
const packetSize = 32 << 10

// await sends the order and waits until the program has been started. note, if
// it is not nil, takes what the launcher found weaker than it could be.
func (b *box) await(ctx context.Context, order *launch.Order, note func(string)) (launch.Stamps, error) {
	var at launch.Stamps
	conn := b.conn
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := b.conn.SetDeadline(time.Now().Add(createMax)); err != nil {
		return at, err
	}
	if ctx.Err() != nil {
		return at, context.Cause(ctx)
	}
	err := b.converse(order, note, &at)
	if ctx.Err() != nil {
		return at, context.Cause(ctx)
	}
	if err != nil {
		return at, err
	}
	return at, nil
}

// begin has the sandbox watched: from here on only the watcher reads, without end.
// An idle sandbox costs the node one descriptor by which it learns of its end.
func (b *box) begin() {
	if b.main != nil {
		b.conn.Close() // the launcher is done with it; it watches the driver's life
		b.conn = nil
	} else {
		b.conn.SetDeadline(time.Time{}) // it works, or the watcher sees that it did not
	}
	b.watched = true
	go b.watch()
}

func (b *box) converse(order *launch.Order, note func(string), at *launch.Stamps) error {
	if err := sendOrder(b.conn, order); err != nil {
		return err
	}
	b.forkAhead()
	buf, oob := make([]byte, 4096), make([]byte, 64)
	for {
		n, oobn, _, _, err := b.conn.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 {
			return fmt.Errorf("the launcher ended: %w", orEOF(err))
		}
		text := string(buf[1:n])
		switch buf[0] {
		case launch.MsgListener:
			if b.tcp, err = listenerFrom(oob[:oobn]); err != nil {
				return fmt.Errorf("listener: %w", err)
			}
		case launch.MsgLink:
			if b.link, err = fileFrom(oob[:oobn]); err != nil {
				return fmt.Errorf("link: %w", err)
			}
		case launch.MsgReady:
			if err := b.forkInto(oob[:oobn]); err != nil {
				return err
			}
		case launch.MsgNote:
			if note != nil {
				note(text)
			}
		case launch.MsgError:
			return errors.New(text)
		case launch.MsgProgram:
			return programError(order, text)
		case launch.MsgStarted:
			at.Decode(buf[1:n])
			return nil
		default:
			return fmt.Errorf("the launcher said %q", buf[:n])
		}
	}
}

func sendOrder(conn *net.UnixConn, order *launch.Order) error {
	bytes := order.Encode()
	if len(bytes) > launch.MaxOrder {
		return fmt.Errorf("arguments and environment take %d bytes: too long", len(bytes))
	}
	head := binary.NativeEndian.AppendUint64(nil, uint64(len(bytes)))
	bytes = append(head, bytes...)
	for chunk := range slices.Chunk(bytes, packetSize) {
		if _, err := conn.Write(chunk); err != nil {
			break // it may have said why
		}
	}
	return nil
}

func orEOF(err error) error {
	if err == nil {
		return errors.New("it closed the control socket")
	}
	return err
}

// listenerFrom takes the listener out of a control message.
func listenerFrom(oob []byte) (net.Listener, error) {
	f, err := fileFrom(oob)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// fileFrom takes the one descriptor out of a control message.
func fileFrom(oob []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, fmt.Errorf("%d control messages", len(messages))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	if len(fds) != 1 {
		return nil, fmt.Errorf("%d descriptors", len(fds))
	}
	return os.NewFile(uintptr(fds[0]), "received"), nil
}
