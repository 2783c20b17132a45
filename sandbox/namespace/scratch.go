package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/namespace/ext4"
)

// A scratch is a file system for one sandbox's /tmp. Neither its file nor its
// mount has a name; both are gone with the last descriptor and the sandbox.
type scratch struct {
	mount  *os.File // the detached mount, until a launcher has it
	dir    *os.File // its root directory, open until then, and while it ends
	device uint64   // its number
}

func newScratch(dir string, size int64) (*scratch, error) {
	geometry, err := ext4.Layout(size)
	if err != nil {
		return nil, err
	}
	image, err := unnamed(dir)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	if err := image.Truncate(geometry.Bytes()); err != nil {
		return nil, err
	}
	if err := ext4.Format(image, geometry); err != nil {
		return nil, err
	}
	loop, name, err := attachLoop(image)
	if err != nil {
		return nil, fmt.Errorf("loop device: %w", err)
	}
	defer loop.Close() // from then on the mount alone holds the device
	return mountScratch(name)
}

// unnamed makes a file without a name.
func unnamed(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return f, nil
	}
	if f, err = os.CreateTemp(dir, "tmp-"); err != nil { // a file system without O_TMPFILE
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// attachLoop puts a free loop device over a file. The device frees itself when
// nobody uses it any more.
func attachLoop(image *os.File) (*os.File, string, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, "", err
	}
	defer control.Close()
	conf := unix.LoopConfig{
		Fd:   uint32(image.Fd()),
		Size: 4096,
		Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR | unix.LO_FLAGS_DIRECT_IO},
	}
	for range 64 { // another process may be quicker with the free device
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, "", err
		}
		name := "loop" + strconv.Itoa(n)
		loop, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
		if err != nil {
			return nil, "", err
		}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &conf)
		if err == nil {
			return loop, name, nil
		}
		loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, "", err
		}
	}
	return nil, "", errors.New("all busy")
}

