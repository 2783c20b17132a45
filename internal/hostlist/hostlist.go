// Package hostlist holds an operator's list of hosts that a node may fetch from
// for its callers, and makes HTTP transports that keep to it: what is listed may
// be anywhere, what is not, as where a listed host redirects to, is reached by
// TLS and at public addresses only. It knows nothing of what is fetched.
package hostlist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrRefused is in the chain of what a transport answers to a request that the
// list does not allow.
var ErrRefused = errors.New("not allowed by the operator's list of hosts")

// List is hosts with their ports. The zero List is empty.
type List struct {
	names   []string        // as they were given
	entries map[string]bool // "host:port" to whether plain HTTP is wanted there
}

// Parse reads a list. An item is a host, with a port if it is not 443, and with
// "http://" in front where the host has no TLS. Loopback needs no "http://".
func Parse(items []string) (List, error) {
	l := List{entries: make(map[string]bool, len(items))}
	for _, item := range items {
		rest, plain := strings.CutPrefix(item, "http://")
		rest = strings.TrimSuffix(strings.TrimPrefix(rest, "https://"), "/")
		port := "443"
		if plain {
			port = "80"
		}
		u, err := url.Parse("//" + rest)
		if err != nil || u.Host != rest || u.Hostname() == "" || strings.ContainsAny(rest, " \t\\%*@") {
			return List{}, fmt.Errorf("%q is no host: give a name or an address, with :PORT if it is not the usual one, and http:// in front if it has no TLS", item)
		}
		if u.Port() != "" {
			port = u.Port()
		}
		l.names = append(l.names, item)
		l.entries[key(u.Hostname(), port)] = plain
	}
	return l, nil
}

// Empty tells whether nothing is listed.
func (l List) Empty() bool { return len(l.entries) == 0 }

// String is the list for messages.
func (l List) String() string { return strings.Join(l.names, ", ") }

// Has tells whether a host is listed with this port.
func (l List) Has(host, port string) bool {
	_, ok := l.entries[key(host, port)]
	return ok
}

// Plain tells whether a host is listed and spoken to without TLS: because its
// operator says so, or, in the case of loopback, if it wants it so.
func (l List) Plain(host, port string) bool {
	plain, ok := l.entries[key(host, port)]
	return ok && (plain || Loopback(host))
}

func key(host, port string) string {
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), port)
}

// Loopback tells whether a name or an address is this machine's own.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// stall is how long a peer may be silent in the middle of something.
const stall = time.Minute

// Transport is for requests to what is listed, and to where that redirects. It
// uses no proxy.
func (l List) Transport() http.RoundTripper {
	t := &http.Transport{
		DialContext:           l.dial,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConns:          8,
		MaxConnsPerHost:       8,
		// Peers are not trusted with the node's memory.
		MaxResponseHeaderBytes: 256 << 10,
	}
	return guard{l, t}
}

// guard refuses plain HTTP where it is not meant.
type guard struct {
	list List
	next *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	port := r.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	}
	if r.URL.Scheme != "https" && !g.list.Plain(r.URL.Hostname(), port) {
		if r.Body != nil {
			_ = r.Body.Close() // what a RoundTripper owes
		}
		return nil, fmt.Errorf("%s://%s: %w: only TLS", r.URL.Scheme, r.URL.Host, ErrRefused)
	}
	return g.next.RoundTrip(r)
}

// CloseIdleConnections is what http.Client asks for.
func (g guard) CloseIdleConnections() { g.next.CloseIdleConnections() }

// dial connects. What a name that is not listed stands for is looked at after it
// was resolved, when the connection is made.
func (l List) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !l.Has(host, port) {
		d.Control = func(_, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			if err != nil || !Public(at.Addr()) {
				return fmt.Errorf("%s: %w: it is not listed, and is at a private address", address, ErrRefused)
			}
			return nil
		}
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return patient{conn}, nil
}

// patient is a connection whose peer may be silent for so long.
type patient struct{ net.Conn }

func (c patient) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// special are the networks of the IANA's registries of special-purpose addresses
// that no public service is at, beyond those that netip knows, and those that
// carry addresses of version 4 within, which could be any.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// Public tells whether an address is one of the internet's at large: not of this
// machine, its networks, or its cloud's metadata service.
func Public(ip netip.Addr) bool {
	if ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate() &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(ip) })
}
