package relay

import (
	"bytes"
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
	ep, err := req.CreateEndpoint(&f.queue)
	if err != nil { // the sandbox has gone away from it
		req.Complete(true)
		_ = conn.SetLinger(0)
		conn.Close()
		return
	}
	req.Complete(false)
	f.ep = ep
	size := int64(smallBuffer)
	if n.flows.Load() <= largeFlows {
		size = largeBuffer
	}
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

// tcpFlow is a connection: the sandbox's end and the host's.
type tcpFlow struct {
	link    *link
	host    *net.TCPConn
	ep      tcpip.Endpoint
	queue   waiter.Queue
	inEnded chan struct{}

	moved atomic.Bool // since watch has looked
	once  sync.Once   // its end
}

// abort ends it at once; both sides are reset.
func (f *tcpFlow) abort() {
	f.once.Do(func() {
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
	f.once.Do(func() {
		f.host.Close()
		f.ep.Close()
	})
}

var errReset = errors.New("the sandbox has reset it")

// out carries what the sandbox sends, and waits for its end.
func (f *tcpFlow) out() error {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	for {
		b := buffers.Get().(*[maxPacket]byte)
		w := tcpip.SliceWriter(b[:])
		res, err := f.ep.Read(&w, tcpip.ReadOptions{})
		if res.Count > 0 {
			f.moved.Store(true)
			f.link.counter.Out.Add(uint64(res.Count))
			if _, err := f.host.Write(b[:res.Count]); err != nil {
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
		b, n, err := readInto(raw)
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
	if err := f.link.pay(len(b)); err != nil {
		return err
	}
	f.moved.Store(true)
	f.link.counter.In.Add(uint64(len(b)))
	var r bytes.Reader
	for len(b) > 0 {
		r.Reset(b)
		g := f.link.group.Load()
		f.link.relay.gate.enter(g)
		n, err := f.ep.Write(&r, tcpip.WriteOptions{})
		f.link.relay.gate.leave()
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
