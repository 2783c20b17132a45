package async

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/turn"
)

// Message is what goes to a destination, or to a dead letter queue.
type Message struct {
	Target string // ARN
	// Body is AWS's record of an invocation, or the event itself for a dead letter
	// queue.
	Body       []byte
	DeadLetter bool
	RequestID  string
	// ErrorCode and ErrorMessage are a dead letter's attributes; the code is zero if
	// the function did not answer.
	ErrorCode    int
	ErrorMessage string
	Success      bool
	Function     string
	FunctionARN  string // qualified
	Ended        time.Time
}

// Deliverer sends messages to what is not on this node.
type Deliverer interface {
	// Deliver returns when the destination has taken m. An error that wraps
	// ErrRejected will not go away by itself.
	Deliver(ctx context.Context, m Message) error
	// Reaches says whether there is an endpoint for an ARN.
	Reaches(arn string) bool
}

// ErrRejected is a message that a destination will never take.
var ErrRejected = errors.New("destination rejects the message")

const (
	// deliverTimeout bounds one try.
	deliverTimeout = 30 * time.Second
	// deliverFor is how long a result is tried to be delivered: as long as events
	// are kept.
	deliverFor = 6 * time.Hour
	// maxErrorMessage is how much of an error a dead letter tells.
	maxErrorMessage = 1 << 10
)

// outletKey names an outlet: where results go, and whose they are.
type outletKey struct{ target, party string }

// outlet is the results that wait for a destination, of one party.
type outlet struct {
	key   outletKey
	index uint32
	turn  *turn.Lane
	list  list
}

// outlet finds or makes the outlet of an event whose result is owed.
func (q *Queue) outlet(e *event) *outlet {
	target := e.outcome.destination
	if target == "" {
		target = e.outcome.deadLetter
	}
	k := outletKey{target, partyKey(e.functionID, e.tenant)}
	if i, ok := q.byTarget[k]; ok {
		return q.outlets[i]
	}
	// One destination is one party: if it hangs, it has a part of the places only.
	o := &outlet{key: k, turn: q.sends.Lane(target, target), list: newList()}
	if n := len(q.freeOut); n > 0 {
		o.index, q.freeOut = q.freeOut[n-1], q.freeOut[:n-1]
		q.outlets[o.index] = o
	} else {
		o.index = uint32(len(q.outlets))
		q.outlets = append(q.outlets, o)
	}
	o.turn.Tag = o.index
	q.byTarget[k] = o.index
	return o
}

func (q *Queue) forgetOutlet(o *outlet, now time.Time) {
	if o.list.n > 0 || !q.sends.Quiet(o.turn, now) {
		return
	}
	q.sends.Drop(o.turn)
	delete(q.byTarget, o.key)
	q.outlets[o.index] = nil
	q.freeOut = append(q.freeOut, o.index)
}

// lineOutlet puts an item behind the others of an outlet.
func (q *Queue) lineOutlet(o *outlet, i uint32) {
	it := q.items.at(i)
	it.stage, it.outlet = stageOwed, o.index
	o.list.push(&q.items, i)
	q.sends.Add(o.turn, 1)
}

// put has an event that has run for the last time go on: its result is owed, or it
// is a dead letter. For the holder of mu.
func (q *Queue) put(i uint32, e *event) {
	it := q.items.at(i)
	l := q.lanes[it.lane]
	if e.stage == stageOwed {
		if it.stage != stageSending {
			l.owed++
		}
		it.trouble = 0
		q.lineOutlet(q.outlet(e), i)
		return
	}
	if it.stage == stageSending {
		l.owed--
	}
	q.weigh(it, -1)
	q.depth--
	l.party.events--
	it.stage = stageDead
	q.weigh(it, 1)
	q.dead++
	l.dead.push(&q.items, i)
	q.fitDead(l)
}

// send delivers one result. The item is this goroutine's while its stage is
// sending.
func (q *Queue) send(o *outlet, i uint32) {
	q.mu.Lock()
	it := *q.items.at(i)
	l := q.lanes[it.lane]
	q.mu.Unlock()
	leave := func(worked bool) func() {
		return func() {
			if worked {
				q.sends.Finish(o.turn, q.now())
			} else {
				q.sends.Failed(o.turn, q.now())
			}
			q.forgetOutlet(o, q.now())
		}
	}
	e, body, err := q.load(i)
	if err != nil {
		q.log.Error("a result is lost: its record cannot be read", "function", l.key.name, "error", err)
		q.dropped(&event{name: l.key.name, qualifier: l.key.qualifier, tenant: l.key.tenant})
		q.done(i, leave(true))
		return
	}
	e.starts = it.starts
	some := false // of two, one has taken it
	err = nil
	for _, to := range []*string{&e.outcome.destination, &e.outcome.deadLetter} {
		if *to == "" {
			continue
		}
		if tried := q.deliver(e, body, *to, to == &e.outcome.deadLetter); tried == nil {
			*to, some = "", true
		} else {
			err = tried
			q.failedDelivery(e, to == &e.outcome.deadLetter)
		}
	}
	switch tooLong := q.now().UnixMilli()-(e.outcome.ended-q.shift()) > deliverFor.Milliseconds(); {
	case err == nil:
		q.done(i, leave(true))
	case errors.Is(err, ErrRejected) || tooLong:
		q.log.Error("a result is given up and kept as a dead letter: its destination did not take it", "function", l.key.name, "requestId", e.id.String(), "error", err)
		q.dropped(e)
		e.stage, e.outcome.condition = stageDead, conditionUndelivered+":"+e.outcome.condition
		e.outcome.errorMessage = clipText("delivery: "+err.Error(), maxErrorMessage)
		q.rewrite(i, e, body, leave(errors.Is(err, ErrRejected)))
	default:
		q.log.Warn("a result is not delivered and will be tried again", "function", l.key.name, "requestId", e.id.String(), "error", err)
		if some { // it is not to get it again
			e.stage = stageOwed
			q.rewrite(i, e, body, leave(false))
			return
		}
		q.mu.Lock()
		q.lineOutlet(o, i)
		leave(false)()
		q.dispatch()
		q.mu.Unlock()
	}
}

