package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// maxStreams bounds the streams of events that are open at once. Where all are taken,
// whoever has most loses one to who has few.
const maxStreams = 200

// aliveInterval is how long a stream is silent at most: a page that hears nothing for
// longer takes it that the connection is lost.
const aliveInterval = 10 * time.Second

// stream is an answer of server-sent events.
//
// Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
type stream struct {
	w     http.ResponseWriter
	flush *http.ResponseController
	b     bytes.Buffer
	id    string // of the events from now on, which a browser that connects again names; empty is none
}

// events begins a stream, which ends when the reader leaves, its session ends, or
// the node stops. run is given the context that then ends.
func (q *request) events(run func(context.Context, *stream) error) error {
	select {
	case q.who.share.streams <- struct{}{}:
		defer func() { <-q.who.share.streams }()
	default:
		return tooManyStreams(fmt.Sprintf("Your key follows %d of them at once, which is all that one may. Close some.", cap(q.who.share.streams)))
	}
	ctx, cancel := context.WithCancelCause(q.Context())
	defer cancel(nil)
	place := q.con.streams.Take(q.who.name, func() {
		cancel(tooManyStreams("Somebody came who follows fewer, and your key had most of them. Close some."))
	})
	if place == nil {
		return tooManyStreams(fmt.Sprintf("All %d of this node are followed, and no key has many. Close some, or wait until somebody does.", maxStreams))
	}
	defer place.Leave()
	defer context.AfterFunc(q.con.stopped, func() { cancel(nil) })()
	h := q.w.Header()
	h.Set("Content-Type", "text/event-stream")
	s := &stream{w: q.w, flush: http.NewResponseController(q.w)}
	err := run(ctx, s)
	var p *problem
	switch {
	case errors.As(context.Cause(ctx), &p): // its place is another key's now
	case err == nil || ctx.Err() != nil:
		return nil
	default:
		p = explain(err)
	}
	if s.b.Cap() == 0 {
		return p // nothing was sent: an answer with a status of its own
	}
	_ = s.send("problem", p.event())
	return nil
}

func tooManyStreams(detail string) *problem {
	return &problem{Status: http.StatusTooManyRequests, Title: "Too many live pages are open", Detail: detail}
}

// send sends one event, with v as JSON.
func (s *stream) send(event string, v any) error {
	if err := s.write(event, v); err != nil {
		return err
	}
	return s.flush.Flush()
}

// write is send of an event that may wait for more, until somebody flushes.
func (s *stream) write(event string, v any) error {
	text, err := json.Marshal(v) // on one line
	if err != nil {
		return err
	}
	s.b.Reset()
	if s.id != "" {
		s.b.WriteString("id: ")
		s.b.WriteString(s.id)
		s.b.WriteString("\n")
	}
	s.b.WriteString("event: ")
	s.b.WriteString(event)
	s.b.WriteString("\ndata: ")
	s.b.Write(text)
	s.b.WriteString("\n\n")
	if err := s.flush.SetWriteDeadline(time.Now().Add(bodyTime)); err == nil {
		defer func() { _ = s.flush.SetWriteDeadline(time.Time{}) }()
	}
	_, err = s.w.Write(s.b.Bytes())
	return err
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
