package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// routes asks the kernel where an address leads. Lists of addresses do not have all
// that leads to this machine: whole networks can, by a route, and broadcast and
// anycast addresses do. A list is also older than what the kernel knows.
type routes struct {
	mu     sync.Mutex
	fd     int // of netlink; guarded by mu, as what follows
	opened bool
	closed bool
	seq    uint32
}

// routeMax bounds the wait for the kernel, which answers at once.
const routeMax = time.Second

var errRoute = errors.New("the kernel's answer about a route makes no sense")

// here tells whether packets to an address are for this machine itself, alone or
// with others. An address that leads nowhere is not.
func (r *routes) here(a netip.Addr) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind, err := r.ask(a)
	if err != nil {
		r.forget() // whatever comes yet is no answer to the next question
		return true, fmt.Errorf("route of %s: %w", a, err)
	}
	switch kind {
	case unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_MULTICAST:
		return true, nil
	}
	return false, nil
}

// ask gives the kind of the route to an address, one of RTN_. Callers hold r.mu.
func (r *routes) ask(a netip.Addr) (kind uint8, err error) {
	if err := r.open(); err != nil {
		return 0, err
	}
	r.seq++
	if err := unix.Sendto(r.fd, getRoute(r.seq, a), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	var b [4096]byte
	for {
		n, from, err := unix.Recvfrom(r.fd, b[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if k, ok := from.(*unix.SockaddrNetlink); !ok || k.Pid != 0 {
			continue // not the kernel
		}
		return routeKind(b[:n], r.seq)
	}
}

// open opens the socket if there is none. Callers hold r.mu.
func (r *routes) open() error {
	if r.closed {
		return errClosed
	}
	if r.opened {
		return nil
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	wait := unix.NsecToTimeval(int64(routeMax))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		unix.Close(fd)
		return err
	}
	r.fd, r.opened = fd, true
	return nil
}

// forget closes the socket. Callers hold r.mu.
func (r *routes) forget() {
	if r.opened {
		unix.Close(r.fd)
		r.opened = false
	}
}

func (r *routes) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	r.closed = true
}

// getRoute is the question.
func getRoute(seq uint32, a netip.Addr) []byte {
	addr := a.AsSlice()
	size := unix.SizeofNlMsghdr + unix.SizeofRtMsg + unix.SizeofRtAttr + len(addr)
	b := make([]byte, 0, size)
	b = binary.NativeEndian.AppendUint32(b, uint32(size))
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_GETROUTE)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	family := byte(unix.AF_INET)
	if a.Is6() {
		family = unix.AF_INET6
	}
	b = append(b, family, byte(a.BitLen()), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // struct rtmsg
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(addr)))
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_DST)
	return append(b, addr...)
}

// routeKind reads the answer. That there is no route is one.
func routeKind(b []byte, seq uint32) (uint8, error) {
	if len(b) < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint32(b[8:]) != seq {
		return 0, errRoute
	}
	body := b[unix.SizeofNlMsghdr:]
	switch binary.NativeEndian.Uint16(b[4:]) {
	case unix.RTM_NEWROUTE:
		if len(body) < unix.SizeofRtMsg {
			return 0, errRoute
		}
		return body[7], nil // rtm_type
	case unix.NLMSG_ERROR:
		switch err := unix.Errno(-int32(binary.NativeEndian.Uint32(body))); err {
		case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, unix.EAFNOSUPPORT, unix.EOPNOTSUPP:
			return unix.RTN_UNREACHABLE, nil // so that connecting fails as well
		default:
			return 0, err
		}
	}
	return 0, errRoute
}
