package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// maxStreams bounds the streams of events that are open at once.
const maxStreams = 200

// stream is an answer of server-sent events.
//
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
type stream struct {
	w     http.ResponseWriter
	flush *http.ResponseController
	b     bytes.Buffer
}

// events begins a stream, which ends when the reader leaves, its session ends, or
// the node stops. run is given the context that then ends.
func (q *request) events(run func(context.Context, *stream) error) error {
	select {
	case q.con.streams <- struct{}{}:
		defer func() { <-q.con.streams }()
	default:
		return &problem{Status: http.StatusServiceUnavailable, Title: "Too many pages are open", Detail: "Close some, then reload this one."}
	}
	ctx, cancel := context.WithCancel(q.Context())
	defer cancel()
	defer context.AfterFunc(q.con.stopped, cancel)()
	h := q.w.Header()
	h.Set("Content-Type", "text/event-stream")
	s := &stream{w: q.w, flush: http.NewResponseController(q.w)}
	err := run(ctx, s)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	p := explain(err)
	if s.b.Cap() == 0 {
		return p // nothing was sent: an answer with a status of its own
	}
	_ = s.send("problem", map[string]any{"title": p.Title, "detail": p.Detail, "signIn": p.SignIn})
	return nil
}

// send sends one event, with v as JSON.
func (s *stream) send(event string, v any) error {
	text, err := json.Marshal(v) // on one line
	if err != nil {
		return err
	}
	s.b.Reset()
	s.b.WriteString("event: ")
	s.b.WriteString(event)
	s.b.WriteString("\ndata: ")
	s.b.Write(text)
	s.b.WriteString("\n\n")
	if err := s.flush.SetWriteDeadline(time.Now().Add(bodyTime)); err == nil {
		defer func() { _ = s.flush.SetWriteDeadline(time.Time{}) }()
	}
	if _, err := s.w.Write(s.b.Bytes()); err != nil {
		return err
	}
	return s.flush.Flush()
}

// every calls fn at once and then at each interval, until it fails, ctx ends or
// the session is over.
func (q *request) every(ctx context.Context, interval time.Duration, fn func() error) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		if !q.con.Open && q.con.sessions.over(q.who) {
			return &problem{Status: http.StatusUnauthorized, Title: "Your session is over", Detail: "Sign in again to go on.", SignIn: true}
		}
		if err := fn(); err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}
