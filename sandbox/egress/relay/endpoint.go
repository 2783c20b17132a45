package relay

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/alcove-run/alcove/sandbox"
)

// queueMax bounds what waits for a sandbox to read, in bytes. What does not fit is
// lost, as on any wire; a frozen sandbox finds this much when it thaws.
const queueMax = 2 << 20

// queuedAll bounds what waits for all sandboxes together: once there is as much, each
// has no more than queueMin.
const queuedAll, queueMin = 48 << 20, 64 << 10

// barePacket is the longest without a payload, and queuePackets how many packets
// wait at most where those are among them: as many as there are connections, some
// times over.
const barePacket, queuePackets = 128, 8192

// endpoint is a link as the network stack sees it.
type endpoint struct {
	link *link

	mu         sync.Mutex
	dispatcher stack.NetworkDispatcher
	queue      []*stack.PacketBuffer // behind one that did not fit
	queued     int
	writing    bool // a goroutine waits for room
	closed     bool
}

var _ stack.LinkEndpoint = (*endpoint)(nil)

// WritePackets implements stack.LinkWriter.
func (e *endpoint) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range list.AsSlice() {
		if e.closed {
			break
		}
		if len(e.queue) == 0 && e.write(p) {
			continue
		}
		if n := p.Size(); e.room(n) {
			e.queue = append(e.queue, p.IncRef())
			e.count(n)
		}
		if !e.writing && len(e.queue) > 0 {
			e.writing = true
			go e.flush()
		}
	}
	return list.Len(), nil
}

// room tells whether a packet of so many bytes may wait. What has no payload almost
// always may: nobody sends the end of a connection again.
func (e *endpoint) room(n int) bool {
	switch all := e.queued + n; {
	case all <= queueMin:
		return true
	case n <= barePacket:
		return len(e.queue) < queuePackets
	default:
		return all <= queueMax && e.link.relay.queued.Load() < queuedAll
	}
}

// write writes a packet now, and tells whether that is done with, be it by an
// error. Callers hold e.mu.
func (e *endpoint) write(p *stack.PacketBuffer) (done bool) {
	done = true
	_ = e.link.raw.Control(func(fd uintptr) { done = e.writePacket(int(fd), p) })
	return done
}

func (e *endpoint) writePacket(fd int, p *stack.PacketBuffer) bool {
	parts := p.AsSlices()
	if e.link.framed {
		parts = append([][]byte{frames[p.NetworkProtocolNumber == header.IPv6ProtocolNumber]}, parts...)
	}
	for {
		_, err := unix.Writev(fd, parts)
		switch {
		case err == unix.EINTR:
		case e.link.framed: // which says ENOBUFS of what is lost, and never that there is room
			return err != unix.EAGAIN
		default:
			return err != unix.EAGAIN && err != unix.ENOBUFS
		}
	}
}

// frames stand before packets, of IPv4 and (true) IPv6, on a link that has that.
var frames = map[bool][]byte{false: frame(header.IPv4ProtocolNumber), true: frame(header.IPv6ProtocolNumber)}

func frame(proto tcpip.NetworkProtocolNumber) []byte {
	return binary.BigEndian.AppendUint16([]byte(sandbox.LinkFrame[:len(sandbox.LinkFrame)-2]), uint16(proto))
}

// flush waits for room and writes what is queued.
func (e *endpoint) flush() {
	_ = e.link.raw.Write(func(fd uintptr) bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for len(e.queue) > 0 && !e.closed {
			p := e.queue[0]
			if !e.writePacket(int(fd), p) {
				return false
			}
			e.queue = e.queue[1:]
			e.count(-p.Size())
			p.DecRef()
		}
		e.drop()
		e.writing = false
		return true
	})
}

// drop forgets what is queued. Callers hold e.mu.
func (e *endpoint) drop() {
	for _, p := range e.queue {
		p.DecRef()
	}
	e.queue = nil
	e.count(-e.queued)
}

// count counts bytes that wait, or do not any more. Callers hold e.mu.
func (e *endpoint) count(n int) {
	e.queued += n
	e.link.relay.queued.Add(int64(n))
}

// Close implements stack.LinkEndpoint.
func (e *endpoint) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.drop()
}

// Attach implements stack.LinkEndpoint.
func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dispatcher = d
}

// IsAttached implements stack.LinkEndpoint.
func (e *endpoint) IsAttached() bool { return e.attached() != nil }

func (e *endpoint) attached() stack.NetworkDispatcher {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dispatcher
}

// MTU implements stack.LinkEndpoint.
func (e *endpoint) MTU() uint32 { return sandbox.LinkMTU }

// Capabilities implements stack.LinkEndpoint. What a sandbox sends comes from the
// next process, so nothing has to be found that was changed on the way.
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityRXChecksumOffload
}

// The rest of stack.LinkEndpoint: packets have no header of the link's.

// SetMTU does nothing.
func (e *endpoint) SetMTU(uint32) {}

// MaxHeaderLength is zero.
func (e *endpoint) MaxHeaderLength() uint16 { return 0 }

// LinkAddress is none.
func (e *endpoint) LinkAddress() tcpip.LinkAddress { return "" }

// SetLinkAddress does nothing.
func (e *endpoint) SetLinkAddress(tcpip.LinkAddress) {}

// Wait has nobody to wait for.
func (e *endpoint) Wait() {}

// ARPHardwareType is none.
func (e *endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader adds none.
func (e *endpoint) AddHeader(*stack.PacketBuffer) {}

// ParseHeader finds none.
func (e *endpoint) ParseHeader(*stack.PacketBuffer) bool { return true }

// SetOnCloseAction does nothing.
func (e *endpoint) SetOnCloseAction(func()) {}
