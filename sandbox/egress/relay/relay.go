// Package relay ends the packets of sandboxes and begins the connections of the
// host. It is a program of its own, one for each node, because it reads what
// tenants send: it has no keys, no files, no rights and no network. For each
// connection that a sandbox wants it asks the node, which decides, connects, and
// sends the connected descriptor; then it carries bytes between the two.
//
// For each link it has one goroutine that waits. A network stack (gVisor's) is
// made for a link when its first packet arrives, and dropped when nothing has
// moved for a while, so that an idle environment costs a descriptor here and
// little else.
//
// What it knows of tenants is a number, by which it shares itself out (fair.go).
package relay

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// Relay is the program's state.
type Relay struct {
	conn     *wire.Conn
	counters *wire.Counters
	gate     *gate
	queued   atomic.Int64             // bytes that wait for sandboxes to read, of all links
	larger   [len(sizes)]atomic.Int64 // connections with buffers of each of the sizes

	mu     sync.Mutex
	closed bool
	nextID uint64
	links  map[uint32]*link
	groups map[uint64]*group
	asks   map[uint64]chan<- answer // have room for one
	flows  map[uint64]flow
}

// flow is a connection that carries bytes.
type flow interface{ abort() }

// answer is what the node says to a Dial or a Query.
type answer struct {
	code uint8
	fd   int // or -1
	data []byte
}

// errEnded is that the node has gone, or the link.
var errEnded = errors.New("ended")

// Serve does what the node says on conn until that is closed.
func Serve(conn *wire.Conn, counters *wire.Counters) error {
	r := &Relay{
		conn: conn, counters: counters, gate: newGate(runtime.GOMAXPROCS(0)),
		links: map[uint32]*link{}, groups: map[uint64]*group{}, asks: map[uint64]chan<- answer{}, flows: map[uint64]flow{},
	}
	defer r.close()
	for {
		var m wire.Message
		fd, err := conn.Receive(&m)
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the node said something wrong: %w", err)
		}
		if !r.heard(&m, fd) && fd >= 0 {
			unix.Close(fd)
		}
	}
}

// heard does what a message says, and tells whether it has taken the descriptor.
func (r *Relay) heard(m *wire.Message, fd int) bool {
	switch m.Kind {
	case wire.Attach:
		return r.attach(m, fd)
	case wire.Detach:
		r.detach(m.Link)
	case wire.Limit:
		r.limit(m)
	case wire.Answer:
		r.mu.Lock()
		reply, ok := r.asks[m.ID]
		delete(r.asks, m.ID)
		r.mu.Unlock()
		if ok {
			reply <- answer{m.Code, fd, append([]byte(nil), m.Data...)}
		}
		return ok
	case wire.Close:
		r.mu.Lock()
		f := r.flows[m.ID]
		r.mu.Unlock()
		if f == nil {
			r.tell(&wire.Message{Kind: wire.Gone, ID: m.ID}) // it was already, or never began
		} else {
			// It waits for whoever uses it at the moment, and others are to end, too.
			go f.abort()
		}
	}
	return false
}

// tell sends a message. If the node has gone, Serve finds out.
func (r *Relay) tell(m *wire.Message) { _ = r.conn.Send(m, -1) }

func (r *Relay) attach(m *wire.Message, fd int) bool {
	if fd < 0 || m.Link >= wire.MaxLinks {
		return false
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return false
	}
	l, err := newLink(r, m.Link, os.NewFile(uintptr(fd), "link"))
	if err != nil {
		return false
	}
	r.mu.Lock()
	if r.closed || r.links[m.Link] != nil {
		r.mu.Unlock()
		l.file.Close()
		return true
	}
	r.links[m.Link] = l
	l.join(r.groupOf(m.Group))
	r.mu.Unlock()
	l.setRate(m.Rate, m.GroupRate)
	go l.read()
	return true
}

func (r *Relay) detach(number uint32) {
	r.mu.Lock()
	l := r.links[number]
	delete(r.links, number)
	if l != nil {
		r.leave(l)
	}
	r.mu.Unlock()
	if l != nil {
		l.close()
	}
}

// limit makes a link somebody's.
func (r *Relay) limit(m *wire.Message) {
	r.mu.Lock()
	l := r.links[m.Link]
	if l == nil {
		r.mu.Unlock()
		return
	}
	if g := l.group.Load(); g.number != m.Group {
		next := r.groupOf(m.Group)
		r.leave(l)
		l.join(next)
	}
	r.mu.Unlock()
	l.setRate(m.Rate, m.GroupRate)
}

// groupOf gives a group to one more link. Callers hold r.mu.
func (r *Relay) groupOf(number uint64) *group {
	g := r.groups[number]
	if g == nil {
		g = newGroup(number)
		r.groups[number] = g
	}
	g.links++
	return g
}

// leave takes a link out of its group. Callers hold r.mu.
func (r *Relay) leave(l *link) {
	g := l.group.Load()
	if g.links--; g.links == 0 {
		delete(r.groups, g.number)
	}
}

// ask sends a question and waits for the answer. The question gets its ID here.
func (r *Relay) ask(l *link, m *wire.Message) (answer, error) {
	reply := make(chan answer, 1)
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return answer{fd: -1}, errEnded
	}
	r.nextID++
	m.ID, m.Link = r.nextID, l.number
	r.asks[m.ID] = reply
	r.mu.Unlock()
	r.tell(m)
	select {
	case a := <-reply:
		return a, nil
	case <-l.gone:
	}
	r.mu.Lock()
	_, waits := r.asks[m.ID]
	delete(r.asks, m.ID)
	r.mu.Unlock()
	if !waits { // it is on its way
		if a := <-reply; a.fd >= 0 {
			unix.Close(a.fd)
		}
	}
	// The node counts it until it hears that it has ended.
	r.tell(&wire.Message{Kind: wire.Gone, ID: m.ID})
	return answer{fd: -1}, errEnded
}

// dial asks for a connection. It is a flow then, until ended is called.
func (r *Relay) dial(l *link, proto uint8, to netip.AddrPort) (c net.Conn, id uint64, code uint8) {
	m := &wire.Message{Kind: wire.Dial, Proto: proto, Addr: to}
	a, err := r.ask(l, m)
	if err != nil {
		return nil, 0, wire.Silent
	}
	if a.code != wire.OK || a.fd < 0 {
		if a.fd >= 0 {
			unix.Close(a.fd)
		}
		return nil, 0, max(a.code, wire.Refused)
	}
	f := os.NewFile(uintptr(a.fd), "connection")
	c, err = net.FileConn(f)
	f.Close()
	if err != nil { // the peer has reset it meanwhile
		r.tell(&wire.Message{Kind: wire.Gone, ID: m.ID})
		return nil, 0, wire.Refused
	}
	return c, m.ID, wire.OK
}

// begun makes a flow one that the node can close. It returns false if it is not to
// begin: everything ends.
func (r *Relay) begun(id uint64, f flow) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.flows[id] = f
	}
	return !r.closed
}

// ended is called once for each dial that gave a connection, when that is closed.
func (r *Relay) ended(id uint64) {
	r.mu.Lock()
	delete(r.flows, id)
	r.mu.Unlock()
	r.tell(&wire.Message{Kind: wire.Gone, ID: id})
}

func (r *Relay) close() {
	r.mu.Lock()
	r.closed = true
	var links []*link
	for _, l := range r.links {
		links = append(links, l)
	}
	clear(r.links)
	r.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	r.conn.Close()
}
