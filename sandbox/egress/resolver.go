package egress

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// The host's resolver as sandboxes have it: a stub that asks the servers of
// /etc/resolv.conf and keeps nothing. What one tenant has asked for cannot be told
// from how quickly another one is answered, but for what those servers keep.

const (
	resolvConf = "/etc/resolv.conf"
	// tries is how often each server is asked, and tryMax how long it may take.
	tries  = 2
	tryMax = 2 * time.Second
	// resolvFor is how long it is believed that the file says the same.
	resolvFor = 5 * time.Second
	// maxServers is how many of a file's are asked.
	maxServers = 3
	// ednsSize is how long an answer by UDP may be.
	ednsSize = 1232
	// maxRecords of an answer are passed on.
	maxRecords = 200
)

// passed are the types of records that are looked up and passed on. Whoever asks
// for others is told that there are none.
var passed = map[dnsmessage.Type]bool{
	dnsmessage.TypeA: true, dnsmessage.TypeAAAA: true, dnsmessage.TypeCNAME: true, dnsmessage.TypeMX: true, dnsmessage.TypeNS: true,
	dnsmessage.TypePTR: true, dnsmessage.TypeSOA: true, dnsmessage.TypeSRV: true, dnsmessage.TypeTXT: true,
}

// answer is what came of a question.
type answer struct {
	rcode   dnsmessage.RCode
	records []dnsmessage.Resource
}

type resolver struct {
	fixed []netip.AddrPort

	mu      sync.Mutex
	at      time.Time
	servers []netip.AddrPort
}

// list are the servers to ask.
func (r *resolver) list() []netip.AddrPort {
	if len(r.fixed) > 0 {
		return r.fixed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) > resolvFor {
		b, err := os.ReadFile(resolvConf)
		if err == nil || len(r.servers) == 0 {
			r.servers = parseResolvConf(b)
		}
		r.at = time.Now()
	}
	return r.servers
}

// parseResolvConf reads resolv.conf(5): the servers, or the one on this machine if
// there are none.
func parseResolvConf(b []byte) (servers []netip.AddrPort) {
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" || len(servers) == maxServers {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, 53))
		}
	}
	if len(servers) == 0 {
		servers = []netip.AddrPort{netip.AddrPortFrom(loopback, 53)}
	}
	return servers
}

// ask asks one server after the other.
func (r *resolver) ask(ctx context.Context, name string, kind dnsmessage.Type) (answer, error) {
	if !passed[kind] {
		return answer{}, nil
	}
	q, err := question(name, kind)
	if err != nil {
		return answer{}, err
	}
	var errs []error
	for range tries {
		for _, server := range r.list() {
			a, err := exchange(ctx, server, q)
			if err == nil {
				return a, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", server, err))
			if ctx.Err() != nil {
				return answer{}, errors.Join(errs...)
			}
		}
	}
	return answer{}, errors.Join(errs...)
}

// exchange asks one server once, and by TCP if the answer is too long.
func exchange(ctx context.Context, server netip.AddrPort, q dnsmessage.Question) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, tryMax)
	defer cancel()
	id, query, err := newQuery(q)
	if err != nil {
		return answer{}, err
	}
	m, err := exchangeUDP(ctx, server, q, id, query)
	if err == nil && m.Truncated {
		m, err = exchangeTCP(ctx, server, q, id, query)
	}
	if err != nil {
		return answer{}, err
	}
	switch m.RCode {
	case dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError:
	default:
		return answer{}, fmt.Errorf("the answer is %v", m.RCode)
	}
	return answer{m.RCode, relevant(q, m.Answers)}, nil
}

func newQuery(q dnsmessage.Question) (id uint16, query []byte, err error) {
	var random [2]byte
	rand.Read(random[:]) // never fails
	id = binary.BigEndian.Uint16(random[:])
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{q}}
	var h dnsmessage.ResourceHeader
	if err := h.SetEDNS0(ednsSize, dnsmessage.RCodeSuccess, false); err != nil {
		return 0, nil, err
	}
	m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	query, err = m.Pack()
	return id, query, err
}

// exchangeUDP takes the first answer that is one: from the server, of that number,
// to that question. The port is a random one, of a socket for this question alone.
func exchangeUDP(ctx context.Context, server netip.AddrPort, q dnsmessage.Question, id uint16, query []byte) (*dnsmessage.Message, error) {
	c, err := dialServer(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(query); err != nil {
		return nil, err
	}
	b := make([]byte, ednsSize)
	for {
		n, err := c.Read(b)
		if err != nil {
			return nil, err
		}
		if m, ok := parseAnswer(b[:n], q, id); ok {
			return m, nil
		}
	}
}

func exchangeTCP(ctx context.Context, server netip.AddrPort, q dnsmessage.Question, id uint16, query []byte) (*dnsmessage.Message, error) {
	c, err := dialServer(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return nil, err
	}
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	m, ok := parseAnswer(b, q, id)
	if !ok {
		return nil, errors.New("the answer is to another question")
	}
	return m, nil
}

func dialServer(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	if until, ok := ctx.Deadline(); ok {
		err = c.SetDeadline(until)
	}
	return c, err
}

// parseAnswer reads a server's answer, as far as its records can be read.
func parseAnswer(b []byte, q dnsmessage.Question, id uint16) (*dnsmessage.Message, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.ID != id {
		return nil, false
	}
	got, err := p.Question()
	if err != nil || got.Type != q.Type || got.Class != q.Class || !bytes.EqualFold(got.Name.Data[:got.Name.Length], q.Name.Data[:q.Name.Length]) {
		return nil, false
	}
	m := &dnsmessage.Message{Header: h, Questions: []dnsmessage.Question{got}}
	if p.SkipAllQuestions() != nil {
		return m, true
	}
	for len(m.Answers) < maxRecords {
		r, err := p.Answer()
		if err != nil {
			break
		}
		m.Answers = append(m.Answers, r)
	}
	return m, true
}

// relevant are the records that answer the question: of its name, or one that this
// one is an alias of, and of a type that is passed on.
func relevant(q dnsmessage.Question, all []dnsmessage.Resource) []dnsmessage.Resource {
	names := map[string]bool{strings.ToLower(q.Name.String()): true}
	for range all { // aliases come in any order
		before := len(names)
		for _, r := range all {
			if c, ok := r.Body.(*dnsmessage.CNAMEResource); ok && names[strings.ToLower(r.Header.Name.String())] {
				names[strings.ToLower(c.CNAME.String())] = true
			}
		}
		if len(names) == before {
			break
		}
	}
	var out []dnsmessage.Resource
	for _, r := range all {
		t := r.Header.Type
		if names[strings.ToLower(r.Header.Name.String())] && r.Header.Class == dnsmessage.ClassINET && (t == q.Type || t == dnsmessage.TypeCNAME) {
			r.Header.Length = 0
			out = append(out, r)
		}
	}
	return out
}