// shift is what the system's clock is ahead of the queue's.
func (q *Queue) shift() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.offset
}

// deliver sends one message.
func (q *Queue) deliver(e *event, body []byte, target string, deadLetter bool) error {
	ctx, cancel := context.WithTimeout(q.ctx, deliverTimeout)
	defer cancel()
	m := Message{Target: target, DeadLetter: deadLetter, RequestID: e.id.String(), Success: e.outcome.condition == conditionSuccess,
		Function: e.name, FunctionARN: q.arn(e), Ended: time.UnixMilli(e.outcome.ended).UTC(), Body: body[:e.request:e.request]}
	if deadLetter {
		m.ErrorMessage = clipText(e.outcome.errorMessage, maxErrorMessage)
		if e.outcome.ran {
			m.ErrorCode = e.outcome.status
		}
	} else {
		m.Body = q.record(e, body)
	}
	if strings.HasPrefix(target, "arn:"+q.cfg.Place.Partition+":lambda:") {
		return q.deliverHere(ctx, e, m)
	}
	if q.cfg.Deliver == nil {
		return errors.New("this node has no endpoint for " + target)
	}
	return q.cfg.Deliver.Deliver(ctx, m)
}

// Delivers says whether results can be sent to an ARN that is no function's.
func (q *Queue) Delivers(arn string) bool { return q.cfg.Deliver != nil && q.cfg.Deliver.Reaches(arn) }

// deliverHere invokes a function of this node with a record, as an event. An
// isolated one gets the tenant whose event it was.
func (q *Queue) deliverHere(ctx context.Context, e *event, m Message) error {
	ref, err := q.cfg.Place.ParseRef(m.Target, "")
	if err != nil {
		return errors.Join(ErrRejected, err)
	}
	v, err := q.cfg.Catalog.Resolve(ref)
	if err != nil {
		return err // it may be made again
	}
	req := invoke.Request{Ref: ref, Payload: m.Body}
	if v.Isolated() {
		req.Tenant = e.tenant
	}
	// Whoever comes next in the chain is counted from where this one was.
	req.Trace = alcove.ReadTraceText(e.trace)
	req.Trace.Enter(e.functionID)
	_, _, err = q.Accept(ctx, alcove.Caller{Account: q.cfg.Place.Account, ARN: q.cfg.Place.FunctionARN(e.name)}, req)
	if err == nil {
		return nil
	}
	if c := alcove.AsError(err).Code; c == alcove.CodeRequestEntityTooLarge || c == alcove.CodeInvalidParameterValue {
		return errors.Join(ErrRejected, err)
	}
	return err
}

// arn is the function of an event as records have it: always qualified.
func (q *Queue) arn(e *event) string {
	qualifier := e.qualifier
	if qualifier == "" {
		qualifier = alcove.Latest
	}
	return q.cfg.Place.FunctionARN(e.name) + ":" + qualifier
}

// invocationRecord is AWS's record of an invocation, member by member (recorded
// from the service).
type invocationRecord struct {
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	RequestContext  requestContext   `json:"requestContext"`
	RequestPayload  json.RawMessage  `json:"requestPayload"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	ResponsePayload json.RawMessage  `json:"responsePayload,omitempty"`
}

type requestContext struct {
	RequestID              string `json:"requestId"`
	FunctionARN            string `json:"functionArn"`
	Condition              string `json:"condition"`
	ApproximateInvokeCount int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

// record makes the record of an event's end.
func (q *Queue) record(e *event, body []byte) []byte {
	o := &e.outcome
	r := invocationRecord{
		Version: "1.0", Timestamp: time.UnixMilli(o.ended).UTC().Format("2006-01-02T15:04:05.000Z"),
		RequestContext: requestContext{RequestID: e.id.String(), FunctionARN: q.arn(e), Condition: o.condition, ApproximateInvokeCount: int(e.starts)},
		RequestPayload: asJSON(body[:e.request]),
	}
	if o.ran {
		r.ResponseContext = &responseContext{StatusCode: o.status, ExecutedVersion: o.version, FunctionError: o.functionError}
		r.ResponsePayload = asJSON(body[e.request:])
	}
	b, err := json.Marshal(r)
	if err != nil { // what asJSON gives is JSON
		panic(err)
	}
	return b
}

// asJSON is b, or b as a JSON string if it is none; nothing is null.
func asJSON(b []byte) json.RawMessage {
	switch {
	case len(b) == 0:
		return json.RawMessage("null")
	case json.Valid(b) && utf8.Valid(b):
		return b
	}
	s, _ := json.Marshal(string(b)) // a string is always JSON
	return s
}

// errorMessage is the message of a function's error object.
func errorMessage(payload []byte) string {
	var o struct {
		ErrorMessage string `json:"errorMessage"`
	}
	if json.Unmarshal(payload, &o) != nil {
		return ""
	}
	return clipText(o.ErrorMessage, maxErrorMessage)
}

// clipText is the beginning of s, in whole characters.
func clipText(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}
