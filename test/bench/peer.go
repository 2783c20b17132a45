package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// peer is another Lambda emulator on this machine, which answers Invoke at a URL
// without asking for a signature.
type peer struct{ to *url.URL }

// findPeer reads ALCOVE_BENCH_PEER; empty is no peer.
func findPeer(text string) (*peer, error) {
	if text == "" {
		return nil, nil
	}
	to, err := url.Parse(text)
	if err != nil || to.Scheme != "http" || to.Port() == "" {
		return nil, fmt.Errorf("ALCOVE_BENCH_PEER=%s: want an Invoke URL with a port, such as http://127.0.0.1:9000/2015-03-31/functions/function/invocations", text)
	}
	if ip := net.ParseIP(to.Hostname()); to.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("ALCOVE_BENCH_PEER=%s: only a peer on this machine can be compared", text)
	}
	return &peer{to}, nil
}

func (p *peer) address() string { return p.to.Host }

func (p *peer) request(tenant string) ([]byte, error) {
	return plain(p.to.RequestURI(), p.to.Host, http.Header{"X-Amz-Tenant-Id": {tenant}, "Content-Type": {"application/json"}}, event), nil
}
