package logs

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A block is a row of a day's database with events of one stream and one tenant, in
// the order of their times, that came in many batches, compressed. Its row's id is
// the highest number of an event in it.
const (
	// blockBytes is about how much text a block has.
	blockBytes = 64 << 10
	// lineCost bounds how many events without text a block may have.
	lineCost = 16
	// inOrder is by how much the time of an event may differ from when it was
	// stored, in milliseconds, to be put together with others over a longer time.
	// Events whose writer chose another time stay in blocks of chunkSpan, or many
	// blocks could be about any one moment.
	inOrder = 2000
	// blockVersion is the first byte of a block's payload.
	blockVersion = 1
)

// spans are the classes of blocks by how much time one may span, in milliseconds: a
// query that begins at some time looks at blocks of each class that begin up to its
// span earlier.
var spans = [...]int64{chunkSpan, 1000, 4000, 16_000, 64_000, 256_000, 1_024_000}

// classOf is the narrowest class for a span.
func classOf(span int64) int {
	for i, most := range spans {
		if span <= most {
			return i
		}
	}
	return len(spans) - 1
}

// cutBlocks orders the events of one stream and tenant, and cuts them where one
// block ends. Those between from and to, in milliseconds, came in their order.
func cutBlocks(list []place, from, to int64) [][]place {
	slices.SortFunc(list, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	var out [][]place
	begin, size := 0, 0
	regular := func(at int64) bool { return from <= at && at <= to }
	for i, p := range list {
		span := spans[len(spans)-1]
		if !regular(p.at) {
			span = chunkSpan
		}
		cost := len(p.message) + lineCost
		if i > begin && (size+cost > blockBytes || p.at-list[begin].at > span || regular(p.at) != regular(list[begin].at)) {
			out = append(out, list[begin:i])
			begin, size = i, 0
		}
		size += cost
	}
	return append(out, list[begin:])
}

// codec compresses blocks and takes them apart. It is made when it is first used.
type codec struct {
	encoder func() *zstd.Encoder
	decoder func() *zstd.Decoder
}

func newCodec(more ...zstd.EOption) codec {
	return codec{
		sync.OnceValue(func() *zstd.Encoder {
			e, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
				zstd.WithWindowSize(128 << 10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true)}, more...)...)
			if err != nil { // constants
				panic(err)
			}
			return e
		}),
		sync.OnceValue(func() *zstd.Decoder {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBlock))
			if err != nil {
				panic(err)
			}
			return d
		}),
	}
}

// maxBlock is more than a block has, uncompressed: one event may be MaxMessage long.
const maxBlock = 2 << 20

// encode makes a block's payload of events in order: the differences of their
// times, then of their numbers, their lengths, and their messages.
func (c codec) encode(list []place, buf []byte) (payload, scratch []byte) {
	buf = buf[:0]
	at, id := list[0].at, int64(0)
	for _, p := range list {
		buf = binary.AppendUvarint(buf, uint64(p.at-at))
		at = p.at
	}
	for _, p := range list {
		buf = binary.AppendVarint(buf, p.id-id)
		id = p.id
	}
	for _, p := range list {
		buf = binary.AppendUvarint(buf, uint64(len(p.message)))
	}
	for _, p := range list {
		buf = append(buf, p.message...)
	}
	return c.encoder().EncodeAll(buf, []byte{blockVersion}), buf
}

// decode is the opposite of encode, for a block that begins at least.
func (c codec) decode(payload []byte, least int64, lines int) ([]place, error) {
	if len(payload) == 0 || payload[0] != blockVersion {
		return nil, errChunk
	}
	text, err := c.decoder().DecodeAll(payload[1:], nil)
	if err != nil || lines <= 0 || lines > len(text) {
		return nil, errChunk
	}
	v := varints{rest: text}
	list := make([]place, lines)
	at, id := least, int64(0)
	for i := range list {
		at += v.next()
		list[i].at = at
	}
	for i := range list {
		delta, size := binary.Varint(v.rest)
		if size <= 0 {
			return nil, errChunk
		}
		v.rest = v.rest[size:]
		id += delta
		list[i].id = id
	}
	sizes := v // read once for the lengths, with v behind them
	for range list {
		v.next()
	}
	for i := range list {
		list[i].message = slices.Clip(v.bytes(sizes.next()))
	}
	if v.bad || sizes.bad || len(v.rest) > 0 || at < least || at-least > spans[len(spans)-1] {
		return nil, errChunk
	}
	return list, nil
}
