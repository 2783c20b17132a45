package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

var event = []byte(`{"key":"value"}`)

// request is an Invoke for tenant in the bytes that go to the node, signed; it
// may be sent many times within the five minutes that a signature lives.
func (f *function) request(tenant string) ([]byte, error) {
	return f.signed(tenant, "RequestResponse", event)
}

// signed is request of a type of invocation, with another event.
func (f *function) signed(tenant, kind string, event []byte) ([]byte, error) {
	path := "/2015-03-31/functions/" + f.name + "/invocations"
	req, err := http.NewRequest(http.MethodPost, f.node.url+path, bytes.NewReader(event))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Tenant-Id", tenant)
	if kind != "RequestResponse" {
		req.Header.Set("X-Amz-Invocation-Type", kind)
	}
	sum := sha256.Sum256(event)
	if err := v4.NewSigner().SignHTTP(context.Background(), f.node.creds, req, hex.EncodeToString(sum[:]), "lambda", region, time.Now()); err != nil {
		return nil, err
	}
	return plain(path, req.URL.Host, req.Header, event), nil
}

// plain is a request with an event for its body.
func plain(path, host string, h http.Header, event []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", path, host, len(event))
	_ = h.WriteSubset(&b, nil) // to memory
	b.WriteString("\r\n")
	b.Write(event)
	return b.Bytes()
}

// invoker is who answers an Invoke: a function of ours, or the peer.
type invoker interface {
	request(tenant string) ([]byte, error)
	address() string
}

func (f *function) address() string { return f.node.addr() }

// warm sends n requests for each of the tenants over a number of connections,
// which take the tenants in turn, and answers with how long each took and how
// long all took.
func warm(to invoker, tenants []string, connections, calls int) ([]time.Duration, time.Duration, error) {
	requests := make([][]byte, len(tenants))
	for i, tenant := range tenants {
		var err error
		if requests[i], err = to.request(tenant); err != nil {
			return nil, 0, err
		}
	}
	streams := make([]*stream, connections)
	for i := range streams {
		// Each connection has tenants of its own, so that no tenant is asked
		// twice at once and has a second environment made for it.
		var mine [][]byte
		for j := i; j < len(requests); j += connections {
			mine = append(mine, requests[j])
		}
		left, at := calls/connections, 0
		streams[i] = &stream{took: make([]time.Duration, 0, left), next: func() []byte {
			if left--; left < 0 {
				return nil
			}
			at++
			return mine[at%len(mine)]
		}}
	}
	all, err := runStreams(to.address(), streams)
	return took(streams), all, err
}

func took(streams []*stream) []time.Duration {
	var all []time.Duration
	for _, s := range streams {
		all = slices.Concat(all, s.took)
	}
	return all
}

// tenantNames are n names that begin alike.
func tenantNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(prefix, "-", i)
	}
	return names
}
