// Package eventstream writes frames of AWS's event stream encoding (smithy.io, "Amazon
// Event Stream Specification"): total length, length of the headers, a checksum of
// the two; headers; payload; a checksum of all. It touches nothing but bytes.
package eventstream

import (
	"encoding/binary"
	"hash/crc32"
)

// Type is the content type of an answer made of frames.
const Type = "application/vnd.amazon.eventstream"

const (
	around  = 16 // bytes that are neither header nor payload
	text    = 7  // the type of a header's value
	prelude = 8
)

// Header is a header of a frame, with a string for a value: at most 255 bytes of
// name, and 65,535 of value.
type Header struct{ Name, Value string }

// Append writes a frame behind b.
func Append(b []byte, headers []Header, payload []byte) []byte {
	size := 0
	for _, h := range headers {
		size += 1 + len(h.Name) + 1 + 2 + len(h.Value)
	}
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(around+size+len(payload)))
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[at:at+prelude]))
	for _, h := range headers {
		b = append(b, byte(len(h.Name)))
		b = append(b, h.Name...)
		b = append(b, text)
		b = binary.BigEndian.AppendUint16(b, uint16(len(h.Value)))
		b = append(b, h.Value...)
	}
	b = append(b, payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[at:]))
}

// Event are the headers of an event, by its name and the type of its payload.
func Event(name, contentType string) []Header {
	return []Header{{":message-type", "event"}, {":event-type", name}, {":content-type", contentType}}
}

// Exception are those of an error that the service's model has.
func Exception(name, contentType string) []Header {
	return []Header{{":message-type", "exception"}, {":exception-type", name}, {":content-type", contentType}}
}
