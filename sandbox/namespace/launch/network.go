package launch

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// network brings loopback up, makes the listener that leads to the environment,
// and the link to the outside, which is all the network there is.
func network(o *Order) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail("loopback", err)
	}
	defer unix.Close(fd)
	var ifreq struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(ifreq.name[:], "lo")
	ifreq.flags = unix.IFF_UP | unix.IFF_RUNNING
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&ifreq))); errno != 0 {
		return fail("loopback", errno)
	}
	if o.Port != 0 {
		if err := listener(int(o.Port)); err != nil {
			return fail("listener", err)
		}
	}
	switch {
	case o.Link && o.Pair:
		return pairLink()
	case o.Link:
		return link()
	}
	return nil
}

func listener(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 128); err != nil {
		return err
	}
	return unix.Sendmsg(ControlFD, []byte{MsgListener}, unix.UnixRights(fd), nil, 0)
}
