package logsapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alcove-run/alcove/internal/eventstream"
	"github.com/alcove-run/alcove/logs"
)

const (
	// updateEvery is how often a session says what came, if anything.
	updateEvery = time.Second
	// updateEvents and updateBytes bound an update; of what is more it has a sample.
	updateEvents = 500
	updateBytes  = 1 << 20
	// waitingUpdates is how many updates wait for a client who reads slowly: then the
	// oldest is dropped.
	waitingUpdates = 10
	// stalled is how long a client may take to read one update.
	stalled = time.Minute
	// headStart is how long the answer waits: the SDK for Go closes a connection that
	// has an answer before it is done with sending the request.
	headStart = 20 * time.Millisecond
	// sessionTime is how long a session lasts.
	sessionTime = 3 * time.Hour
)

// liveTailSessionLogEvent is an event in an update.
type liveTailSessionLogEvent struct {
	IngestionTime      int64  `json:"ingestionTime"`
	LogGroupIdentifier string `json:"logGroupIdentifier"`
	LogStreamName      string `json:"logStreamName"`
	Message            string `json:"message"`
	Timestamp          int64  `json:"timestamp"`

	number int // in the order in which they came
}

// liveTailSessionUpdate is what came since the update before.
type liveTailSessionUpdate struct {
	SessionMetadata struct {
		Sampled bool `json:"sampled"`
	} `json:"sessionMetadata"`
	SessionResults []liveTailSessionLogEvent `json:"sessionResults"`
}

// frameWriter is where frames go; a write that takes until its deadline fails.
type frameWriter interface {
	Write(b []byte) (int, error)
	Flush() error
	SetWriteDeadline(t time.Time) error
}

// liveTail is a session: a goroutine for each group gathers what comes, one sends
// updates, and run ends them all.
type liveTail struct {
	out     frameWriter
	start   []byte // the payload of the first event
	groups  []tailed
	wants   func(stream string) bool // nil is any
	tail    func(ctx context.Context, q logs.Query, ready func(), fn func(logs.Event) error) error
	revoked <-chan struct{}
	ending  <-chan struct{}
	lost    <-chan struct{} // closed when its place is somebody else's
	log     *slog.Logger

	mu    sync.Mutex
	now   sample
	queue []liveTailSessionUpdate
	more  chan struct{} // one element while something waits to be sent
}

// What ends a session, as its client is told.
var (
	errSessionTime = errors.New("the session has been open for three hours")
	errRevoked     = errors.New("the access key is not accepted any more")
	errEnding      = errors.New("the node is ending")
	errLost        = errors.New("others have fewer sessions and need its place")
	errNotReading  = errors.New("the client does not read")
)

// run serves a session until it ends.
func (s *liveTail) run(ctx context.Context) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s.more = make(chan struct{}, 1)
	var running, ready sync.WaitGroup
	for _, g := range s.groups {
		ready.Add(1)
		running.Go(func() {
			once := sync.OnceFunc(ready.Done)
			defer once()
			err := s.tail(ctx, g.query, once, func(e logs.Event) error {
				if s.wants == nil || s.wants(e.Stream) {
					s.add(g.identifier, &e)
				}
				return nil
			})
			end(err) // of the session's if that has ended
		})
	}
	ready.Wait()
	time.Sleep(headStart)
	running.Go(func() {
		if !s.send(eventstream.Append(nil, eventstream.Event("initial-response", contentType), []byte("{}"))) ||
			!s.send(eventstream.Append(nil, eventstream.Event("sessionStart", "application/json"), s.start)) || !s.sendUpdates(ctx) {
			end(errNotReading)
		}
	})
	s.wait(ctx, end)
	running.Wait()
	s.bye(context.Cause(ctx))
	_ = s.out.SetWriteDeadline(time.Time{}) // the connection may go on
}

// wait makes an update of what came every second until the session ends.
func (s *liveTail) wait(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(updateEvery)
	defer tick.Stop()
	last := time.NewTimer(sessionTime)
	defer last.Stop()
	for {
		select {
		case <-tick.C:
			s.enqueue()
		case <-last.C:
			end(errSessionTime)
		case <-s.revoked:
			end(errRevoked)
		case <-s.ending:
			end(errEnding)
		case <-s.lost:
			end(errLost)
		case <-ctx.Done():
			return
		}
	}
}

