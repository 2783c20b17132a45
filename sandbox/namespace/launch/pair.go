package launch

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// Where there is no /dev/net/tun, or this process may not open it, the link is a
// pair of Ethernet devices: one in this network namespace, the other in one that
// nothing else is in, with a packet socket over it. The socket is the link's other
// end. Namespace and devices are gone with its last descriptor.

// outerName is the device's at the other end. Nobody sees it.
const outerName = "outer"

// pairBuffer is how much the packet socket keeps for the node to read, in bytes;
// more is lost. It counts as nobody's memory, as linkQueue.
const pairBuffer = linkQueue * sandbox.LinkMTU

// pairLink makes such a link.
func pairLink() error {
	inner, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail("network namespace", err)
	}
	defer unix.Close(inner)
	// Of this thread alone, which goes back.
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fail("network namespace of the link's other end", err)
	}
	socket, err := outerEnd(inner)
	if back := unix.Setns(inner, unix.CLONE_NEWNET); back != nil {
		unix.Exit(1) // what follows would be in the wrong place
	}
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return finishLink(socket)
}

// outerEnd makes the pair, in the namespace where the other end stays, and the
// socket over that.
func outerEnd(inner int) (int, error) {
	if err := makePair(inner); err != nil {
		return -1, fail("make a pair of devices", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fail("other end of the link", err)
	}
	defer unix.Close(fd)
	index := newIfreq(outerName)
	if err := ioctl(fd, unix.SIOCGIFINDEX, unsafe.Pointer(index)); err != nil {
		return -1, fail("other end of the link", err)
	}
	// It has nothing to say by itself.
	_ = writeFile("/proc/sys/net/ipv6/conf/"+outerName+"/disable_ipv6", "1")
	if err := ioctl(fd, unix.SIOCSIFFLAGS, unsafe.Pointer(newIfreq(outerName).flags(unix.IFF_UP|unix.IFF_RUNNING|unix.IFF_NOARP))); err != nil {
		return -1, fail("other end of the link", err)
	}
	// Of no protocol until it is bound: nothing gets in from elsewhere.
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fail("packet socket", err)
	}
	if unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, pairBuffer) != nil {
		_ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUF, pairBuffer) // or what the host allows
	}
	_ = unix.SetsockoptInt(socket, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1)
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // in the network's order
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: all, Ifindex: int(binary.NativeEndian.Uint32(index.data[:]))}); err != nil {
		unix.Close(socket)
		return -1, fail("packet socket", err)
	}
	return socket, nil
}

// vethInfoPeer is VETH_INFO_PEER of linux/veth.h.
const vethInfoPeer = 1

// makePair makes the two devices, one here and the link in another namespace.
func makePair(inner int) error {
	nl, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(nl)
	number := func(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
	info := make([]byte, unix.SizeofIfInfomsg)
	mtu := attribute(unix.IFLA_MTU, number(sandbox.LinkMTU))
	peer := join(info, attribute(unix.IFLA_IFNAME, []byte(sandbox.LinkName+"\x00")), mtu,
		attribute(unix.IFLA_ADDRESS, []byte(sandbox.LinkFrame[:6])), attribute(unix.IFLA_NET_NS_FD, number(uint32(inner))))
	body := join(info, attribute(unix.IFLA_IFNAME, []byte(outerName+"\x00")), mtu,
		attribute(unix.IFLA_LINKINFO, join(attribute(unix.IFLA_INFO_KIND, []byte("veth\x00")), attribute(unix.IFLA_INFO_DATA, attribute(vethInfoPeer, peer)))))
	head := unix.NlMsghdr{Len: uint32(unix.SizeofNlMsghdr + len(body)), Type: unix.RTM_NEWLINK, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_EXCL}
	return tellKernel(nl, join((*[unix.SizeofNlMsghdr]byte)(unsafe.Pointer(&head))[:], body))
}

func join(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// attribute is one of a message of netlink's, with what fills it up.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// tellKernel sends a message and reads what the kernel thinks of it.
func tellKernel(nl int, m []byte) error {
	if err := unix.Sendto(nl, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var answer [512]byte
	n, err := unix.Read(nl, answer[:])
	if err != nil || n < unix.SizeofNlMsghdr+4 {
		return orBad(err)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
