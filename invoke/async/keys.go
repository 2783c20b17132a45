package async

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async/spool"
)

const (
	// keyAge is how long the result of a call with an idempotency key is kept.
	keyAge = 24 * time.Hour
	// MaxKey is how long a key may be.
	MaxKey = 255
	// keyRoom is what an answer may take of the disk: Lambda's limit of one, and its
	// record.
	keyRoom = 6<<20 + 8<<10
)

// flight is a call with an idempotency key that is under way.
type flight struct {
	done  chan struct{}
	party string
}

// keyEntry is a kept result, in the order in which they were made.
type keyEntry struct {
	digest digest
	made   int64
	i      uint32
	party  *party
}

// Once invokes a function for a call with an idempotency key, or gives what the
// first call with it was answered: for a day, the same key with the same function
// and tenant runs once. One that comes while the first is under way waits for it.
// What ended with an error ran for nobody, or nobody knows: the key is free again.
//
// Of an event, the result has nothing but a report with the request id.
func (q *Queue) Once(ctx context.Context, caller alcove.Caller, req invoke.Request, event bool, text string) (res *alcove.Result, repeated bool, err error) {
	if len(text) > MaxKey {
		return nil, false, alcove.InvalidParameter("An idempotency key has at most %d characters.", MaxKey)
	}
	v, err := q.cfg.Invoker.Check(req)
	if err != nil {
		return nil, false, err
	}
	k := &key{digest: digestOf(v.FunctionID, string(req.Tenant), text), payload: digestOf(req.Ref.Qualifier, string(req.Payload)),
		party: partyKey(v.FunctionID, req.Tenant)}
	if event {
		k.kind = keyEvent
	}
	for {
		first, wait, err := q.claim(k)
		if err != nil {
			return nil, false, err
		}
		if wait != nil {
			select {
			case <-wait.done:
				continue
			case <-ctx.Done():
				return nil, false, context.Cause(ctx)
			}
		}
		if first != nil {
			return q.repeat(caller, req, k, *first)
		}
		break
	}
	defer q.land(k)
	res, err = q.first(ctx, caller, req, k)
	return res, false, err
}

func digestOf(parts ...string) (d digest) {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		io.WriteString(h, p)
	}
	copy(d[:], h.Sum(nil))
	return d
}

// claim makes a key the caller's, or gives where the first result is, or the flight
// of whoever has the key now.
func (q *Queue) claim(k *key) (first *spool.Place, wait *flight, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if f := q.flights[k.digest]; f != nil {
		return nil, f, nil
	}
	if i, ok := q.keys[k.digest]; ok {
		if it := q.items.at(i); q.now().UnixMilli()-it.accepted < keyAge.Milliseconds() {
			at := it.place
			return &at, nil, nil
		}
	}
	p, m := q.parties[k.party], q.cfg.Limits
	left := m.Keys - len(q.keys) - len(q.flights) // as with events, nobody has more than this
	share := q.keyShare()
	if left <= 0 || share <= 0 || p != nil && (p.keys >= min(max(1, m.Keys/deadShare), left) || p.kept > share-min(keyRoom, share/4)) {
		return nil, nil, alcove.Throttled(alcove.ReasonEventQueue, alcove.LimitIdempotencyKeys)
	}
	q.flights[k.digest] = &flight{make(chan struct{}), k.party}
	return nil, nil, nil
}

// keyShare is how many bytes of kept results one party may have: never more than is left
// for others'. For the holder of mu.
func (q *Queue) keyShare() int64 {
	return min(q.cfg.Limits.PartyBytes/deadShare, q.cfg.Limits.Bytes/deadShare-q.keyBytes)
}

// land ends the flight of a key.
func (q *Queue) land(k *key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.flights[k.digest].done)
	delete(q.flights, k.digest)
}

// repeat answers with a result that is kept.
func (q *Queue) repeat(caller alcove.Caller, req invoke.Request, k *key, at spool.Place) (*alcove.Result, bool, error) {
	r, err := q.spool.Read(at)
	if err != nil {
		return nil, false, alcove.PlatformError(fmt.Errorf("result of an idempotency key: %w", err))
	}
	first, err := decodeKey(r.Meta)
	switch {
	case err != nil:
		return nil, false, alcove.PlatformError(err)
	case first.payload != k.payload:
		return nil, false, alcove.InvalidParameter("The idempotency key was used with another payload, or for another version or alias. Use one key for one event.")
	case (first.kind == keyEvent) != (k.kind == keyEvent):
		return nil, false, alcove.InvalidParameter("The idempotency key was used with another InvocationType. Use one key for one event.")
	}
	res := &alcove.Result{Payload: r.Body, FunctionError: first.failed}
	if first.kind == keyEvent {
		res = &alcove.Result{Report: alcove.Report{RequestID: first.report}}
	} else if err := json.Unmarshal([]byte(first.report), &res.Report); err != nil {
		return nil, false, alcove.PlatformError(err)
	}
	if first.kind == keyRan {
		return nil, false, alcove.ClientError(alcove.CodeResourceConflict, "The first call with this idempotency key has run, under the request id %s, and there was no room to keep its answer. It is not run again.", res.Report.RequestID)
	}
	if err := q.cfg.Record(caller, req, res.Report.RequestID, true); err != nil {
		return nil, false, err
	}
	return res, true, nil
}