// add takes an event into the next update, or into the sample that it has.
func (s *liveTail) add(group string, e *logs.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.add(liveTailSessionLogEvent{IngestionTime: e.Ingested.UnixMilli(), LogGroupIdentifier: group, LogStreamName: e.Stream,
		Message: string(e.Message), Timestamp: e.At.UnixMilli()})
}

// sample is of so many events as an update may have, each as likely as any other
// as far as their size allows.
type sample struct {
	events []liveTailSessionLogEvent
	bytes  int
	seen   int
}

func (s *sample) add(e liveTailSessionLogEvent) {
	e.number = s.seen
	s.seen++
	if len(s.events) < updateEvents && s.bytes+len(e.Message) <= updateBytes {
		s.events = append(s.events, e)
		s.bytes += len(e.Message)
		return
	}
	if i := rand.IntN(s.seen); i < len(s.events) {
		if bytes := s.bytes - len(s.events[i].Message) + len(e.Message); bytes <= updateBytes {
			s.events[i], s.bytes = e, bytes
		}
	}
}

// update makes an update of a sample.
func (s *sample) update() liveTailSessionUpdate {
	u := liveTailSessionUpdate{SessionResults: s.events}
	u.SessionMetadata.Sampled = s.seen > len(s.events)
	if u.SessionResults == nil {
		u.SessionResults = []liveTailSessionLogEvent{}
	}
	slices.SortFunc(u.SessionResults, func(a, b liveTailSessionLogEvent) int { return a.number - b.number })
	return u
}

// enqueue gives the sender the next update, in the place of the oldest if many wait.
func (s *liveTail) enqueue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.now.update()
	s.now = sample{}
	if len(s.queue) == waitingUpdates {
		s.queue = slices.Delete(s.queue, 0, 1)
	}
	s.queue = append(s.queue, u)
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// sendUpdates sends updates until the session ends, and says whether its client
// read them.
func (s *liveTail) sendUpdates(ctx context.Context) bool {
	for {
		select {
		case <-s.more:
		case <-ctx.Done():
			return true
		}
		for {
			s.mu.Lock()
			if len(s.queue) == 0 {
				s.mu.Unlock()
				break
			}
			u := s.queue[0]
			s.queue = slices.Delete(s.queue, 0, 1)
			s.mu.Unlock()
			text, err := json.Marshal(u)
			if err != nil { // strings and numbers
				panic(err)
			}
			if !s.send(eventstream.Append(nil, eventstream.Event("sessionUpdate", "application/json"), text)) {
				return false
			}
		}
	}
}

// send writes a frame, and says whether the client took it in time.
func (s *liveTail) send(frame []byte) bool {
	// Writers of tests cannot do it; the server's can.
	_ = s.out.SetWriteDeadline(time.Now().Add(stalled))
	if _, err := s.out.Write(frame); err != nil {
		return false
	}
	return s.out.Flush() == nil
}

// bye tells the client why the session ends, if it may still listen.
func (s *liveTail) bye(why error) {
	name, message := "SessionStreamingException", ""
	switch {
	case errors.Is(why, errSessionTime):
		name, message = "SessionTimeoutException", "The Live Tail session has been open for three hours."
	case errors.Is(why, errRevoked), errors.Is(why, errEnding), errors.Is(why, errLost), errors.Is(why, logs.ErrClosed):
		message = "The Live Tail session ends: " + strings.TrimPrefix(why.Error(), "logs: ") + "."
	case errors.Is(why, context.Canceled), errors.Is(why, errNotReading):
		return // nobody listens any more
	default:
		message = "The Live Tail session ends because of an internal error."
		s.log.Warn("live tail ended", "error", why)
	}
	text, err := json.Marshal(struct {
		Message string `json:"message"`
	}{message})
	if err != nil {
		panic(err)
	}
	s.send(eventstream.Append(nil, eventstream.Exception(name, "application/json"), text))
}
