package relay

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/alcove-run/alcove/sandbox/egress/wire"
)

const (
	// dnsIdle is how long a client of the resolver may say nothing.
	dnsIdle = 10 * time.Second
	// dnsMaxUDP is the longest answer in one datagram, for clients that say they
	// take as much.
	dnsMaxUDP = 4096
)

// serveDNS answers what one socket asks the resolver.
func (f *udpFlow) serveDNS() {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	f.queue.EventRegister(&entry)
	defer f.queue.EventUnregister(&entry)
	defer f.abort()
	f.busy.Store(true) // until its first question has had its answer
	f.keep()
	idle := time.NewTicker(dnsIdle)
	defer idle.Stop()
	for {
		b, n, ok := f.datagram(ready, idle.C)
		if !ok {
			return
		}
		f.busy.Store(true)
		reply := f.network.link.resolve(b[:n], false)
		buffers.Put(b)
		if reply != nil {
			_, _ = f.ep.Write(bytes.NewReader(reply), tcpip.WriteOptions{})
		}
		f.moved()
		f.busy.Store(false)
		idle.Reset(dnsIdle)
	}
}

// acceptDNS answers what is asked by TCP.
func (n *network) acceptDNS(req *tcp.ForwarderRequest) {
	defer n.askers.Add(-1)
	if n.askers.Add(1) > maxAskers {
		req.Complete(true)
		return
	}
	var queue waiter.Queue
	ep, err := req.CreateEndpoint(&queue)
	req.Complete(err != nil)
	if err != nil {
		return
	}
	c := gonet.NewTCPConn(&queue, ep)
	defer c.Close()
	b := make([]byte, 2+dnsMaxUDP)
	for {
		_ = c.SetDeadline(time.Now().Add(dnsIdle))
		if _, err := io.ReadFull(c, b[:2]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(b))
		if size > dnsMaxUDP {
			return // no question is as long
		}
		if _, err := io.ReadFull(c, b[2:2+size]); err != nil {
			return
		}
		reply := n.link.resolve(b[2:2+size], true)
		if reply == nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// resolve answers a message, or says nothing to what is no question.
func (l *link) resolve(message []byte, stream bool) []byte {
	h, q, room, rcode, ok := parseQuestion(message)
	if !ok {
		return nil
	}
	if rcode != dnsmessage.RCodeSuccess {
		return emptyAnswer(h, q, rcode, false)
	}
	a, err := l.relay.ask(l, &wire.Message{Kind: wire.Query, Number: uint64(q.Type), Data: []byte(q.Name.String())})
	if err != nil {
		return nil
	}
	if len(a.data) < 12 {
		return emptyAnswer(h, q, dnsmessage.RCodeServerFailure, false)
	}
	if !stream && len(a.data) > room {
		return emptyAnswer(h, q, dnsmessage.RCodeSuccess, true)
	}
	binary.BigEndian.PutUint16(a.data, h.ID)
	return a.data
}

// parseQuestion takes a question apart, and says how long an answer by UDP may
// be. A code that is not success is the answer already.
func parseQuestion(message []byte) (h dnsmessage.Header, q dnsmessage.Question, room int, rcode dnsmessage.RCode, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || h.Response {
		return h, q, 0, 0, false
	}
	if h.OpCode != 0 {
		return h, q, 0, dnsmessage.RCodeNotImplemented, true
	}
	if q, err = p.Question(); err != nil {
		return h, q, 0, dnsmessage.RCodeFormatError, true
	}
	if _, err := p.Question(); err != dnsmessage.ErrSectionDone {
		return h, q, 0, dnsmessage.RCodeFormatError, true
	}
	if q.Class != dnsmessage.ClassINET {
		return h, q, 0, dnsmessage.RCodeNotImplemented, true
	}
	room = 512
	if p.SkipAllAnswers() == nil && p.SkipAllAuthorities() == nil {
		for range 8 { // nobody has as many
			r, err := p.AdditionalHeader()
			if err != nil {
				break
			}
			if r.Type == dnsmessage.TypeOPT {
				room = min(max(512, int(r.Class)), dnsMaxUDP)
			}
			if p.SkipAdditional() != nil {
				break
			}
		}
	}
	return h, q, room, dnsmessage.RCodeSuccess, true
}

// emptyAnswer has no records.
func emptyAnswer(h dnsmessage.Header, q dnsmessage.Question, rcode dnsmessage.RCode, truncated bool) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{
		ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true, RCode: rcode, Truncated: truncated,
	}}
	if q.Name.Length > 0 {
		m.Questions = []dnsmessage.Question{q}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}
