package async

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
)

// The kinds of records. The first byte of each is its kind, and every other
// member is written in the order of its struct: integers as varints, texts with
// their length before them.
const (
	kindEvent = 'e' // an event as it stands; a later one replaces an earlier one
	kindStart = 's' // a run of one begins
	kindRetry = 'r' // how often it has failed, and when it is due
	kindDone  = 'd' // it is gone
	kindClock = 'c' // the system's clock was set
	kindKey   = 'k' // the result of a call with an idempotency key
)

// event is an accepted event as it is on the disk, but for its payload.
type event struct {
	seq      uint64
	accepted int64 // milliseconds, Unix
	due      int64
	starts   uint16
	failures uint8
	trouble  uint8
	stage    stage

	id            uuid.UUID // the request id
	functionID    string
	name          string
	qualifier     string // as the caller named it; may be empty
	tenant        alcove.Tenant
	clientContext string
	trace         string // alcove.Trace.Text
	caller        alcove.Caller
	request       int // bytes of the payload in the record's body; the rest is the response

	outcome outcome
}

// outcome is what became of an event that has run for the last time.
type outcome struct {
	condition string // as AWS's records have it
	ended     int64  // milliseconds, Unix
	// ran says that the function answered: status, version and functionError are
	// the answer's, the response is behind the payload.
	ran           bool
	status        int
	version       string
	functionError string
	errorMessage  string // for a dead letter queue, and for whoever looks
	destination   string // ARN, empty if none is owed
	deadLetter    string
	attempts      int // of delivery
}

var errMeta = errors.New("async: record cannot be read")

// writer appends members of a record.
type writer []byte

func (w *writer) uint(v uint64) { *w = binary.AppendUvarint(*w, v) }
func (w *writer) int(v int64)   { *w = binary.AppendVarint(*w, v) }
func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	*w = append(*w, s...)
}

func (w *writer) bool(b bool) {
	if b {
		w.uint(1)
	} else {
		w.uint(0)
	}
}

// reader reads them; after an error everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) bytes(into []byte) {
	if len(r.b) < len(into) {
		r.fail()
		return
	}
	copy(into, r.b)
	r.b = r.b[len(into):]
}

// small is a number that has to fit.
func (r *reader) small(most uint64) uint64 {
	v := r.uint()
	if v > most {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) bool() bool { return r.small(1) == 1 }

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) err() error {
	if r.bad || len(r.b) > 0 {
		return errMeta
	}
	return nil
}

func (e *event) encode() []byte {
	w := make(writer, 0, 384)
	w = append(w, kindEvent)
	w.uint(e.seq)
	w.int(e.accepted)
	w.int(e.due)
	w.uint(uint64(e.starts))
	w.uint(uint64(e.failures))
	w.uint(uint64(e.trouble))
	w.uint(uint64(e.stage))
	w = append(w, e.id[:]...)
	for _, s := range []string{e.functionID, e.name, e.qualifier, string(e.tenant), e.clientContext, e.trace,
		e.caller.AccessKeyID, e.caller.Account, e.caller.ARN, e.caller.UserID} {
		w.text(s)
	}
	source, _ := e.caller.Source.MarshalBinary() // never fails
	w.text(string(source))
	w.uint(uint64(e.request))
	o := &e.outcome
	w.text(o.condition)
	if o.condition != "" {
		w.int(o.ended)
		w.bool(o.ran)
		w.uint(uint64(o.status))
		for _, s := range []string{o.version, o.functionError, o.errorMessage, o.destination, o.deadLetter} {
			w.text(s)
		}
		w.uint(uint64(o.attempts))
	}
	return w
}

