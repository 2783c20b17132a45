// Package wire is what the node and the relay say to each other: messages of one
// packet each on a socket that keeps their boundaries, with descriptors beside
// them, and a page of counters that both have mapped.
//
// The relay reads packets that tenants send, so the node takes what it hears from
// it as it would from a tenant: every field is checked when it is read, and none
// is an address in memory, a path or a length that is trusted.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Kind is what a message means.
type Kind uint8

// From the node.
const (
	// Attach brings a link's descriptor. Link is its number, Group whose it is.
	Attach Kind = iota + 1
	// Detach ends a link and all its flows.
	Detach
	// Limit says whose a link is from now on, and what it and its group may
	// carry, in bytes a second.
	Limit
	// Answer is to a Dial, with the connection's descriptor if Code is OK; or to
	// a Query, with a DNS message in Data.
	Answer
	// Close ends the flow ID. Gone comes when it has ended.
	Close
)

// From the relay.
const (
	// Ready says that the relay has locked itself in. Number is its Version, Data
	// what it could not.
	Ready Kind = iota + 64
	// Dial asks for a connection to Addr by Proto; it will be the flow ID.
	Dial
	// Query asks for the records of the name in Data of type Number.
	Query
	// Gone says that the flow ID has ended, whether or not it was to.
	Gone
)

// Protocols of a Dial, as IP numbers them.
const (
	TCP = 6
	UDP = 17
)

// Codes of an Answer to a Dial.
const (
	OK      = iota
	Refused // the peer or the policy: the sandbox is told at once
	Silent  // the network: the sandbox is told nothing, and waits as long as it likes
)

// Version changes with anything in this package that the other side has to know, and
// with the kinds of links.
const Version = 2

// MaxData bounds Data, in bytes.
const MaxData = 8 << 10

// A Message is one.
type Message struct {
	Kind  Kind
	Proto uint8
	Code  uint8
	Link  uint32
	ID    uint64
	Addr  netip.AddrPort
	// Group, Rate and GroupRate are a Limit's; Number is a Query's type.
	Group, Rate, GroupRate, Number uint64
	Data                           []byte
}

const headerSize = 72

// ErrMessage is what a malformed message gives.
var ErrMessage = errors.New("malformed message")

// Append appends the message's bytes.
func (m *Message) Append(b []byte) []byte {
	family := byte(0)
	switch a := m.Addr.Addr(); {
	case a.Is4():
		family = 4
	case a.Is6():
		family = 6
	}
	b = append(b, byte(m.Kind), m.Proto, m.Code, family)
	b = binary.LittleEndian.AppendUint32(b, m.Link)
	b = binary.LittleEndian.AppendUint64(b, m.ID)
	var addr [16]byte
	switch family {
	case 4:
		a := m.Addr.Addr().As4()
		copy(addr[:], a[:])
	case 6:
		addr = m.Addr.Addr().As16()
	}
	b = append(b, addr[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Addr.Port()))
	for _, n := range []uint64{m.Group, m.Rate, m.GroupRate, m.Number} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return append(b, m.Data...)
}

// Decode is the inverse of Append. Data is a part of b.
func (m *Message) Decode(b []byte) error {
	if len(b) < headerSize || len(b) > headerSize+MaxData {
		return ErrMessage
	}
	*m = Message{Kind: Kind(b[0]), Proto: b[1], Code: b[2], Link: binary.LittleEndian.Uint32(b[4:]), ID: binary.LittleEndian.Uint64(b[8:])}
	var addr netip.Addr
	switch b[3] {
	case 0:
	case 4:
		addr = netip.AddrFrom4([4]byte(b[16:20]))
	case 6:
		addr = netip.AddrFrom16([16]byte(b[16:32]))
	default:
		return ErrMessage
	}
	port := binary.LittleEndian.Uint64(b[32:])
	if port > 65535 || !addr.IsValid() && port != 0 {
		return ErrMessage
	}
	if addr.IsValid() {
		m.Addr = netip.AddrPortFrom(addr, uint16(port))
	}
	for i, n := range []*uint64{&m.Group, &m.Rate, &m.GroupRate, &m.Number} {
		*n = binary.LittleEndian.Uint64(b[40+8*i:])
	}
	m.Data = b[headerSize:]
	return nil
}

// A Conn carries messages. Sending is safe for concurrent use, receiving is one
// goroutine's.
type Conn struct {
	*net.UnixConn
	in  [headerSize + MaxData + 1]byte
	oob [64]byte
}

// NewConn makes a Conn of a socket.
func NewConn(c *net.UnixConn) *Conn { return &Conn{UnixConn: c} }

// Pair is two sockets that are connected: one for this process, one for another.
func Pair() (*Conn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "relay"), os.NewFile(uintptr(pair[1]), "relay")
	c, err := FromFile(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c, theirs, nil
}

// FromFile takes over a socket.
func FromFile(f *os.File) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("socket pair: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("socket pair: not a unix socket")
	}
	return NewConn(u), nil
}

// Send sends a message, with a descriptor if it is not negative.
func (c *Conn) Send(m *Message, fd int) error {
	var buf [512]byte
	packet := m.Append(buf[:0])
	if fd < 0 { // the relay may write, and make no other call that sends
		_, err := c.Write(packet)
		return err
	}
	_, _, err := c.WriteMsgUnix(packet, unix.UnixRights(fd), nil)
	return err
}

// Receive waits for a message. The descriptor is -1 if there is none; the
// message's Data is valid until the next call.
func (c *Conn) Receive(m *Message) (fd int, err error) {
	n, oobn, flags, _, err := c.ReadMsgUnix(c.in[:], c.oob[:])
	if err != nil {
		return -1, err
	}
	fd, err = descriptor(c.oob[:oobn])
	switch {
	case err != nil:
	case n == 0:
		err = net.ErrClosed
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = ErrMessage
	default:
		err = m.Decode(c.in[:n])
	}
	if err != nil && fd >= 0 {
		unix.Close(fd)
		fd = -1
	}
	return fd, err
}

// descriptor is the one that came with a message; more are closed, and an error.
func descriptor(oob []byte) (int, error) {
	if len(oob) == 0 {
		return -1, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	var all []int
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err == nil {
			all = append(all, fds...)
		}
	}
	switch len(all) {
	case 0:
		return -1, nil
	case 1:
		return all[0], nil
	}
	for _, fd := range all {
		unix.Close(fd)
	}
	return -1, ErrMessage
}
