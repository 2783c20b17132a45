package gvisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gvisor.dev/gvisor/pkg/lisafs"
	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/sentry/usage"
	"gvisor.dev/gvisor/runsc/fsgofer/extension"
)

// What late.go asks of the sentry and the gofer of a blank sandbox. This part of
// them runs behind their system call filters and makes only such calls as gVisor
// makes there itself, with the one exception that goferRules allows.

// exchanged is the answer to an order that has been obeyed.
const exchanged = "ok"

// exchangeScan is up to which number descriptors are looked for. They are given
// out from the lowest free one, and gVisor keeps those of the last thousand
// files that its programs have opened.
const exchangeScan = 4096

// awaitOrder has this process, a part of a sandbox, do as the node says, if the
// sandbox is a blank one. It is called before the process locks itself in.
func awaitOrder(bundle string) error {
	if _, err := os.Lstat(layout(bundle).path(lateName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	dir, err := unix.Open(bundle, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	socket := os.NewFile(uintptr(fd), "late socket") // and now Go waits for it
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir, lateName)}); err != nil {
		return errors.Join(err, socket.Close())
	}
	// Which cannot be asked for later.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return errors.Join(err, socket.Close())
	}
	go func() {
		defer socket.Close()
		o, fds, err := receiveOrder(socket)
		if err != nil {
			return // the node has gone, or has no use for this sandbox
		}
		said := exchanged
		if err := obey(o, fds, min(exchangeScan, int(limit.Cur))); err != nil {
			said = err.Error()
		}
		_, _ = socket.WriteString(said) // nobody else could be told
	}()
	return nil
}

// receiveOrder waits for the one message.
func receiveOrder(socket *os.File) (order, []int, error) {
	var o order
	raw, err := socket.SyscallConn()
	if err != nil {
		return o, nil, err
	}
	data, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(maxLate*4))
	var n, oobn, flags int
	var rerr error
	err = raw.Read(func(fd uintptr) bool {
		n, oobn, flags, _, rerr = unix.Recvmsg(int(fd), data, oob, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		return rerr != unix.EAGAIN && rerr != unix.EINTR
	})
	if err := errors.Join(err, rerr); err != nil {
		return o, nil, err
	}
	if n == 0 || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return o, nil, errors.New("not a whole message")
	}
	if err := json.Unmarshal(data[:n], &o); err != nil {
		return o, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return o, nil, err
	}
	var fds []int
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			return o, nil, err
		}
		fds = append(fds, got...)
	}
	if len(fds) != len(o.Slots) {
		return o, nil, fmt.Errorf("%d descriptors for %d slots", len(fds), len(o.Slots))
	}
	return o, fds, nil
}

// obey puts each directory in its slot's place, wherever below scan that is, and
// sets the memory that the sentry tells its programs.
func obey(o order, fds []int, scan int) error {
	found := make([]bool, len(fds))
	open, err := openDescriptors(scan)
	if err != nil {
		return err
	}
	for _, n := range open {
		id, err := identify(n)
		if err != nil {
			continue // closed meanwhile
		}
		for i, s := range o.Slots {
			if s != id {
				continue
			}
			if err := unix.Dup3(fds[i], n, unix.O_CLOEXEC); err != nil {
				return fmt.Errorf("exchanging descriptor %d: %w", n, err)
			}
			found[i] = true
		}
	}
	for i, fd := range fds {
		_ = unix.Close(fd)
		if !found[i] {
			return fmt.Errorf("slot %d is not open here", i)
		}
	}
	// The larger bound first when it grows; read without a lock by whoever asks.
	usage.MaximumTotalMemoryBytes = max(usage.MaximumTotalMemoryBytes, uint64(o.Memory))
	usage.MinimumTotalMemoryBytes = uint64(o.Memory)
	usage.MaximumTotalMemoryBytes = uint64(o.Memory)
	return nil
}

// openDescriptors lists the numbers of this process's open files up to some
// number, without /proc, which is out of reach by now, and without asking for
// each. Those that are no more than a path (O_PATH) are not among them.
func openDescriptors(below int) ([]int, error) {
	ask := make([]unix.PollFd, below)
	for n := range ask {
		ask[n].Fd = int32(n)
	}
	if _, err := unix.Ppoll(ask, new(unix.Timespec), nil); err != nil {
		return nil, fmt.Errorf("listing descriptors: %w", err)
	}
	var open []int
	for n, p := range ask {
		if p.Revents&unix.POLLNVAL == 0 {
			open = append(open, n)
		}
	}
	return open, nil
}

// identify says which file a descriptor is of.
func identify(fd int) (slot, error) { return identifyAt(fd, "") }

// identifyPath says which file is at a path.
func identifyPath(path string) (slot, error) { return identifyAt(unix.AT_FDCWD, path) }

func identifyAt(fd int, path string) (slot, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, path, unix.AT_EMPTY_PATH, unix.STATX_INO, &st)
	return slot{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino}, err
}

// goferRules is an extension of gVisor's gofer that serves nothing and is there
// for its rules: to put one descriptor in another's place.
type goferRules struct{}

var _ extension.Extension = goferRules{}

// Name implements extension.Extension.
func (goferRules) Name() string { return "alcove" }

// TryHandleMount implements extension.Extension.
func (goferRules) TryHandleMount(*specs.Spec, *specs.Mount, string, bool) (lisafs.ConnectionImpl, lisafs.ConnectionOpts, error) {
	return nil, lisafs.ConnectionOpts{}, nil
}

// SeccompRules implements extension.Extension.
func (goferRules) SeccompRules() seccomp.SyscallRules {
	return seccomp.MakeSyscallRules(map[uintptr]seccomp.SyscallRule{
		unix.SYS_DUP3: seccomp.PerArg{seccomp.AnyValue{}, seccomp.AnyValue{}, seccomp.EqualTo(unix.O_CLOEXEC)},
	})
}
