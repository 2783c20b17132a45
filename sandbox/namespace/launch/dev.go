package launch

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// devices are the device files of a sandbox, all of them harmless.
var devices = [...]struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9},
}

var devLinks = [...][2]string{
	{"/proc/self/fd", "/dev/fd"},
	{"/proc/self/fd/0", "/dev/stdin"},
	{"/proc/self/fd/1", "/dev/stdout"},
	{"/proc/self/fd/2", "/dev/stderr"},
}

// borrowDevices opens the host's device files, where none can be made.
func borrowDevices(o *Order) ([len(devices)]int, error) {
	var fds [len(devices)]int
	if !o.BindDevices {
		return fds, nil
	}
	for i, d := range devices {
		fd, err := bind("/dev/"+d.name, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
		if err != nil {
			return fds, fail("/dev/"+d.name, err)
		}
		fds[i] = fd
	}
	return fds, nil
}

// buildDev makes /dev, /dev/shm and the covers over files in /proc. All are one
// file system in memory, as large as /dev/shm is to be: what else is in it takes
// a few pages.
func buildDev(o *Order, borrowed [len(devices)]int) error {
	dev, err := fileSystem("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC,
		"size", strconv.FormatUint(o.Shm, 10), "nr_inodes", strconv.FormatUint(o.Shm>>12+64, 10), "mode", "0755")
	if err != nil {
		return fail("/dev", err)
	}
	if err := attach(dev, "/dev"); err != nil {
		return fail("mount at /dev", err)
	}
	for i, d := range devices {
		path := "/dev/" + d.name
		if !o.BindDevices {
			err = unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor)))
		} else if err = makeFile(path, ""); err == nil {
			err = attach(borrowed[i], path)
		}
		if err != nil {
			return fail(path, err)
		}
	}
	for _, l := range devLinks {
		if err := unix.Symlink(l[0], l[1]); err != nil {
			return fail(l[1], err)
		}
	}
	if err := cover(o); err != nil {
		return err
	}
	if err := unix.Mkdir("/dev/shm", 0o1777); err != nil {
		return fail("/dev/shm", err)
	}
	shm, err := bind("/dev/shm", attrScratch)
	if err == nil {
		// It came from a mount where nothing can be executed.
		err = unix.MountSetattr(shm, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_NOEXEC})
	}
	if err == nil {
		err = attach(shm, "/dev/shm")
	}
	if err != nil {
		return fail("mount at /dev/shm", err)
	}
	return fail("/dev", unix.MountSetattr(unix.AT_FDCWD, "/dev", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}))
}

func makeFile(path, content string) error { return makeFileAt(unix.AT_FDCWD, path, content) }

func makeFileAt(dir int, path, content string) error {
	fd, err := unix.Openat(dir, path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return err
	}
	if len(content) > 0 {
		_, err = unix.Write(fd, []byte(content))
	}
	return errors.Join(err, unix.Close(fd))
}

// cover hides what /proc tells of the host. A few files that programs read to
// learn how large the machine is say how large the sandbox is.
func cover(o *Order) error {
	for name, content := range map[string]string{
		"meminfo": meminfo(o.Memory),
		"stat":    procStat(o.CPUs),
		"loadavg": "0.00 0.00 0.00 1/1 1\n",
	} {
		if err := makeFile("/dev/"+name, content); err != nil {
			return fail("/proc/"+name, err)
		}
		if err := coverOne("/dev/"+name, "/proc/"+name, unix.Unlink); err != nil {
			return fail("cover /proc/"+name, err)
		}
	}
	if err := makeFile("/dev/none", ""); err != nil {
		return fail("cover", err)
	}
	if err := coverAll("/dev/none", o.MaskFiles, unix.Unlink); err != nil {
		return err
	}
	if err := unix.Mkdir("/dev/none", 0o555); err != nil {
		return fail("cover", err)
	}
	return coverAll("/dev/none", o.MaskDirs, unix.Rmdir)
}

// coverOne mounts source, read-only, over target and removes its name.
func coverOne(source, target string, remove func(string) error) error {
	fd, err := bind(source, attrReadOnly|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	if err := attach(fd, target); err != nil && err != unix.ENOENT {
		return err
	}
	return remove(source)
}

// coverAll mounts source over every name in /proc that is there. The first
// cover is the source of the others, which so have its flags.
func coverAll(source string, names []string, remove func(string) error) error {
	first := ""
	for _, name := range names {
		target := "/proc/" + name
		var err error
		if first == "" {
			var fd int
			if fd, err = bind(source, attrReadOnly|unix.MOUNT_ATTR_NOEXEC); err != nil {
				return fail("cover", err)
			}
			if err = attach(fd, target); err == nil {
				first = target
			}
		} else {
			err = unix.Mount(first, target, "", unix.MS_BIND, "")
		}
		if err != nil && err != unix.ENOENT {
			return fail("cover "+target, err)
		}
	}
	return fail("cover", remove(source))
}

// meminfo is /proc/meminfo of a machine with this much memory.
func meminfo(bytes uint64) string {
	kb := strconv.FormatUint(bytes>>10, 10)
	text := ""
	for _, l := range [][2]string{
		{"MemTotal:", kb}, {"MemFree:", kb}, {"MemAvailable:", kb}, {"Buffers:", "0"}, {"Cached:", "0"},
		{"SwapCached:", "0"}, {"SwapTotal:", "0"}, {"SwapFree:", "0"}, {"Shmem:", "0"}, {"Slab:", "0"},
	} {
		pad := "                        "
		text += l[0] + pad[:max(1, 24-len(l[0])-len(l[1]))] + l[1] + " kB\n"
	}
	return text
}

// procStat is /proc/stat of a machine that has just been started.
func procStat(cpus uint64) string {
	const zeros = " 0 0 0 0 0 0 0 0 0 0\n"
	text := "cpu " + zeros
	for i := range cpus {
		text += "cpu" + strconv.FormatUint(i, 10) + zeros
	}
	return text + "intr 0\nctxt 0\nbtime 0\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0\n"
}
