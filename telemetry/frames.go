package telemetry

import (
	"bytes"
	"encoding/binary"
	"time"
	"unicode/utf8"
)

// Frame is one record that a runtime wrote to _LAMBDA_TELEMETRY_LOG_FD.
type Frame struct {
	// Time is the runtime's, which may be any value: whoever stores it bounds it. It is
	// zero for a frame of the older kind, which has none.
	Time  time.Time
	Level Level
	// JSON says that the runtime marked the message as JSON. A message that had
	// to be split is not marked.
	JSON bool
	// Message is valid UTF-8, at most MaxRecord bytes and good only until emit
	// returns.
	Message []byte
}

// The frame protocol (AWS's runtime interface clients for Node.js and Python):
// type, length: big-endian uint32; microseconds since 1970: big-endian int64;
// then length bytes. The type is a magic number with the kind of message in its
// two lowest bits and the level in the next three. Clients before that (of 2020)
// have a header of type and length only, and one type.
const (
	frameHeader = 16
	frameMagic  = 0xa55a0000
	oldHeader   = 8
	oldType     = frameMagic | 1
	kindJSON    = 2
	kindText    = 3

	// maxFrame bounds the length that a header may claim. A larger claim is not
	// a frame.
	maxFrame = 16 << 20
)

// Frames decodes the stream of _LAMBDA_TELEMETRY_LOG_FD. The stream is written
// by function code: bytes that are no frame are skipped up to the next header
// and counted, a claimed length reserves no memory, and messages longer than
// [MaxRecord] are split.
//
// It implements io.Writer and never fails. It is for one goroutine, and holds
// no more than MaxRecord bytes.
type Frames struct {
	emit func(Frame)

	header  [frameHeader]byte
	have    int // bytes of header
	frame   Frame
	left    int // bytes of the message still to come
	held    []byte
	skip    bool // inside bytes that are no frame
	dropped Dropped
}

// Dropped counts what was no frame.
type Dropped struct {
	Records int64 // runs of such bytes
	Bytes   int64
}

// NewFrames gives a decoder that hands each frame to emit.
func NewFrames(emit func(Frame)) *Frames { return &Frames{emit: emit} }

// Write takes the next bytes of the stream, cut anywhere.
func (f *Frames) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if f.left > 0 {
			p = p[f.message(p):]
			continue
		}
		want := frameHeader
		if f.have < oldHeader {
			want = oldHeader
		}
		c := copy(f.header[f.have:want], p)
		f.have += c
		p = p[c:]
		for {
			if f.have >= oldHeader && f.beginOld() {
				break
			}
			if f.have < frameHeader || f.begin() {
				break
			}
			f.resync()
		}
	}
	return n, nil
}

// beginOld reads a header of the older kind and says whether it is one. What was
// taken for more of a header is of the message, or after it.
func (f *Frames) beginOld() bool {
	size := binary.BigEndian.Uint32(f.header[4:])
	if binary.BigEndian.Uint32(f.header[:]) != oldType || size > maxFrame {
		return false
	}
	rest := f.header
	n := f.have
	f.frame = Frame{}
	f.left, f.have, f.skip = int(size), 0, false
	if n > oldHeader {
		_, _ = f.Write(rest[oldHeader:n]) // fewer bytes each time
	}
	return true
}

// Flush hands over what has come of an unfinished message. The rest of it, if
// it comes, is a record of its own.
func (f *Frames) Flush() {
	if len(f.held) > 0 {
		f.frame.JSON = false
		f.out(f.held)
	}
	f.held = release(f.held)
}

// Reset flushes and forgets the state of the stream: the process that wrote
// it is gone and another will write from its beginning.
func (f *Frames) Reset() {
	f.Flush()
	if f.have > 0 {
		f.drop(f.have)
	}
	f.have, f.left, f.skip = 0, 0, false
}

// Dropped tells what was skipped so far.
func (f *Frames) Dropped() Dropped { return f.dropped }

// begin reads the header and says whether it is one.
func (f *Frames) begin() bool {
	kind := binary.BigEndian.Uint32(f.header[:])
	size := binary.BigEndian.Uint32(f.header[4:])
	level := Level(kind >> 2 & 0x3fff)
	if kind&0xffff0000 != frameMagic || kind&3 < kindJSON || kind>>2&0x3fff > uint32(LevelFatal) || size > maxFrame {
		return false
	}
	f.frame = Frame{
		Time:  time.UnixMicro(int64(binary.BigEndian.Uint64(f.header[8:]))),
		Level: level,
		JSON:  kind&3 == kindJSON,
	}
	f.left, f.have, f.skip = int(size), 0, false
	return true
}

// resync drops the first byte of the header and everything up to the next that
// could begin one.
func (f *Frames) resync() {
	next := bytes.IndexByte(f.header[1:], frameMagic>>24) + 1
	if next == 0 {
		next = frameHeader
	}
	f.drop(next)
	f.have = copy(f.header[:], f.header[next:])
}

func (f *Frames) drop(n int) {
	if !f.skip {
		f.skip = true
		f.dropped.Records++
	}
	f.dropped.Bytes += int64(n)
}

// message takes bytes of the current message from p and says how many.
func (f *Frames) message(p []byte) int {
	if len(f.held) == 0 && f.left <= len(p) && f.left <= MaxRecord {
		n := f.left
		f.left = 0
		f.out(p[:n])
		return n
	}
	n := min(f.left, len(p), MaxRecord-len(f.held))
	f.held = append(f.held, p[:n]...)
	f.left -= n
	switch {
	case f.left == 0:
		f.out(f.held)
		f.held = release(f.held)
	case len(f.held) == MaxRecord:
		f.frame.JSON = false
		cut := runeBoundary(f.held)
		f.out(f.held[:cut])
		f.held = append(f.held[:0], f.held[cut:]...)
	}
	return n
}

// out hands over one message, or one piece of a message that was split.
func (f *Frames) out(message []byte) {
	if !utf8.Valid(message) {
		message = bytes.ToValidUTF8(message, []byte("\uFFFD"))
	}
	frame := f.frame
	frame.JSON = frame.JSON && len(message) <= MaxRecord
	for len(message) > MaxRecord {
		cut := runeBoundary(message[:MaxRecord])
		frame.Message = message[:cut]
		f.emit(frame)
		message = message[cut:]
	}
	frame.Message = message
	f.emit(frame)
}
