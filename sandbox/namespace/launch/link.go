package launch

import (
	"encoding/binary"
	"errors"
	"strconv"
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
	return finishLink(tun)
}

// finishLink gives this end of the link what it needs, and the other to the node.
func finishLink(other int) error {
	if err := configure4(); err != nil {
		return fail("configure the link", err)
	}
	configure6() // the kernel may have no IPv6
	if fd, err := unix.FcntlInt(uintptr(other), unix.F_DUPFD_CLOEXEC, LinkFD); err != nil || fd != LinkFD {
		return fail("keep the link", errors.Join(err, errors.New("as descriptor "+strconv.Itoa(fd))))
	}
	return fail("hand over the link", unix.Sendmsg(ControlFD, []byte{MsgLink}, unix.UnixRights(other), nil, 0))
}

// configure4 gives the link its address, brings it up and sends everything over it.
func configure4() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := quiet(fd); err != nil {
		return err
	}
	name := sandbox.LinkName
	for _, c := range []struct {
		call uintptr
		arg  *ifreq
	}{
		{unix.SIOCSIFMTU, newIfreq(name).number(sandbox.LinkMTU)},
		{unix.SIOCSIFADDR, newIfreq(name).address(address4(sandbox.LinkAddr4))},
		// A device of Ethernet's takes the address for one of a network's.
		{unix.SIOCSIFBRDADDR, newIfreq(name).address([4]byte{})},
		{unix.SIOCSIFNETMASK, newIfreq(name).address([4]byte{255, 255, 255, 255})},
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

// inet6AddrGenMode and addrGenModeNone are IFLA_INET6_ADDR_GEN_MODE and
// IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const (
	inet6AddrGenMode = 8
	addrGenModeNone  = 1
)

// quiet sets how many packets may wait, and that the link makes no address of its
// own, which would be announced. The ioctl for the first is for root of the whole
// machine, netlink's message for root of the namespace; the file in /proc/sys for the
// second has the same name in every network namespace of the machine, and to find it
// the kernel looks through all of them.
func quiet(fd int) error {
	index := newIfreq(sandbox.LinkName)
	if err := ioctl(fd, unix.SIOCGIFINDEX, unsafe.Pointer(index)); err != nil {
		return err
	}
	nl, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(nl)
	info := unix.IfInfomsg{Index: int32(binary.NativeEndian.Uint32(index.data[:]))}
	queue := attribute(unix.IFLA_TXQLEN, binary.NativeEndian.AppendUint32(nil, linkQueue))
	none := attribute(unix.IFLA_AF_SPEC, attribute(unix.AF_INET6, attribute(inet6AddrGenMode, []byte{addrGenModeNone})))
	// The kernel takes all of a message or nothing, and it may have no IPv6.
	if err = setLink(nl, info, queue, none); err != nil {
		err = setLink(nl, info, queue)
	}
	return err
}

func setLink(nl int, info unix.IfInfomsg, attributes ...[]byte) error {
	body := append((*[unix.SizeofIfInfomsg]byte)(unsafe.Pointer(&info))[:], join(attributes...)...)
	head := unix.NlMsghdr{Len: uint32(unix.SizeofNlMsghdr + len(body)), Type: unix.RTM_NEWLINK, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK}
	return tellKernel(nl, join((*[unix.SizeofNlMsghdr]byte)(unsafe.Pointer(&head))[:], body))
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
