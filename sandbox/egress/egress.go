// Package egress is what the outside is to sandboxes: it decides about every
// connection that one of them wants, makes it, and hands it to the relay, a
// program without rights (package relay) that turns it into packets and back. It
// answers their questions for names. What may be reached is for package policy to
// say, by rules that its caller gives for each sandbox at the moment of the
// connection; when they change, Recheck ends what they do not allow any more.
//
// The address that is connected to is the address that was checked: names are
// resolved when the sandbox asks for them, and an address counts as a name's if
// this sandbox was told so.
//
// The package owns the relay's process, the host's side of all links, and every
// connection until the relay has it. It knows of tenants a label.
package egress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/alcove-run/alcove/internal/places"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/egress/relay"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// Owner is whoever has a sandbox. Its methods are called at any time while the
// sandbox is attached, by many goroutines, and wait for nothing.
type Owner interface {
	// Rules are those that hold for the sandbox now.
	Rules() policy.Rules
	// Label tells the owner apart from others: what has the same label shares its
	// limits and its turn.
	Label() string
	// Refused is told what was refused, as often as is worth a record.
	Refused(Refusal)
}

// Refusal is something that a sandbox wanted and did not get.
type Refusal struct {
	Proto string // "tcp", "udp", or "dns" for a name that was not resolved
	To    netip.AddrPort
	Name  string // that was asked for, or that the address was given for
	Rule  string // what refused it
	More  int64  // refusals before this one that nobody was told of
}

// Destination is what was wanted, in a few words.
func (r Refusal) Destination() string {
	switch {
	case !r.To.IsValid():
		return r.Name
	case r.Name != "":
		return fmt.Sprintf("%s (%s)", r.To, r.Name)
	}
	return r.To.String()
}

// Limits bound what sandboxes take. Zero is no bound.
type Limits struct {
	// Rate is in bytes a second, both directions together, of one sandbox and of
	// all with one label.
	Rate, LabelRate uint64
	// Connections are those at a time, sessions of UDP included: of one sandbox,
	// of all with one label, of all. When there are as many as all may be, labels
	// with few get places of the one with most, whose oldest connection ends.
	Connections, LabelConnections, AllConnections int
	// Making are the connections in the making and the names that are looked up, of
	// all: the node has a descriptor for each. When there are so many, labels with
	// few get places of those with many. Zero is DefaultMaking.
	Making int
	// Memory is what the relay may take, in bytes; zero is relay.DefaultMemory.
	// Connections are no more than fit in.
	Memory int64
}

func (l Limits) memory() int64 { return cmp.Or(l.Memory, relay.DefaultMemory) }

// memoryOfFlow is what a connection may take of the relay's memory: its buffers, and
// as much again for all else.
const memoryOfFlow = 64 << 10

// flows is how many connections there may be in all.
func (l Limits) flows() int {
	most := int(l.memory() / memoryOfFlow)
	if l.AllConnections > 0 {
		most = min(most, l.AllConnections)
	}
	return most
}

// DefaultMaking is Limits.Making where none is given.
const DefaultMaking = 256

// Usage is what a sandbox has used since it was attached.
type Usage struct {
	Out, In     uint64 // bytes of payload, from the sandbox and to it
	Connections uint64 // that were made
}

// Config says what a Network works with. Log is required.
type Config struct {
	Limits Limits
	// Servers are asked for names; those of /etc/resolv.conf if there are none.
	Servers []netip.AddrPort
	Log     *slog.Logger
	// Inside makes a connection of a sandbox, by its id, to what is at the link's
	// other end itself, port InsidePort: whatever policies say of the network, for
	// it is none. Nil is nothing.
	Inside func(ctx context.Context, id, label string) (net.Conn, error)
	// Exe is the program to start as the relay: one whose main begins with
	// relay.Main. Empty means the embedded one, or else the running one.
	Exe string
}

// Network is the outside of one node's sandboxes.
type Network struct {
	conf        Config
	counters    *wire.Counters
	resolver    *resolver
	own         ownAddresses
	routes      routes
	warned      rate.Sometimes // that routes cannot be asked for
	translators translators
	making      *places.Places
	places      *places.Places // of all flows
	ctx         context.Context
	cancel      context.CancelFunc
	wg          sync.WaitGroup

	mu     sync.Mutex
	closed bool
	relay  *process // nil while there is none
	// pausing: a relay could not be started, or has ended, and the next is started after a while.
	pausing bool
	links   map[uint32]*link
	ids     map[string]*link
	labels  map[string]*label
	next    uint64   // number of a label
	unused  []uint32 // numbers of links, used longest ago first
	fresh   uint32   // the first number that was never used
}

