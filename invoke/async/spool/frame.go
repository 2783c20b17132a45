package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A segment is a header and frames. The header is eight bytes that name the format,
// how many bytes of the segment before are on the disk (uint64), and the CRC-32C of
// both. A frame is a head and the record's two parts:
//
//	length of meta   uint32  little-endian, all four
//	length of body   uint32
//	sum of the head  uint32  CRC-32C of the two lengths and meta
//	sum of the body  uint32  CRC-32C of body
//	meta, body
//
// Meta has a sum of its own so that what is in a segment can be listed without
// reading the bodies.
const (
	magic      = "alcvsp1\n"
	headerSize = int64(len(magic)) + 8 + 4
	frameHead  = 16
	// MaxMeta and MaxBody bound the parts of a record. A longer one is refused, a
	// longer claim is damage.
	MaxMeta = 64 << 10
	MaxBody = 16 << 20
)

// ErrDamaged is a frame that is not whole.
var ErrDamaged = errors.New("spool: torn or damaged record")

// ErrTooLarge is a record that has no place in any segment.
var ErrTooLarge = errors.New("spool: record too large")

// Record is what is kept: Meta, which is read at every start, and Body, which is
// read when it is asked for.
type Record struct {
	Meta, Body []byte
	// Passing is a record that is kept only as long as older ones are.
	Passing bool
}

func (r Record) size() int64 { return frameHead + int64(len(r.Meta)) + int64(len(r.Body)) }

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func appendFrame(dst []byte, r Record) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Meta)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Body)))
	sum := crc32.Update(crc32.Checksum(dst[start:], castagnoli()), castagnoli(), r.Meta)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(r.Body, castagnoli()))
	dst = append(dst, r.Meta...)
	return append(dst, r.Body...)
}

// head is the head of a frame as it was read.
type head struct {
	meta, body       uint32
	headSum, bodySum uint32
	lengths          [8]byte
}

func readHead(b []byte) (h head, ok bool) {
	copy(h.lengths[:], b)
	h.meta, h.body = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	h.headSum, h.bodySum = binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	return h, h.meta > 0 && h.meta <= MaxMeta && h.body <= MaxBody
}

func (h *head) metaOK(meta []byte) bool {
	return crc32.Update(crc32.Checksum(h.lengths[:], castagnoli()), castagnoli(), meta) == h.headSum
}

func (h *head) size() int64 { return frameHead + int64(h.meta) + int64(h.body) }

func appendHeader(dst []byte, before int64) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(before))
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli()))
}

// readHeader gives how much of the segment before is on the disk.
func readHeader(f File) (before int64, ok bool) {
	var b [headerSize]byte
	if n, _ := f.ReadAt(b[:], 0); n < len(b) || string(b[:len(magic)]) != magic {
		return 0, false
	}
	before = int64(binary.LittleEndian.Uint64(b[len(magic):]))
	sum := binary.LittleEndian.Uint32(b[len(magic)+8:])
	return before, before >= 0 && crc32.Checksum(b[:len(magic)+8], castagnoli()) == sum
}

// parseFrame reads a whole frame.
func parseFrame(b []byte) (Record, error) {
	if len(b) < frameHead {
		return Record{}, ErrDamaged
	}
	h, ok := readHead(b)
	if !ok || h.size() != int64(len(b)) {
		return Record{}, ErrDamaged
	}
	r := Record{Meta: b[frameHead : frameHead+h.meta], Body: b[frameHead+h.meta:]}
	if !h.metaOK(r.Meta) || crc32.Checksum(r.Body, castagnoli()) != h.bodySum {
		return Record{}, ErrDamaged
	}
	return r, nil
}

// scanner walks the frames of a segment.
type scanner struct {
	f      File
	at     int64
	size   int64
	bodies bool // check them, too
	buf    []byte
	bufAt  int64 // where in the file buf begins
}

const scanAhead = 256 << 10

// bytes gives n bytes at s.at+off, from the buffer if they are there.
func (s *scanner) bytes(off int64, n int) ([]byte, error) {
	from := s.at + off
	if from+int64(n) > s.size {
		return nil, ErrDamaged
	}
	if from < s.bufAt || from+int64(n) > s.bufAt+int64(len(s.buf)) {
		want := int(min(max(int64(n), scanAhead), s.size-from))
		if cap(s.buf) < want {
			s.buf = make([]byte, want)
		}
		s.buf, s.bufAt = s.buf[:want], from
		if got, err := s.f.ReadAt(s.buf, from); got < want {
			s.buf = nil
			if err == nil || err == io.EOF {
				err = ErrDamaged
			}
			return nil, err
		}
	}
	i := from - s.bufAt
	return s.buf[i : i+int64(n)], nil
}

// next gives the meta of the next frame, the length of its body, and its place.
// io.EOF is a clean end. Meta is good until the next call.
func (s *scanner) next() (meta []byte, body int, offset, size int64, err error) {
	if s.at == s.size {
		return nil, 0, 0, 0, io.EOF
	}
	b, err := s.bytes(0, frameHead)
	if err != nil {
		return nil, 0, 0, 0, err
	}
	h, ok := readHead(b)
	if !ok || s.at+h.size() > s.size {
		return nil, 0, 0, 0, ErrDamaged
	}
	if s.bodies && h.body > 0 {
		whole, err := s.bytes(frameHead+int64(h.meta), int(h.body))
		if err != nil {
			return nil, 0, 0, 0, err
		}
		if crc32.Checksum(whole, castagnoli()) != h.bodySum {
			return nil, 0, 0, 0, ErrDamaged
		}
	}
	if meta, err = s.bytes(frameHead, int(h.meta)); err != nil {
		return nil, 0, 0, 0, err
	}
	if !h.metaOK(meta) {
		return nil, 0, 0, 0, ErrDamaged
	}
	offset, size = s.at, h.size()
	s.at += size
	return meta, int(h.body), offset, size, nil
}
