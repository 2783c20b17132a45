package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

var event = []byte(`{"key":"value"}`)

// request is an Invoke for tenant, signed; it may be sent many times within the
// five minutes that a signature lives.
func (f *function) request(ctx context.Context, tenant string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		f.node.url+"/2015-03-31/functions/"+f.name+"/invocations", bytes.NewReader(event))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Tenant-Id", tenant)
	sum := sha256.Sum256(event)
	return req, v4.NewSigner().SignHTTP(ctx, f.node.creds, req, hex.EncodeToString(sum[:]), "lambda", region, time.Now())
}

// send sends a prepared request once.
func send(c *http.Client, req *http.Request) (time.Duration, error) {
	body, err := req.GetBody()
	if err != nil {
		return 0, err
	}
	again := *req
	again.Body = body
	began := time.Now()
	resp, err := c.Do(&again)
	if err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(resp.Body)
	took := time.Since(began)
	resp.Body.Close()
	if err == nil && (resp.StatusCode != http.StatusOK || resp.Header.Get("X-Amz-Function-Error") != "") {
		err = fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return took, err
}

func newClient(connections int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
}

// warm sends calls in all from a number of clients, each for a tenant of its own
// that is warm, and answers with how long each took and how long all took.
func (f *function) warm(ctx context.Context, clients, calls int) ([]time.Duration, time.Duration, error) {
	c := newClient(clients)
	defer c.CloseIdleConnections()
	reqs := make([]*http.Request, clients)
	for i := range reqs {
		var err error
		if reqs[i], err = f.request(ctx, fmt.Sprint("warm-", i)); err != nil {
			return nil, 0, err
		}
		for range 20 {
			if _, err := send(c, reqs[i]); err != nil {
				return nil, 0, err
			}
		}
	}
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var wg sync.WaitGroup
	began := time.Now()
	for _, req := range reqs {
		wg.Go(func() {
			mine := make([]time.Duration, 0, calls/clients)
			for range calls / clients {
				d, err := send(c, req)
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				mine = append(mine, d)
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	return took, time.Since(began), failed
}

// warmSDK is the same with AWS's client, one call after another.
func (f *function) warmSDK(ctx context.Context, o options) (time.Duration, error) {
	tenant := "warm-0"
	var took []time.Duration
	for range o.calls {
		began := time.Now()
		if _, err := f.sdk.Invoke(ctx, &lambda.InvokeInput{FunctionName: &f.name, TenantId: &tenant, Payload: event}); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	return percentile(took, 50), nil
}

// newTenants makes the first call for n tenants that nobody has used, from a
// number of clients, and answers with how long each took.
func (f *function) newTenants(ctx context.Context, n, clients int) ([]time.Duration, error) {
	c := newClient(clients)
	defer c.CloseIdleConnections()
	work := make(chan *http.Request, n)
	for range n {
		f.seq++
		req, err := f.request(ctx, fmt.Sprint("new-", f.seq))
		if err != nil {
			return nil, err
		}
		work <- req
	}
	close(work)
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for req := range work {
				d, err := send(c, req)
				mu.Lock()
				took, failed = append(took, d), firstError(failed, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return took, failed
}

// newTenantsApart is newTenants with a pause before each call, in which a stock
// can be filled.
func (f *function) newTenantsApart(ctx context.Context, n int, gap time.Duration) ([]time.Duration, error) {
	var took []time.Duration
	for range n {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(gap):
		}
		d, err := f.newTenants(ctx, 1, 1)
		if err != nil {
			return nil, err
		}
		took = append(took, d...)
	}
	return took, nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
