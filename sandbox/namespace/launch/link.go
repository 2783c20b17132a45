package launch

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// linkQueue is how many packets wait for the node to read them; more are lost.
// They are up to sandbox.LinkMTU long and count as nobody's memory.
const linkQueue = 32

// ifreq is struct ifreq: a name and, by the call, one of several things.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data [24]byte
}

func newIfreq(name string) *ifreq {
	r := new(ifreq)
	copy(r.name[:unix.IFNAMSIZ-1], name)
	return r
}

func (r *ifreq) number(n uint32) *ifreq {
	binary.NativeEndian.PutUint32(r.data[:], n)
	return r
}

func (r *ifreq) flags(n uint16) *ifreq {
	binary.NativeEndian.PutUint16(r.data[:], n)
	return r
}

// address puts a struct sockaddr_in there.
func (r *ifreq) address(a [4]byte) *ifreq {
	putSockaddr(r.data[:], a)
	return r
}

func putSockaddr(b []byte, a [4]byte) {
	binary.NativeEndian.PutUint16(b, unix.AF_INET)
	copy(b[4:], a[:])
}

func ioctl(fd int, call uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), call, uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}

// link makes the sandbox's link to the outside, and gives its other end to the
// node: a device of the third layer with two ends, in this network namespace, of
// which the node reads what the sandbox sends. There is no neighbour on it to be
// found, and nothing that arrives by it but what the node writes.
func link() error {
	tun, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fail("open /dev/net/tun", err)
	}
	defer unix.Close(tun)
	if err := ioctl(tun, unix.TUNSETIFF, unsafe.Pointer(newIfreq(sandbox.LinkName).flags(unix.IFF_TUN|unix.IFF_NO_PI))); err != nil {
		return fail("make the link", err)
	}
	if err := configure4(); err != nil {
		return fail("configure the link", err)
	}
	configure6() // the kernel may have no IPv6
	return fail("hand over the link", unix.Sendmsg(ControlFD, []byte{MsgLink}, unix.UnixRights(tun), nil, 0))
}

// configure4 gives the link its address, brings it up and sends everything over it.
func configure4() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := boundQueue(fd); err != nil {
		return err
	}
	// No address of the link's own making, which would be announced.
	_ = writeFile("/proc/sys/net/ipv6/conf/"+sandbox.LinkName+"/addr_gen_mode", "1")
	name := sandbox.LinkName
	for _, c := range []struct {
		call uintptr
		arg  *ifreq
	}{
		{unix.SIOCSIFMTU, newIfreq(name).number(sandbox.LinkMTU)},
		{unix.SIOCSIFADDR, newIfreq(name).address(address4(sandbox.LinkAddr4))},
		{unix.SIOCSIFDSTADDR, newIfreq(name).address(address4(sandbox.GatewayAddr4))},
		{unix.SIOCSIFFLAGS, newIfreq(name).flags(unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_POINTOPOINT | unix.IFF_NOARP)},
	} {
		if err := ioctl(fd, c.call, unsafe.Pointer(c.arg)); err != nil {
			return err
		}
	}
	dev := append([]byte(name), 0)
	r := rtentry{flags: unix.RTF_UP, dev: &dev[0]}
	for _, a := range [][]byte{r.dst[:], r.gateway[:], r.genmask[:]} {
		putSockaddr(a, [4]byte{})
	}
	return ioctl(fd, unix.SIOCADDRT, unsafe.Pointer(&r))
}

// boundQueue sets how many packets may wait. The ioctl for it is for root of the
// whole machine, netlink's message for root of the namespace.
func boundQueue(fd int) error {
	index := newIfreq(sandbox.LinkName)
	if err := ioctl(fd, unix.SIOCGIFINDEX, unsafe.Pointer(index)); err != nil {
		return err
	}
	nl, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(nl)
	m := struct {
		unix.NlMsghdr
		unix.IfInfomsg
		unix.RtAttr
		length uint32
	}{
		unix.NlMsghdr{Type: unix.RTM_NEWLINK, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK},
		unix.IfInfomsg{Index: int32(binary.NativeEndian.Uint32(index.data[:]))},
		unix.RtAttr{Len: 8, Type: unix.IFLA_TXQLEN}, linkQueue,
	}
	const size = int(unsafe.Sizeof(m))
	m.NlMsghdr.Len = uint32(size)
	if err := unix.Sendto(nl, (*[size]byte)(unsafe.Pointer(&m))[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var answer [256]byte
	n, err := unix.Read(nl, answer[:])
	if err != nil || n < unix.SizeofNlMsghdr+4 {
		return orBad(err)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// rtentry is struct rtentry of 64-bit Linux.
type rtentry struct {
	_                     uint64
	dst, gateway, genmask [16]byte
	flags                 uint16
	_                     [6]byte
	_                     uint64
	_                     uint64
	metric                int16
	_                     [6]byte
	dev                   *byte
	mtu, window           uint64
	irtt                  uint16
}

// configure6 does the same for IPv6, as far as it goes.
func configure6() {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	index := newIfreq(sandbox.LinkName)
	if ioctl(fd, unix.SIOCGIFINDEX, unsafe.Pointer(index)) != nil {
		return
	}
	n := binary.NativeEndian.Uint32(index.data[:])
	address := struct { // struct in6_ifreq
		addr   [16]byte
		prefix uint32
		index  uint32
	}{address6(sandbox.LinkAddr6), 128, n}
	if ioctl(fd, unix.SIOCSIFADDR, unsafe.Pointer(&address)) != nil {
		return
	}
	route := struct { // struct in6_rtmsg
		dst, src, gateway [16]byte
		kind              uint32
		dstLen, srcLen    uint16
		metric            uint32
		info              uint64
		flags             uint32
		index             uint32
	}{metric: 1024, flags: unix.RTF_UP, index: n}
	_ = ioctl(fd, unix.SIOCADDRT, unsafe.Pointer(&route))
}

// address4 reads an address of this package's own. net/netip is not linked in.
func address4(s string) (a [4]byte) {
	part := 0
	for _, c := range []byte(s) {
		if c == '.' {
			part++
			continue
		}
		a[part] = a[part]*10 + c - '0'
	}
	return a
}

// address6 reads one that has its zeros, left out, before its last group.
func address6(s string) (a [16]byte) {
	group, digits := 0, uint16(0)
	put := func(at int) {
		binary.BigEndian.PutUint16(a[2*at:], digits)
		digits = 0
	}
	for _, c := range []byte(s) {
		switch {
		case c == ':':
			if group < 7 {
				put(group)
			}
			group++
		case c <= '9':
			digits = digits<<4 | uint16(c-'0')
		default:
			digits = digits<<4 | uint16(c-'a'+10)
		}
	}
	put(7)
	return a
}
