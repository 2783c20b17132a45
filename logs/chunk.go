package logs

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/alcove-run/alcove"
)

// A chunk is some events of one stream and one tenant that were stored together, in
// the order of their times: a part of a batch or, in days from before there were
// batches, a row. An event's number is the chunk's plus its place in it. Stored, an
// event is its time after the chunk's first in milliseconds, its length, and its
// message; numbers are varints. A block is a chunk, too, with a payload of its own
// kind.
type chunk struct {
	id          int64 // the first event's number, or a block's
	group       int64
	stream      int64
	tenant      alcove.Tenant
	least, most int64 // first and last time, Unix milliseconds
	lines       int
	payload     []byte
	block       bool
	part        part // of a batch, where its payload is

	// events are what a chunk on its way to the disk is made of.
	events []*event
}

const (
	// chunkSpan bounds most-least, in milliseconds: a query that begins at some
	// time looks at chunks that begin up to so much earlier.
	chunkSpan = 250
	// chunkBytes is about how large a chunk's payload grows.
	chunkBytes = 64 << 10

	dayMillis = int64(24 * time.Hour / time.Millisecond)
)

// dayOf is the day that a time belongs to, as days since 1970. Times before are
// in day zero's past and floor as well.
func dayOf(ms int64) int64 {
	day := ms / dayMillis
	if ms%dayMillis < 0 {
		day--
	}
	return day
}

// run is the events of one stream and tenant in a batch.
type run struct {
	w      *Writer
	tenant alcove.Tenant
	events []*event
}

// gather sorts events into runs, in the order of their first events.
func gather(events []event) []*run {
	var runs []*run
	byKey := make(map[lossKey]*run) // several writers may write to one stream
	for i := range events {
		e := &events[i]
		r := e.w.run
		if r == nil || r.tenant != e.tenant {
			key := e.lossKey()
			if r = byKey[key]; r == nil {
				r = &run{w: e.w, tenant: e.tenant}
				byKey[key] = r
				runs = append(runs, r)
			}
			e.w.run = r
		}
		r.events = append(r.events, e)
	}
	for i := range events {
		events[i].w.run = nil
	}
	for _, r := range runs {
		byTime := func(a, b *event) int { return cmp.Compare(a.at, b.at) }
		if !slices.IsSortedFunc(r.events, byTime) {
			slices.SortStableFunc(r.events, byTime)
		}
	}
	return runs
}

// chunks splits a run. Chunk ids are given later.
func (r *run) chunks() []chunk {
	var list []chunk
	for _, e := range r.events {
		n := len(list) - 1
		if n < 0 || e.at-list[n].least > chunkSpan || dayOf(e.at) != dayOf(list[n].least) ||
			len(list[n].payload)+len(e.message) > chunkBytes {
			list = append(list, chunk{group: r.w.groupID, stream: r.w.streamID, tenant: r.tenant, least: e.at})
			n++
		}
		c := &list[n]
		c.most = e.at
		c.lines++
		c.events = append(c.events, e)
		c.payload = binary.AppendUvarint(c.payload, uint64(e.at-c.least))
		c.payload = binary.AppendUvarint(c.payload, uint64(len(e.message)))
		c.payload = append(c.payload, e.message...)
	}
	return list
}

var errChunk = errors.New("damaged chunk")

// place is one event inside a chunk: its time, its number and its message.
type place struct {
	at, id  int64
	message []byte
}

// places takes a chunk apart. Messages are slices of its payload, or of memory of
// their own.
func (c *chunk) places(codec codec) ([]place, error) {
	if c.block {
		return codec.decode(c.payload, c.least, c.lines)
	}
	buf := make([]place, 0, min(c.lines, len(c.payload)))
	for p := c.payload; len(p) > 0; {
		delta, n := binary.Uvarint(p)
		if n <= 0 || delta > chunkSpan {
			return nil, errChunk
		}
		p = p[n:]
		size, n := binary.Uvarint(p)
		if n <= 0 || size > uint64(len(p)-n) {
			return nil, errChunk
		}
		buf = append(buf, place{c.least + int64(delta), c.id + int64(len(buf)), p[n : n+int(size) : n+int(size)]})
		p = p[n+int(size):]
	}
	if len(buf) != c.lines {
		return nil, errChunk
	}
	return buf, nil
}
