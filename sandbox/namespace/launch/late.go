package launch

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Late is what a sandbox is given whose program runs already.
type Late struct {
	Mounts []LateMount
	Memory uint64 // what /proc/meminfo tells from now on, in bytes; zero: as before
}

// LateMount is a detached mount, made by Layer, and where it belongs.
type LateMount struct {
	FD     int
	Target string
}

// Apply puts it all into the sandbox whose first process the pidfd names.
//
// The calling thread enters that sandbox's mount namespace and sees its files
// from then on: it must be locked to its goroutine and must end with it, and it
// must not be the process's first thread, which stands for the process in /proc.
// The thread takes nothing of the sandbox's processes: it is not in their pid
// namespace and they cannot see it. It needs CAP_SYS_ADMIN over the namespace.
func (l *Late) Apply(pidfd int) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fail("unshare", err)
	}
	if err := unix.Setns(pidfd, unix.CLONE_NEWNS); err != nil {
		return fail("enter the mount namespace", err)
	}
	for _, m := range l.Mounts {
		if err := attachNoLinks(m.FD, m.Target); err != nil {
			return fail("mount at "+m.Target, err)
		}
	}
	if l.Memory > 0 {
		return fail("cover /proc/meminfo", replaceMeminfo(l.Memory))
	}
	return nil
}

// attachNoLinks puts a detached mount over a directory whose path has no
// symbolic link in it: a program is there that might have made one.
func attachNoLinks(fd int, target string) error {
	dir, err := unix.Openat2(unix.AT_FDCWD, target, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return err
	}
	err = unix.MoveMount(fd, "", dir, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	return errors.Join(err, unix.Close(dir))
}

// replaceMeminfo takes the cover that buildDev has put over /proc/meminfo for
// another one. Its file lies in /dev, which can be written only through a mount
// that nobody else has.
func replaceMeminfo(bytes uint64) error {
	const name, path = "meminfo", "/dev/meminfo"
	dev, err := unix.OpenTree(unix.AT_FDCWD, "/dev", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(dev)
	if err := unix.MountSetattr(dev, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return err
	}
	if err := makeFileAt(dev, name, meminfo(bytes)); err != nil {
		return err
	}
	cover, err := bind(path, attrReadOnly|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	if err := unix.Unmount("/proc/meminfo", unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return errors.Join(err, unix.Close(cover))
	}
	// The name goes last: a file without one cannot be mounted.
	return errors.Join(attach(cover, "/proc/meminfo"), unix.Unlinkat(dev, name, 0))
}
