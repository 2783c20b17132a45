package launch

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	attrReadOnly = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	attrScratch  = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
)

// buildRoot builds the file system and makes it the root of this process.
//
// The root tree and the further mounts are overlays of one layer with nothing.
// All sandboxes share the files' pages through them, but each sees inodes of its
// own, so that a lock or a watch on a file is not seen through the others, and
// the mount table does not tell where the host keeps them.
func buildRoot(o *Order, tmpFD int) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fail("private mounts", err)
	}
	// Everything that is on the host is opened before the root changes, and put
	// in its place afterwards, so that no link in the tree leads out of it.
	root, err := Layer(o.Root, o.Empty, sendNote)
	if err != nil {
		return fail("root "+o.Root, err)
	}
	trees := make([]int, len(o.Mounts))
	for i, m := range o.Mounts {
		if trees[i], err = Layer(m.Source, o.Empty, sendNote); err != nil {
			return fail("mount "+m.Source, err)
		}
	}
	// A socket cannot be reached through an overlay.
	door, err := bind(o.SocketDir, attrReadOnly|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return fail("socket directory "+o.SocketDir, err)
	}
	if tmpFD < 0 {
		tmpFD, err = fileSystem("tmpfs", attrScratch, "size", strconv.FormatUint(o.Tmp, 10), "mode", "1777")
		if err != nil {
			return fail("/tmp", err)
		}
	}
	proc, err := fileSystem("proc", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, "hidepid", "2")
	if err != nil {
		return fail("/proc", err)
	}
	borrowed, err := borrowDevices(o)
	if err != nil {
		return err
	}
	if err := enterRoot(root); err != nil {
		return fail("change root", err)
	}
	for i, m := range o.Mounts {
		if err := attach(trees[i], m.Target); err != nil {
			return fail("mount at "+m.Target, err)
		}
	}
	if err := attach(door, "/run/alcove"); err != nil {
		return fail("mount at /run/alcove", err)
	}
	if err := attach(tmpFD, "/tmp"); err != nil {
		return fail("mount at /tmp", err)
	}
	if err := attach(proc, "/proc"); err != nil {
		return fail("mount at /proc", err)
	}
	return buildDev(o, borrowed)
}

// Layer makes a detached, read-only mount of a directory: an overlay, or a bind
// mount where the kernel makes no such overlay, which note is told. empty is an
// empty directory, the overlay's second layer. The caller closes the descriptor.
func Layer(dir, empty string, note func(string)) (int, error) {
	here, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(here)
	nothing, err := unix.Open(empty, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(nothing)
	// Named by descriptor: the mount table shows these names.
	a, b := "/proc/self/fd/"+strconv.Itoa(here), "/proc/self/fd/"+strconv.Itoa(nothing)
	fd, err := fileSystem("overlay", attrReadOnly, "lowerdir", a+":"+b)
	if err == nil {
		return fd, nil
	}
	note("shared inodes: no overlay: " + err.Error())
	return bind(dir, attrReadOnly)
}

func sendNote(text string) { send(string(MsgNote) + text) }

// bind makes a detached mount of a directory.
func bind(path string, attrs uint64) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, err
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attrs})
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// fileSystem makes a detached mount of a new file system.
func fileSystem(kind string, attrs int, options ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", "none"); err != nil {
		return -1, err
	}
	for i := 0; i < len(options); i += 2 {
		if err := unix.FsconfigSetString(fs, options[i], options[i+1]); err != nil {
			return -1, &stepError{options[i], err}
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
}

// attach puts a detached mount in its place, following no link on the way out
// of what is already the root, and closes its descriptor.
func attach(fd int, target string) error {
	err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)
	unix.Close(fd)
	return err
}

// enterRoot makes the mount the root, and leaves nothing of the old one.
func enterRoot(root int) error {
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	if err := unix.Fchdir(root); err != nil {
		return err
	}
	unix.Close(root)
	// The old root goes below the new one, at the same place, and from there.
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return unix.Chdir("/")
}