// first is the call that the key belongs to.
func (q *Queue) first(ctx context.Context, caller alcove.Caller, req invoke.Request, k *key) (*alcove.Result, error) {
	q.mu.Lock()
	k.made = q.wall(q.now().UnixMilli())
	k.seq = q.seq
	q.seq++
	q.mu.Unlock()
	if k.kind == keyEvent {
		id, trace, at, err := q.accept(ctx, caller, req, k)
		if err != nil {
			return nil, err
		}
		q.file(k, at)
		return &alcove.Result{Report: alcove.Report{RequestID: id}, Trace: trace}, nil
	}
	// What could not be kept is not begun.
	if err := q.spare(keyRoom); err != nil {
		e := alcove.PlatformError(fmt.Errorf("call with an idempotency key not begun: %w", err))
		e.Message = "The function was not invoked: the node cannot keep its answer for the idempotency key now. Try again later."
		return nil, e
	}
	res, err := q.cfg.Invoker.Invoke(ctx, caller, req)
	if err != nil {
		return nil, err
	}
	if err := q.keepResult(k, res); err != nil {
		// The function has run, and its caller gets the answer.
		q.log.Error("the result of a call with an idempotency key is not kept", "requestId", res.Report.RequestID, "error", err)
	}
	return res, nil
}

// keepResult keeps what a call was answered, or only that it has run if there is no
// room for more: of many calls at once, none knows how long the others' answers are.
func (q *Queue) keepResult(k *key, res *alcove.Result) error {
	report, err := json.Marshal(res.Report)
	if err != nil {
		return err
	}
	k.report, k.failed = string(report), res.FunctionError
	r := spool.Record{Body: res.Payload}
	q.mu.Lock()
	p, size := q.party(k.party), int64(len(res.Payload))
	q.keyBytes += size // until it is filed
	p.kept += size
	full := p.kept > q.keyShare()
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		q.keyBytes -= size
		p.kept -= size
		q.forgetParty(p)
		q.mu.Unlock()
	}()
	if full || q.spare(size) != nil {
		k.kind, r.Body = keyRan, nil
	}
	r.Meta = k.encode()
	places, mark, err := q.spool.Append(r)
	if err != nil {
		return err
	}
	if err := q.spool.Sync(mark); err != nil {
		q.spool.Release(places[0])
		return err
	}
	q.file(k, places[0])
	return nil
}

// file notes where a result is.
func (q *Queue) file(k *key, at spool.Place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := q.items.make()
	it := q.items.at(i)
	it.seq, it.accepted, it.place, it.stage = k.seq, k.made-q.offset, at, stageKey
	q.shelve(k.digest, i, q.party(k.party))
}

// shelve puts a result into the index. For the holder of mu.
func (q *Queue) shelve(d digest, i uint32, p *party) {
	it := q.items.at(i)
	if old, ok := q.keys[d]; ok {
		q.unshelve(d, old)
	}
	q.keys[d] = i
	q.keyBytes += int64(it.place.Size)
	p.keys++
	p.kept += int64(it.place.Size)
	q.keyLine = append(q.keyLine, keyEntry{d, it.accepted, i, p})
}

// unshelve takes a result out of the index, if it is still there.
func (q *Queue) unshelve(d digest, i uint32) {
	if now, ok := q.keys[d]; !ok || now != i {
		return
	}
	for j := range q.keyLine { // the oldest is nearly always first
		if e := q.keyLine[j]; e.i == i && e.digest == d {
			if j == 0 {
				q.keyLine = q.keyLine[1:]
			} else {
				q.keyLine = slices.Delete(q.keyLine, j, j+1)
			}
			q.discardKey(e)
			return
		}
	}
}

// discardKey takes a result out of the index that is in the line no more.
func (q *Queue) discardKey(e keyEntry) {
	it := q.items.at(e.i)
	size := int64(it.place.Size)
	e.party.keys--
	e.party.kept -= size
	q.forgetParty(e.party)
	delete(q.keys, e.digest)
	q.keyBytes -= size
	q.spool.Release(it.place)
	q.items.release(e.i)
}

// discardKeys takes all results of a party out of the index. For the holder of mu.
func (q *Queue) discardKeys(party string) {
	q.keyLine = slices.DeleteFunc(q.keyLine, func(e keyEntry) bool {
		mine := e.party.key == party
		if mine {
			q.discardKey(e)
		}
		return mine
	})
}

// forgetKeys lets go of results that are too old, a few at a time.
func (q *Queue) forgetKeys(now time.Time) {
	oldest := now.Add(-keyAge).UnixMilli()
	for range 10 * expireAtOnce {
		q.mu.Lock()
		if len(q.keyLine) == 0 || q.keyLine[0].made > oldest {
			q.mu.Unlock()
			return
		}
		q.unshelve(q.keyLine[0].digest, q.keyLine[0].i)
		q.mu.Unlock()
	}
}

// sortKeys orders the results that were read.
func (q *Queue) sortKeys() {
	slices.SortFunc(q.keyLine, func(a, b keyEntry) int { return cmp.Compare(a.made, b.made) })
}