func decodeEvent(meta []byte, body int) (*event, error) {
	r := &reader{b: meta[1:]}
	e := &event{seq: r.uint(), accepted: r.int(), due: r.int(), starts: uint16(r.small(1<<16 - 1)), failures: uint8(r.small(255)),
		trouble: uint8(r.small(255)), stage: stage(r.small(uint64(stageDead)))}
	r.bytes(e.id[:])
	var tenant, source string
	for _, s := range []*string{&e.functionID, &e.name, &e.qualifier, &tenant, &e.clientContext, &e.trace,
		&e.caller.AccessKeyID, &e.caller.Account, &e.caller.ARN, &e.caller.UserID, &source} {
		*s = r.text()
	}
	e.tenant = alcove.Tenant(tenant)
	var addr netip.Addr
	if addr.UnmarshalBinary([]byte(source)) != nil {
		r.fail()
	}
	e.caller.Source = addr
	e.request = int(r.small(uint64(body)))
	o := &e.outcome
	if o.condition = r.text(); o.condition != "" {
		o.ended, o.ran, o.status = r.int(), r.bool(), int(r.small(999))
		for _, s := range []*string{&o.version, &o.functionError, &o.errorMessage, &o.destination, &o.deadLetter} {
			*s = r.text()
		}
		o.attempts = int(r.small(1 << 30))
	}
	if e.stage == stageFree || (e.stage >= stageOwed) != (o.condition != "") {
		r.fail()
	}
	return e, r.err()
}

// change is a record of an event's fate that leaves its payload where it is.
type change struct {
	kind     byte
	seq      uint64
	due      int64
	starts   uint16
	failures uint8
	trouble  uint8
}

func (c change) encode() []byte {
	w := writer{c.kind}
	w.uint(c.seq)
	switch c.kind {
	case kindStart:
		w.uint(uint64(c.starts))
	case kindRetry:
		w.int(c.due)
		w.uint(uint64(c.starts))
		w.uint(uint64(c.failures))
		w.uint(uint64(c.trouble))
	}
	return w
}

func decodeChange(meta []byte) (change, error) {
	r := &reader{b: meta[1:]}
	c := change{kind: meta[0], seq: r.uint()}
	switch c.kind {
	case kindStart:
		c.starts = uint16(r.small(1<<16 - 1))
	case kindRetry:
		c.due, c.starts, c.failures, c.trouble = r.int(), uint16(r.small(1<<16-1)), uint8(r.small(255)), uint8(r.small(255))
	}
	return c, r.err()
}

// step says that the system's clock was set by so many milliseconds: what was
// written before is to be read as if it had been.
type step struct{ by int64 }

func (s step) encode() []byte {
	w := writer{kindClock}
	w.int(s.by)
	return w
}

func decodeStep(meta []byte) (step, error) {
	r := &reader{b: meta[1:]}
	s := step{r.int()}
	return s, r.err()
}

// key is the result of a call with an idempotency key.
type key struct {
	seq     uint64
	made    int64 // milliseconds, Unix
	digest  digest
	payload digest // of the event that it came with
	party   string
	kind    keyKind
	report  string // JSON of alcove.Report, or of an event the request id
	failed  string // X-Amz-Function-Error
}

// keyKind is what is kept for a key.
type keyKind uint8

const (
	keyResult keyKind = iota // the answer, in the record's body
	keyEvent                 // the call was accepted as an event: its request id
	keyRan                   // the call has run, and there was no room for its answer
)

// digest names a key, or a payload, for comparison.
type digest [16]byte

func (k *key) encode() []byte {
	w := writer{kindKey}
	w.uint(k.seq)
	w.int(k.made)
	w = append(w, k.digest[:]...)
	w = append(w, k.payload[:]...)
	w.text(k.party)
	w.uint(uint64(k.kind))
	w.text(k.report)
	w.text(k.failed)
	return w
}

func decodeKey(meta []byte) (*key, error) {
	r := &reader{b: meta[1:]}
	k := &key{seq: r.uint(), made: r.int()}
	r.bytes(k.digest[:])
	r.bytes(k.payload[:])
	k.party = r.text()
	k.kind, k.report, k.failed = keyKind(r.small(uint64(keyRan))), r.text(), r.text()
	return k, r.err()
}