// label is what sandboxes with one label share.
type label struct {
	name   string
	number uint64
	links  int // that have it, or had it when they began a flow
	flows  int
}

// link is one sandbox's. Fields after owner are guarded by Network.mu, but for
// what guards itself.
type link struct {
	number uint32
	id     string
	owner  Owner
	open   func() *os.File

	label *label
	flows map[uint64]*flow
	base  Usage // what the counter had when it became this link's
	made  atomic.Uint64

	pins    pins
	queries chan struct{} // one for each that is under way
	told    *rate.Limiter
	untold  atomic.Int64
}

// flow is a connection, from when it is allowed until the relay has let go of it.
type flow struct {
	link  *link
	label *label
	want  policy.Dial
	// inside: it goes to the link's other end itself, which no policy is about.
	inside bool
	number int // of flows that the link had when it began
	place  *places.Place
	made   bool // the relay has it
	ended  bool // it is to end
}

// judge is what rules say of it.
func (f *flow) judge(rules policy.Rules) policy.Verdict {
	if f.inside {
		return policy.Verdict{OK: true}
	}
	return rules.Dial(f.want)
}

// errClosed is what a closed Network answers.
var errClosed = errors.New("egress: closed")

// Open makes a Network. The relay is started when there is a first sandbox.
func Open(conf Config) (*Network, error) {
	counters, err := wire.NewCounters()
	if err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	n := &Network{
		conf: conf, counters: counters, resolver: &resolver{fixed: conf.Servers}, making: places.New(cmp.Or(conf.Limits.Making, DefaultMaking)),
		places: places.New(conf.Limits.flows()), warned: rate.Sometimes{Interval: time.Minute},
		links: map[uint32]*link{}, ids: map[string]*link{}, labels: map[string]*label{},
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n, nil
}

// queriesMax is how many names a sandbox may have looked up at a time.
const queriesMax = 64

// Attach takes over the other end of a sandbox's link, which open opens whenever a
// relay is to have it: the node keeps no descriptor of it. It answers nil for a
// sandbox that has ended. id names the sandbox.
func (n *Network) Attach(id string, open func() *os.File, owner Owner) error {
	l := &link{id: id, owner: owner, open: open, flows: map[uint64]*flow{},
		queries: make(chan struct{}, queriesMax), told: rate.NewLimiter(1, 10)}
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.admit(l)
	if err != nil {
		return fmt.Errorf("egress: attach %s: %w", id, err)
	}
	n.tellLink(l)
	return nil
}

// admit gives a link its number. Callers hold n.mu.
func (n *Network) admit(l *link) error {
	switch {
	case n.closed:
		return errClosed
	case n.ids[l.id] != nil:
		return errors.New("it is attached")
	case n.fresh < wire.MaxLinks:
		l.number = n.fresh
		n.fresh++
	case len(n.unused) > 0:
		l.number, n.unused = n.unused[0], n.unused[1:]
	default:
		return fmt.Errorf("there are %d already", wire.MaxLinks)
	}
	c := n.counters.Of(l.number)
	l.base = Usage{Out: c.Out.Load(), In: c.In.Load()}
	l.label = n.labelOf(l.owner.Label())
	l.label.links++
	n.links[l.number], n.ids[l.id] = l, l
	if n.relay == nil && !n.pausing {
		n.startRelay()
	}
	return nil
}

// labelOf is the label of a name. Callers hold n.mu, and count themselves in.
func (n *Network) labelOf(name string) *label {
	l := n.labels[name]
	if l == nil {
		n.next++
		l = &label{name: name, number: n.next}
		n.labels[name] = l
	}
	return l
}

// release forgets a label that nothing has. Callers hold n.mu.
func (n *Network) release(l *label) {
	if l.links == 0 && l.flows == 0 {
		delete(n.labels, l.name)
	}
}

// relabel has the link be its owner's of now. Callers hold n.mu.
func (n *Network) relabel(l *link) {
	name := l.owner.Label()
	if l.label.name == name {
		return
	}
	l.label.links--
	n.release(l.label)
	l.label = n.labelOf(name)
	l.label.links++
	if n.relay != nil {
		n.relay.send(&wire.Message{Kind: wire.Limit, Link: l.number, Group: l.label.number, Rate: n.conf.Limits.Rate, GroupRate: n.conf.Limits.LabelRate}, -1)
	}
}

// tellLink has the relay serve a link. Callers hold n.mu.
func (n *Network) tellLink(l *link) {
	if n.relay == nil {
		return
	}
	file := l.open()
	if file == nil {
		return // whoever has the sandbox will detach it
	}
	defer file.Close()
	n.relay.send(&wire.Message{Kind: wire.Attach, Link: l.number, Group: l.label.number, Rate: n.conf.Limits.Rate, GroupRate: n.conf.Limits.LabelRate}, int(fdOf(file)))
}

// fdOf is a file's descriptor, without making it block.
func fdOf(f *os.File) (fd uintptr) {
	raw, err := f.SyscallConn()
	if err != nil {
		return ^uintptr(0)
	}
	_ = raw.Control(func(n uintptr) { fd = n })
	return fd
}

// Detach ends a sandbox's connections and lets go of its link. It answers with
// what the sandbox has used in all.
func (n *Network) Detach(id string) Usage {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.ids[id]
	if l == nil {
		return Usage{}
	}
	used := n.usage(l)
	delete(n.ids, id)
	delete(n.links, l.number)
	n.unused = append(n.unused, l.number)
	l.label.links--
	n.release(l.label)
	if n.relay != nil {
		n.relay.send(&wire.Message{Kind: wire.Detach, Link: l.number}, -1)
		for id, f := range l.flows {
			n.end(id, f)
		}
	}
	return used
}

// Usage is what a sandbox has used so far.
func (n *Network) Usage(id string) Usage {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.ids[id]; l != nil {
		return n.usage(l)
	}
	return Usage{}
}

func (n *Network) usage(l *link) Usage {
	c := n.counters.Of(l.number)
	return Usage{Out: c.Out.Load() - l.base.Out, In: c.In.Load() - l.base.In, Connections: l.made.Load()}
}

// obeyed is how long a relay may take to end a connection that it was told to.
const obeyed = 800 * time.Millisecond

// Recheck ends every connection that would not be allowed now. It returns when the
// relay has been told.
func (n *Network) Recheck() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		n.recheck(l)
	}
}

