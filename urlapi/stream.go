package urlapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/pump"
	"github.com/alcove-run/alcove/invoke"
)

// preludeType is the content type of a stream that begins with a prelude.
const preludeType = "application/vnd.awslambda.http-integration-response"

// maxPrelude bounds the prelude: it is headers.
const maxPrelude = 64 << 10

// preludeEnd is between a prelude and the body.
var preludeEnd = make([]byte, 8)

// prelude collects the beginning of a stream: JSON with status, headers and
// cookies, eight bytes that are zero, and the first of the body.
type prelude struct{ buf []byte }

// add takes the next piece. It is done when the prelude is complete; body is what
// came after it.
func (p *prelude) add(piece []byte) (head answer, body []byte, done bool, err error) {
	from := max(0, len(p.buf)-len(preludeEnd)+1)
	p.buf = append(p.buf, piece...)
	at := bytes.Index(p.buf[from:], preludeEnd)
	switch {
	case at < 0 && len(p.buf) > maxPrelude, at >= 0 && from+at > maxPrelude:
		return answer{}, nil, false, errors.New("the prelude is too long")
	case at < 0:
		return answer{}, nil, false, nil
	}
	var s shape
	if err := json.Unmarshal(p.buf[:from+at], &s); err != nil {
		return answer{}, nil, false, err
	}
	head, err = s.head()
	return head, p.buf[from+at+len(preludeEnd):], err == nil, err
}

// stream answers with what a function says, while it says it. Status and headers
// are those of the prelude, if there is one; a function that answers as usual is
// not understood, but passed on, as on AWS.
func (a *API) stream(ctx context.Context, w http.ResponseWriter, q *request, caller alcove.Caller, req invoke.Request) error {
	run := invoke.Begin(ctx, a.Invoker, caller, req, a.Log)
	start, begun := run.Begun()
	if !begun {
		result, err := run.Wait()
		switch {
		case err != nil:
			return err
		case result.FunctionError != "":
			return errFunction
		}
		whole := answer{status: http.StatusOK, header: http.Header{}, body: result.Payload}
		setTrace(w, result.Trace)
		whole.writeTo(w, q)
		return nil
	}
	head, body, err := readHead(run, start)
	if err != nil {
		run.Leave()
		if _, failed := run.Wait(); failed != nil {
			return failed
		}
		a.Log.Debug("answer of a function is not one for its URL", "function", q.ref.Name, "requestId", q.id, "error", err)
		return errFunction
	}
	setTrace(w, start.Trace)
	head.headTo(w, q, "application/octet-stream")
	out := pump.New(w, run.Ended())
	silent := !bodyAllowed(head.status) || q.Method == http.MethodHead
	err = out.Flush()
	for piece, more := body, true; more && err == nil; piece, more = run.Next() {
		if !silent {
			err = out.Write(piece)
		}
	}
	run.Leave()
	result, failed := run.Wait()
	_ = out.Close()
	if failed != nil || result.FunctionError != "" {
		// The caller has a part of an answer, and must not take it for all.
		panic(http.ErrAbortHandler)
	}
	return nil
}

// readHead reads from a stream what comes before the body, and what of the body
// came with it.
func readHead(run *invoke.Streaming, start alcove.StreamStart) (head answer, body []byte, err error) {
	kind, _, _ := strings.Cut(start.ContentType, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), preludeType) {
		head = answer{status: http.StatusOK, header: http.Header{}}
		if start.ContentType != "" && plainValue(start.ContentType) {
			head.header["Content-Type"] = []string{start.ContentType}
		}
		return head, nil, nil
	}
	var p prelude
	for {
		piece, more := run.Next()
		if !more {
			return answer{}, nil, errors.New("the stream ended within its prelude")
		}
		if head, body, done, err := p.add(piece); done || err != nil {
			return head, body, err
		}
	}
}
