package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"context"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/initbin"
	"github.com/alcove-run/alcove/sandbox/namespace/launch"
)

// A launcher is what is executed to make a sandbox: two programs in memory,
// which no file system's flags can forbid to execute.
type launcher struct {
	path     string   // to execute
	program  *os.File // nil if the node starts itself
	reaper   *os.File
	embedded bool
}

func newLauncher() (*launcher, error) {
	l := &launcher{path: "/proc/self/exe"}
	if bin := initbin.Launcher(); bin != nil {
		f, err := executable(launch.Arg0, bin)
		if err != nil {
			return nil, err
		}
		l.program, l.embedded = f, true
		l.path = "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	}
	var err error
	if l.reaper, err = executable("init", launch.Reaper()); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close closes the programs; sandboxes that run keep theirs.
func (l *launcher) Close() error {
	var errs []error
	for _, f := range []*os.File{l.program, l.reaper} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// minFD is above all descriptors that a launcher gets, which are put in place
// before the launcher is executed by its own number.
const minFD = 32

// executable makes an executable file that has no name and cannot be changed.
func executable(name string, content []byte) (*os.File, error) {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // Linux before 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memory for the launcher: %w", err)
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, minFD)
	unix.Close(fd)
	if err != nil {
		return nil, fmt.Errorf("memory for the launcher: %w", err)
	}
	f := os.NewFile(uintptr(high), name)
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o555)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("memory for the launcher: %w", err), f.Close())
	}
	return f, nil
}

// masks are the names in /proc that a sandbox does not see.
type masks struct{ files, dirs []string }

// visible are the names in /proc, besides those of processes, that are not
// masked: programs need them, and they tell nothing but the kind of machine, or
// are of the sandbox's own namespaces, or are replaced by the launcher.
var visible = map[string]bool{
	"cpuinfo": true, "filesystems": true, "uptime": true, "version": true, "sysvipc": true,
	"meminfo": true, "stat": true, "loadavg": true,
}

func findMasks(proc string) (masks, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return masks{}, err
	}
	var m masks
	for _, e := range entries {
		name := e.Name()
		switch {
		case name[0] >= '0' && name[0] <= '9', visible[name], e.Type()&os.ModeSymlink != 0:
		case !readable(e): // by root alone, which no sandbox's user is
		case e.IsDir():
			m.dirs = append(m.dirs, name)
		default:
			m.files = append(m.files, name)
		}
	}
	return m, nil
}

func readable(e os.DirEntry) bool {
	info, err := e.Info()
	return err == nil && info.Mode().Perm()&0o004 != 0
}

// canMakeDevices tells whether device files may be made and used: root in a
// container may not.
func canMakeDevices(dir string) bool {
	path := filepath.Join(dir, "device")
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); err != nil {
		return false
	}
	return os.Remove(path) == nil
}

// How long things may take that happen by themselves.
const (
	lockWait  = 5 * time.Second
	createMax = 30 * time.Second // a launcher that has not started its program by then hangs
	endWait   = 10 * time.Second
)

// eventually polls a condition that another process brings about.
func eventually(ctx context.Context, limit time.Duration, reached func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 10*time.Millisecond) {
		ok, err := reached()
		if ok || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v", limit)
		}
		time.Sleep(pause)
	}
}
