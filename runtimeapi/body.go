package runtimeapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/alcove-run/alcove"
)

const (
	// maxBodies is how many bodies larger than smallBody an environment may be
	// sending at once; the others wait.
	maxBodies = 2
	smallBody = 64 << 10
	// maxDiscard is how much of a body that is too large is read and thrown
	// away, so that a client that sends first and reads then gets its answer.
	maxDiscard = 64 << 20
)

// errTooLarge means that a body is larger than alcove.MaxPayload. What is left
// of it has not been read.
var errTooLarge = errors.New("body too large")

// read reads the whole body of r into memory that the caller owns. It takes
// memory as bytes arrive, whatever length the client announced.
func (s *Server) read(r *http.Request) ([]byte, error) {
	n := r.ContentLength
	if n > alcove.MaxPayload {
		return nil, errTooLarge
	}
	if n >= 0 && n <= smallBody {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err
	}
	select {
	case s.bodies <- struct{}{}:
		defer func() { <-s.bodies }()
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
	var buf bytes.Buffer
	read, err := buf.ReadFrom(io.LimitReader(r.Body, alcove.MaxPayload+1))
	switch {
	case err != nil:
		return nil, err
	case read > alcove.MaxPayload:
		return nil, errTooLarge
	}
	return buf.Bytes(), nil
}

// discard reads some of what is left of a body.
func discard(r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, maxDiscard)
}