func mountScratch(device string) (*scratch, error) {
	fsys, err := unix.Fsopen("ext4", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fsys)
	if err := unix.FsconfigSetString(fsys, "source", "/dev/"+device); err != nil {
		return nil, err
	}
	// What it holds is worth nothing after a crash: nothing waits for the disk.
	for _, flag := range []string{"nobarrier", "noauto_da_alloc"} {
		if err := unix.FsconfigSetFlag(fsys, flag); err != nil {
			return nil, fmt.Errorf("option %s: %w", flag, err)
		}
	}
	if err := unix.FsconfigCreate(fsys); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	fd, err := unix.Fsmount(fsys, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOATIME)
	if err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	s := &scratch{mount: os.NewFile(uintptr(fd), "tmp")}
	root, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.dir = os.NewFile(uintptr(root), "tmp")
	var st unix.Stat_t
	if err := unix.Fstat(root, &st); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.device = uint64(st.Dev)
	// Space that the kernel would keep for itself: the sandbox gets what it was
	// promised.
	err = os.WriteFile("/sys/fs/ext4/"+device+"/reserved_clusters", []byte("0"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// own gives the directory to the sandbox's user.
func (s *scratch) own(id uint32) error { return s.dir.Chown(int(id), int(id)) }

// Close ends the file system.
func (s *scratch) Close() error {
	var err error
	if s.dir != nil {
		err = errors.Join(s.drop(), s.dir.Close())
	}
	if s.mount != nil {
		err = errors.Join(err, s.mount.Close())
	}
	return err
}

// handOver closes the descriptors, of which a launcher has its own: from then on the
// file system lives with the sandbox, and is found in it.
func (s *scratch) handOver() error {
	err := errors.Join(s.mount.Close(), s.dir.Close())
	s.mount, s.dir = nil, nil
	return err
}

// find opens the root directory of a file system that a sandbox has.
func (s *scratch) find(b *box) (*os.File, error) {
	first, err := b.proc.open(0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(first)
	fd, err := unix.Open("/proc/"+strconv.Itoa(b.proc.Pid)+"/root/tmp", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/tmp of %s: %w", b.spec.ID, err)
	}
	dir := os.NewFile(uintptr(fd), "tmp")
	var st unix.Stat_t
	// Whatever became of the process, and of its number: nothing else is touched.
	if err = unix.Fstat(fd, &st); err == nil && uint64(st.Dev) != s.device {
		err = errors.New("it is another file system")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("/tmp of %s: %w", b.spec.ID, err), dir.Close())
	}
	return dir, nil
}

// hold keeps a file system that holds much from ending with the sandbox, for Close
// to drop it. One that ends before is written back, and no more.
func (s *scratch) hold(b *box) {
	dir, err := s.find(b)
	if err != nil {
		return // its processes have ended
	}
	if used, err := usedBelow(dir); err == nil && used <= littleUsed {
		dir.Close()
		return
	}
	s.dir = dir
}

// littleUsed is how much of a scratch may be written back when it ends, in
// bytes. The kernel logs an alert for each file system that is shut down, so
// that is kept for those where it saves something.
const littleUsed = 1 << 20

// drop makes the kernel forget what is not on the disk yet, instead of writing
// it where nobody will read it.
func (s *scratch) drop() error {
	used, err := usedBelow(s.dir)
	if err != nil {
		return fmt.Errorf("shut down /tmp: %w", err)
	}
	if used <= littleUsed {
		return nil
	}
	const (
		shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush = 2
	)
	how := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, s.dir.Fd(), shutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		return fmt.Errorf("shut down /tmp: %w", errno)
	}
	return nil
}

// scratchStock keeps a few scratches ready of each size that is in use, because
// making one takes longer than all the rest of a sandbox.
type scratchStock struct {
	dir string

	mu     sync.Mutex
	ready  map[int64][]*scratch
	making map[int64]bool
	recent []int64 // sizes, latest first
	closed bool
	wg     sync.WaitGroup
}

const (
	stockPerSize = 2
	stockSizes   = 4
)

func newScratchStock(dir string) *scratchStock {
	return &scratchStock{dir: dir, ready: map[int64][]*scratch{}, making: map[int64]bool{}}
}

// Take returns a scratch of this size and has the stock filled up again.
func (s *scratchStock) Take(size int64) (*scratch, error) {
	s.mu.Lock()
	var out *scratch
	if l := s.ready[size]; len(l) > 0 {
		out, s.ready[size] = l[len(l)-1], l[:len(l)-1]
	}
	drop := s.touch(size)
	if !s.closed && !s.making[size] {
		s.making[size] = true
		s.wg.Go(func() { s.fill(size) })
	}
	s.mu.Unlock()
	var err error
	for _, d := range drop {
		err = errors.Join(err, d.Close())
	}
	if out == nil && err == nil {
		return newScratch(s.dir, size)
	}
	if err != nil && out != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, err
}

// touch notes that a size is in use and returns what was ready of the size that
// has not been for longest, if there are too many. Callers hold s.mu.
func (s *scratchStock) touch(size int64) []*scratch {
	kept := []int64{size}
	for _, n := range s.recent {
		if n != size {
			kept = append(kept, n)
		}
	}
	var drop []*scratch
	if len(kept) > stockSizes {
		last := kept[stockSizes]
		kept = kept[:stockSizes]
		drop = s.ready[last]
		delete(s.ready, last)
	}
	s.recent = kept
	return drop
}

// fill makes scratches of one size until there are enough. One that cannot be
// made is not tried again here: whoever needs it will see why.
func (s *scratchStock) fill(size int64) {
	for {
		s.mu.Lock()
		if s.closed || len(s.ready[size]) >= stockPerSize {
			s.making[size] = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		made, err := newScratch(s.dir, size)
		s.mu.Lock()
		if err != nil {
			s.making[size] = false
			s.mu.Unlock()
			return
		}
		s.ready[size] = append(s.ready[size], made)
		s.mu.Unlock()
	}
}

// Close removes what is ready and waits for what is being made.
func (s *scratchStock) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
	var errs []error
	for _, l := range s.ready {
		for _, made := range l {
			errs = append(errs, made.Close())
		}
	}
	clear(s.ready)
	return errors.Join(errs...)
}
