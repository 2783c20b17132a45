package launch

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LandlockABI is the version of Landlock that the kernel has switched on, or
// zero.
func LandlockABI() int {
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(n)
}

const (
	landlockRead  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	landlockWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE // and, from ABI 3, truncate
	// landlockMake is what may be done in /tmp and /dev/shm: all but device files.
	landlockMake = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	landlockDevices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
)

// landlock makes the rules for the file system as it is now, after it has been
// built: everything may be read and executed, /tmp and /dev/shm changed, files
// in /dev and /proc written. The mounts say the same; Landlock says it a second
// time, in another part of the kernel. It returns -1 where there is none.
func landlock() (int, error) {
	abi := LandlockABI()
	if abi == 0 {
		return -1, nil
	}
	write, making := uint64(landlockWrite), uint64(landlockMake)
	if abi >= 2 {
		making |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		write |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: landlockRead | write | making | landlockDevices}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size = unsafe.Offsetof(attr.Scoped) + unsafe.Sizeof(attr.Scoped)
	}
	r, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return -1, errno
	}
	rules := int(r)
	for _, rule := range []struct {
		path   string
		access uint64
	}{
		{"/", landlockRead},
		{"/tmp", landlockRead | write | making},
		{"/dev/shm", landlockRead | write | making},
		{"/dev", landlockRead | write},
		{"/proc", landlockRead | write},
	} {
		fd, err := unix.Open(rule.path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, err
		}
		beneath := unix.LandlockPathBeneathAttr{Allowed_access: rule.access, Parent_fd: int32(fd)}
		_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0)
		unix.Close(fd)
		if errno != 0 {
			return -1, errors.Join(errno, unix.Close(rules))
		}
	}
	return rules, nil
}