// RecheckOne is Recheck of one sandbox, which may have another owner now.
func (n *Network) RecheckOne(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.ids[id]; l != nil {
		n.relabel(l)
		n.recheck(l)
	}
}

// recheck is that of one link. Callers hold n.mu.
func (n *Network) recheck(l *link) {
	if len(l.flows) == 0 {
		return
	}
	rules := l.owner.Rules()
	for id, f := range l.flows {
		if v := f.judge(rules); !v.OK && !f.ended {
			n.end(id, f)
			n.refuse(l, f.want, v.Rule)
		}
	}
}

// end ends a flow, and the relay if that does not do it. Callers hold n.mu.
func (n *Network) end(id uint64, f *flow) {
	f.ended = true
	p := n.relay
	if !f.made || p == nil {
		return // whoever makes it finds out
	}
	p.send(&wire.Message{Kind: wire.Close, ID: id}, -1)
	time.AfterFunc(obeyed, func() {
		n.mu.Lock()
		_, still := p.flows[id]
		n.mu.Unlock()
		if still && !p.ended.Load() {
			n.conf.Log.Error("the relay does not end a connection, and is ended", "flow", id)
			p.kill()
		}
	})
}

// refuse tells the owner.
func (n *Network) refuse(l *link, d policy.Dial, rule string) {
	r := Refusal{Proto: d.Proto.String(), To: netip.AddrPortFrom(d.Addr, d.Port), Rule: rule}
	if len(d.Names) > 0 {
		r.Name = d.Names[0]
	}
	l.refused(r)
}

func (l *link) refused(r Refusal) {
	if !l.told.Allow() {
		l.untold.Add(1)
		return
	}
	r.More = l.untold.Swap(0)
	l.owner.Refused(r)
}

// Close ends every connection and the relay.
func (n *Network) Close() error {
	n.mu.Lock()
	n.closed = true
	p := n.relay
	var ids []string
	for id := range n.ids {
		ids = append(ids, id)
	}
	n.mu.Unlock()
	for _, id := range ids {
		n.Detach(id)
	}
	n.cancel()
	if p != nil {
		p.stop()
	}
	n.wg.Wait()
	n.routes.close()
	return n.counters.Close()
}

// Status is what there is of a Network.
type Status struct {
	Links, Connections int
	RelayPID           int // 0 if it does not run
}

// Status says what there is now.
func (n *Network) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Status{Links: len(n.links), Connections: n.places.Taken()}
	if n.relay != nil {
		s.RelayPID = n.relay.pid
	}
	return s
}
