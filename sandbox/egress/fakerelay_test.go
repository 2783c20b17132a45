package egress

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// tester is what tests and properties have in common.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

// fakeRelay is the other end of a Network: it asks and hears, and carries nothing.
type fakeRelay struct {
	t    tester
	n    *Network
	conn *wire.Conn
	cmd  *exec.Cmd
	// obeys: it says of what it is told to end that it has ended.
	obeys bool
	done  chan struct{}

	mu      sync.Mutex
	news    *sync.Cond
	nextID  uint64
	answers map[uint64]wire.Message
	open    map[uint64]int // descriptors by flow
	closed  map[uint64]bool
	data    map[uint64][]byte
}

// openFake makes a Network with a relay of the test's.
func openFake(t tester, conf Config) (*Network, *fakeRelay) {
	t.Helper()
	if conf.Log == nil {
		conf.Log = slog.New(slog.DiscardHandler)
	}
	n, err := Open(conf)
	if err != nil {
		t.Fatal(err)
	}
	conn, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	r := &fakeRelay{t: t, n: n, obeys: true, done: make(chan struct{}), answers: map[uint64]wire.Message{}, open: map[uint64]int{}, closed: map[uint64]bool{}, data: map[uint64][]byte{}}
	r.news = sync.NewCond(&r.mu)
	if r.conn, err = wire.FromFile(theirs); err != nil {
		t.Fatal(err)
	}
	life, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	r.cmd = exec.Command("/bin/cat") // a process that is there until it is ended
	if _, err := r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{n: n, conn: conn, life: life, cmd: r.cmd, pid: r.cmd.Process.Pid, flows: map[uint64]*flow{}}
	n.relay = p
	n.wg.Go(func() {
		err := p.serve()
		p.reap()
		n.lost(p, err, time.Hour)
	})
	go r.hear()
	return n, r
}

// close ends both. The Network must not start another relay.
func (r *fakeRelay) close() {
	r.n.Close()
	r.conn.Close()
	<-r.done
	for _, fd := range r.open {
		unix.Close(fd)
	}
}

func (r *fakeRelay) hear() {
	defer close(r.done)
	for {
		var m wire.Message
		fd, err := r.conn.Receive(&m)
		if err != nil {
			return
		}
		m.Data = slices.Clone(m.Data)
		r.mu.Lock()
		switch m.Kind {
		case wire.Answer:
			r.answers[m.ID] = m
			if fd >= 0 {
				r.open[m.ID], fd = fd, -1
			}
		case wire.Close:
			r.closed[m.ID] = true
			if f, ok := r.open[m.ID]; ok && r.obeys {
				unix.Close(f)
				delete(r.open, m.ID)
				go r.conn.Send(&wire.Message{Kind: wire.Gone, ID: m.ID}, -1)
			}
		}
		r.news.Broadcast()
		r.mu.Unlock()
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// ask sends a question without waiting for the answer.
func (r *fakeRelay) ask(link uint32, m wire.Message) uint64 {
	r.mu.Lock()
	r.nextID++
	m.ID, m.Link = r.nextID, link
	r.mu.Unlock()
	if err := r.conn.Send(&m, -1); err != nil {
		r.t.Fatal(err)
	}
	return m.ID
}

func (r *fakeRelay) dial(link uint32, to target) uint64 {
	return r.ask(link, wire.Message{Kind: wire.Dial, Proto: uint8(to.proto), Addr: to.at})
}

// answer waits for one.
func (r *fakeRelay) answer(id uint64) wire.Message {
	r.t.Helper()
	var m wire.Message
	r.until(fmt.Sprint("an answer to ", id), func() (ok bool) { m, ok = r.answers[id]; return ok })
	return m
}

// until waits for something that is heard. It holds r.mu while it calls cond.
func (r *fakeRelay) until(what string, cond func() bool) {
	r.t.Helper()
	late := false
	timer := time.AfterFunc(slow.Patience(30*time.Second), func() { r.mu.Lock(); late = true; r.news.Broadcast(); r.mu.Unlock() })
	defer timer.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !cond() {
		if late {
			r.t.Fatalf("waited for %s in vain", what)
		}
		r.news.Wait()
	}
}

// barrier returns when everything that was said to the relay has been heard.
func (r *fakeRelay) barrier() {
	r.t.Helper()
	r.answer(r.ask(wire.MaxLinks-1, wire.Message{Kind: wire.Dial, Proto: wire.TCP, Addr: netip.MustParseAddrPort("192.0.2.1:1")}))
}

// resolve asks for a name, and gives the addresses.
func (r *fakeRelay) resolve(link uint32, name string) (addrs []netip.Addr, rcode dnsmessage.RCode) {
	r.t.Helper()
	b := r.answer(r.ask(link, wire.Message{Kind: wire.Query, Number: uint64(dnsmessage.TypeA), Data: []byte(name)})).Data
	var m dnsmessage.Message
	if len(b) == 0 {
		return nil, dnsmessage.RCodeServerFailure
	}
	if err := m.Unpack(b); err != nil {
		r.t.Fatal(err)
	}
	for _, a := range m.Answers {
		if a := addressOf(a); a.IsValid() {
			addrs = append(addrs, a)
		}
	}
	return addrs, m.RCode
}

// target is a destination.
type target struct {
	proto policy.Proto
	at    netip.AddrPort
}

// someone is an Owner whose rules and label a test changes.
type someone struct {
	rules   func() policy.Rules
	label   func() string
	refused func(Refusal)
}

func (s *someone) Rules() policy.Rules { return s.rules() }

func (s *someone) Label() string { return s.label() }

func (s *someone) Refused(r Refusal) {
	if s.refused != nil {
		s.refused(r)
	}
}

// attach gives a sandbox a link, of which nobody has the other end.
func attach(t tester, n *Network, id string, o Owner) uint32 {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pair[1])
	if err := n.Attach(id, func() *os.File { return os.NewFile(uintptr(pair[0]), "link") }, o); err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ids[id].number
}
