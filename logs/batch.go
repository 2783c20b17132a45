package logs

import (
	"encoding/binary"

	"github.com/alcove-run/alcove"
)

// A batch is a row of a day's database with what was stored at one time, of
// whatever group, stream and tenant, one chunk behind another: writing it touches
// no other page. [Store.compact] makes blocks of batches before they are many. Its
// contents say what is in it, so that who looks for something reads no more of it.
type batch struct {
	id          int64 // the number of its last event
	first       int64 // and of its first; they follow each other
	least, most int64
	contents    []byte
	payload     []byte
}

const (
	// batchBytes is about how large a batch's payload grows.
	batchBytes = 256 << 10
	// What waits in batches is at most about so much, or so many rows. Contents count
	// several times: whoever reads has them in memory.
	waitingBytes   = 8 << 20
	waitingRows    = 1024
	contentsWeight = 4
)

// weight is what a batch counts for while it waits.
func (b *batch) weight() int64 { return int64(len(b.payload) + contentsWeight*len(b.contents)) }

// batches puts chunks, whose numbers follow each other, into batches.
func batches(list []chunk) []batch {
	var out []batch
	for len(list) > 0 {
		n, size := 0, 0
		for n < len(list) && (n == 0 || size+len(list[n].payload) <= batchBytes) {
			size += len(list[n].payload)
			n++
		}
		out = append(out, makeBatch(list[:n], size))
		list = list[n:]
	}
	return out
}

func makeBatch(list []chunk, size int) batch {
	b := batch{first: list[0].id, least: list[0].least, most: list[0].most, payload: make([]byte, 0, size)}
	places := make(map[alcove.Tenant]uint64)
	var names []byte
	for i := range list {
		c := &list[i]
		b.least, b.most = min(b.least, c.least), max(b.most, c.most)
		b.id = c.id + int64(c.lines) - 1
		b.payload = append(b.payload, c.payload...)
		if _, ok := places[c.tenant]; !ok {
			places[c.tenant] = uint64(len(places))
			names = binary.AppendUvarint(names, uint64(len(c.tenant)))
			names = append(names, c.tenant...)
		}
	}
	b.contents = append(binary.AppendUvarint(nil, uint64(len(places))), names...)
	for i := range list {
		c := &list[i]
		for _, n := range []uint64{uint64(c.group), uint64(c.stream), places[c.tenant], uint64(c.least - b.least), uint64(c.most - c.least),
			uint64(c.lines), uint64(len(c.payload))} {
			b.contents = binary.AppendUvarint(b.contents, n)
		}
	}
	return b
}

// varints reads numbers; bad says that there were too few or that one is too large.
type varints struct {
	rest []byte
	bad  bool
}

// maxNumber is larger than any number of a batch or block that is whole.
const maxNumber = 1 << 60

func (v *varints) next() int64 {
	n, size := binary.Uvarint(v.rest)
	if size <= 0 || n > maxNumber {
		v.bad, v.rest = true, nil
		return 0
	}
	v.rest = v.rest[size:]
	return int64(n)
}

func (v *varints) bytes(n int64) []byte {
	if n > int64(len(v.rest)) {
		v.bad, v.rest = true, nil
		return nil
	}
	b := v.rest[:n]
	v.rest = v.rest[n:]
	return b
}

// part is where in a batch's payload a chunk is.
type part struct{ batch, offset, size int64 }

// each calls fn for each chunk of a batch, without its payload.
func (b *batch) each(fn func(c chunk, p part)) error {
	v := varints{rest: b.contents}
	var tenants []alcove.Tenant
	for n := v.next(); n > 0 && !v.bad; n-- {
		tenants = append(tenants, alcove.Tenant(v.bytes(v.next())))
	}
	number, offset := b.first, int64(0)
	for len(v.rest) > 0 && !v.bad {
		c := chunk{id: number, group: v.next(), stream: v.next()}
		tenant := v.next()
		c.least = b.least + v.next()
		c.most = c.least + v.next()
		c.lines = int(v.next())
		size := v.next()
		if v.bad || tenant >= int64(len(tenants)) || c.lines <= 0 || number+int64(c.lines)-1 > b.id {
			return errChunk
		}
		c.tenant = tenants[tenant]
		fn(c, part{b.id, offset, size})
		number += int64(c.lines)
		offset += size
	}
	if v.bad || number != b.id+1 {
		return errChunk
	}
	return nil
}

// cut gives the payload of a part of a batch's payload.
func (p part) cut(payload []byte) ([]byte, error) {
	if p.offset < 0 || p.size < 0 || p.offset > int64(len(payload)) || p.size > int64(len(payload))-p.offset {
		return nil, errChunk
	}
	return payload[p.offset : p.offset+p.size : p.offset+p.size], nil
}
