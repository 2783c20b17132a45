package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// transport hands requests to the node's handler without a connection, as coming
// from where the browser's came from.
type transport struct {
	api  http.Handler
	from *http.Request
	log  *slog.Logger
}

// RoundTrip implements http.RoundTripper. The handler runs while the answer is
// read, and its context ends when the answer is closed.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	r := req.Clone(ctx)
	r.RequestURI, r.RemoteAddr = req.URL.RequestURI(), t.from.RemoteAddr
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	r.URL = &url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery}
	// What the browser says of where it comes from is for the node to judge.
	for _, name := range []string{"Origin", "Sec-Fetch-Site"} {
		if v := t.from.Header[name]; v != nil {
			r.Header[name] = v
		}
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, w := io.Pipe()
	a := &answer{header: http.Header{}, begun: make(chan struct{}), pipe: w}
	go func() {
		defer func() {
			// The answer is cut off, which the reader sees.
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				t.log.Error("console: a handler panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			}
			a.WriteHeader(http.StatusInternalServerError)
			w.CloseWithError(a.end)
		}()
		a.end = io.ErrUnexpectedEOF
		t.api.ServeHTTP(a, r)
		a.WriteHeader(http.StatusOK)
		a.end = nil
	}()
	select {
	case <-a.begun:
	case <-ctx.Done():
		cancel()
		body.Close()
		return nil, ctx.Err()
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, ContentLength: -1, Request: req, Body: &closing{body, cancel},
	}, nil
}

// answer is the response writer of a handler that runs.
type answer struct {
	header http.Header
	pipe   *io.PipeWriter
	end    error // what the reader finds behind the last byte

	begun  chan struct{} // closed when status and sent are set
	status int
	sent   http.Header
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status != 0 || status < 200 {
		return
	}
	a.status, a.sent = status, a.header.Clone()
	close(a.begun)
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.pipe.Write(b)
}

// Flush implements http.Flusher: everything is there when Write returns.
func (a *answer) Flush() { a.WriteHeader(http.StatusOK) }

type closing struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (c *closing) Close() error {
	c.cancel()
	return c.PipeReader.Close()
}

// client makes requests of the node's APIs with one key.
type client struct {
	con  *Console
	key  aws.Credentials
	http *http.Client
	host string
}

// api is the client with the key of who looks.
func (q *request) api() *client { return q.as(q.who.key) }

func (q *request) as(key aws.Credentials) *client {
	return &client{con: q.con, key: key, host: q.Host, http: &http.Client{
		Transport: transport{q.con.API, q.Request, q.con.Log},
		// A redirect of the node is none of the console's.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// lambda is AWS's own client. It sends once: the reader decides about again.
func (c *client) lambda() *lambda.Client {
	base := "http://" + c.host
	o := lambda.Options{Region: c.con.Region, BaseEndpoint: &base, HTTPClient: c.http, Retryer: aws.NopRetryer{}}
	if c.key.AccessKeyID == "" {
		o.Credentials = credentials.NewStaticCredentialsProvider("none", "none", "")
	} else {
		o.Credentials = credentials.StaticCredentialsProvider{Value: c.key}
	}
	return lambda.New(o)
}

// call is a request of an API that AWS's client for Lambda has not.
type call struct {
	service, method, path string
	rawPath               string // the path encoded, where that is not one way only
	query                 url.Values
	header                http.Header
	body                  []byte
}

// maxAnswer bounds what is read of an answer that a page is made of.
const maxAnswer = 64 << 20

// open sends a request. The caller closes the body.
func (c *client) open(ctx context.Context, q call) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: c.host, Path: q.path, RawPath: q.rawPath, RawQuery: q.query.Encode()}
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	for name, v := range q.header {
		req.Header[name] = v
	}
	if c.key.AccessKeyID != "" && q.service != "" {
		hash := sha256.Sum256(q.body)
		if err := v4.NewSigner().SignHTTP(ctx, c.key, req, hex.EncodeToString(hash[:]), q.service, c.con.Region, time.Now()); err != nil {
			return nil, err
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		e := struct {
			Code, Message string
			Type          string `json:"__type"`
		}{}
		_ = json.Unmarshal(b, &e)
		if e.Code == "" {
			e.Code = e.Type[strings.LastIndexByte(e.Type, '#')+1:]
		}
		return nil, &refused{status: resp.StatusCode, code: e.Code, message: e.Message}
	}
	return resp.Body, nil
}

// send sends a request and reads the whole answer.
func (c *client) send(ctx context.Context, q call) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	body, err := c.open(ctx, q)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, maxAnswer))
}

// node asks alcove's own API and reads the JSON object that it answers with.
func (c *client) node(ctx context.Context, path string, query url.Values, into any) error {
	b, err := c.send(ctx, call{service: "lambda", method: http.MethodGet, path: "/alcove/v1/" + path, query: query})
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// target asks one of AWS's services whose operation is in a header.
func (c *client) target(ctx context.Context, service, target string, in, into any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	b, err := c.send(ctx, call{service: service, method: http.MethodPost, path: "/", body: body,
		header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {target}}})
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}
