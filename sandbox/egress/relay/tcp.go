package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

// halfClosedMax is how long a connection of which one side has ended may stay
// without a byte on the other.
const halfClosedMax = 5 * time.Minute

// lingerMin and lingerMax are between looks at whether an end has arrived.
const lingerMin, lingerMax = time.Millisecond, time.Second

// acceptTCP is called, on a goroutine of its own, for each connection that a
// sandbox wants.
func (n *network) acceptTCP(req *tcp.ForwarderRequest) {
	n.flows.Add(1)
	defer n.flows.Add(-1)
	to := peer(req.ID())
	if resolver(to) {
		n.acceptDNS(req)
		return
	}
	host, id, code := n.link.relay.dial(n.link, wire.TCP, to)
	if code != wire.OK {
		req.Complete(code == wire.Refused)
		return
	}
	defer n.link.relay.ended(id)
	conn, ok := host.(*net.TCPConn)
	if !ok {
		host.Close()
		req.Complete(true)
		return
	}
	f := &tcpFlow{link: n.link, host: conn, inEnded: make(chan struct{})}
	f.ctx, f.over = context.WithCancel(n.link.ctx)
	defer f.over()
	ep, err := req.CreateEndpoint(&f.queue)
	if err != nil { // the sandbox has gone away from it
		req.Complete(true)
		_ = conn.SetLinger(0)
		conn.Close()
		return
	}
	req.Complete(false)
	f.ep = ep
	size, done := n.size()
	defer done()
	o := ep.SocketOptions()
	o.SetSendBufferSize(size, true)
	o.SetReceiveBufferSize(size, true)
	o.SetDelayOption(false)
	if !n.link.begun(id, f) {
		f.abort()
		return
	}
	f.run()
	n.link.finished(f)
}

// size is how much a connection may buffer, each way, and what counts it out.
func (n *network) size() (bytes int64, done func()) {
	flows := n.flows.Load()
	for i, s := range sizes {
		if flows > s.first {
			continue
		}
		all, group := &n.link.relay.larger[i], &n.link.group.Load().larger[i]
		done = func() {
			all.Add(-1)
			group.Add(-1)
		}
		if a, g := all.Add(1), group.Add(1); a <= s.all && g <= s.group {
			return s.bytes, done
		}
		done()
	}
	return smallBuffer, func() {}
}

// tcpFlow is a connection: the sandbox's end and the host's.
type tcpFlow struct {
	link    *link
	host    *net.TCPConn
	ep      tcpip.Endpoint
	queue   waiter.Queue
	inEnded chan struct{}

	moved atomic.Bool     // since watch has looked
	once  sync.Once       // its end
	ctx   context.Context // until that, or the link's
	over  context.CancelFunc
}

// abort ends it at once; both sides are reset.
func (f *tcpFlow) abort() {
	f.once.Do(func() {
		f.over()
		_ = f.host.SetLinger(0)
		f.host.Close()
		f.ep.Abort()
	})
}

// run carries bytes both ways until both have ended.
func (f *tcpFlow) run() {
	go func() {
		defer close(f.inEnded)
		if f.in() != nil {
			f.abort()
		}
	}()
	if f.out() != nil {
		f.abort()
	}
	<-f.inEnded
	f.host.Close() // the sandbox may be frozen before it has the last of it
	f.linger()
	f.once.Do(f.ep.Close)
}

// linger waits until the sandbox has what was sent to it last: an endpoint that is
// closed before keeps that for as long as the sandbox likes, and nobody counts it.
// The stack tells nobody when it has arrived, which takes no time where the sandbox
// runs and reads.
func (f *tcpFlow) linger() {
	deadline := time.Now().Add(halfClosedMax)
	for pause := lingerMin; ; pause = min(2*pause, lingerMax) {
		switch tcp.EndpointState(f.ep.State()) {
		case tcp.StateFinWait1, tcp.StateClosing, tcp.StateLastAck:
		default:
			return
		}
		select {
		case <-f.ctx.Done(): // the node, or the link, has ended it
			return
		case <-time.After(pause):
		}
		if time.Now().After(deadline) {
			f.abort()
			return
		}
	}
}

var errReset = errors.New("the sandbox has reset it")

// out carries what the sandbox sends, and waits for its end.
func (f *tcpFlow) out() error {
	raw, err := f.host.SyscallConn()
	if err != nil {
		return err
	}
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	for {
		b := buffers.Get().(*[maxPacket]byte)
		w := tcpip.SliceWriter(b[:])
		var res tcpip.ReadResult
		var err tcpip.Error
		f.link.turn(func() { res, err = f.ep.Read(&w, tcpip.ReadOptions{}) })
		if res.Count > 0 {
			f.moved.Store(true)
			f.link.counter.Out.Add(uint64(res.Count))
			if err := f.link.writeAll(raw, b[:res.Count]); err != nil {
				buffers.Put(b)
				return err
			}
		}
		buffers.Put(b)
		switch err.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-ready
		case *tcpip.ErrClosedForReceive:
			if err := f.host.CloseWrite(); err != nil {
				return err
			}
			return f.outlast(ready)
		default:
			return errReset
		}
	}
}

// outlast waits for the other direction to end, after this one.
func (f *tcpFlow) outlast(ready <-chan struct{}) error {
	watch := time.NewTicker(halfClosedMax)
	defer watch.Stop()
	for {
		select {
		case <-f.inEnded:
			return nil
		case <-ready:
			if s := tcp.EndpointState(f.ep.State()); s == tcp.StateError || s == tcp.StateClose {
				return errReset
			}
		case <-watch.C:
			if !f.moved.Swap(false) {
				return errors.New("nothing more came")
			}
		}
	}
}

// in carries what the host's side sends.
func (f *tcpFlow) in() error {
	raw, err := f.host.SyscallConn()
	if err != nil {
		return err
	}
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	for {
		b, n, err := f.link.readInto(raw)
		if err != nil {
			return err
		}
		if n > 0 {
			err = f.write(b[:n], ready)
		}
		buffers.Put(b)
		if err != nil {
			return err
		}
		if n == 0 {
			return f.endIn()
		}
	}
}

// endIn tells the sandbox that no more comes, and sees to it that its own side
// ends some time.
func (f *tcpFlow) endIn() error {
	if err := f.ep.Shutdown(tcpip.ShutdownWrite); err != nil {
		return errReset
	}
	f.moved.Store(true)
	var watch func()
	watch = func() {
		if !f.moved.Swap(false) {
			f.abort() // of a flow that has ended it does nothing
			return
		}
		time.AfterFunc(halfClosedMax, watch)
	}
	watch()
	return nil
}

// write gives bytes to the sandbox, as far as it takes them.
func (f *tcpFlow) write(b []byte, ready <-chan struct{}) error {
	if err := f.link.pay(f.ctx, len(b)); err != nil {
		return err
	}
	f.moved.Store(true)
	f.link.counter.In.Add(uint64(len(b)))
	var r bytes.Reader
	for len(b) > 0 {
		r.Reset(b)
		var n int64
		var err tcpip.Error
		f.link.turn(func() { n, err = f.ep.Write(&r, tcpip.WriteOptions{}) })
		b = b[n:]
		switch err.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			<-ready
		default:
			return io.ErrClosedPipe
		}
	}
	return nil
}
