package lambdaapi

import (
	"encoding/binary"
	"hash/crc32"
)

// Frames of AWS's event stream encoding (smithy.io, "Amazon Event Stream
// Specification"): total length, length of the headers, a checksum of the two;
// headers; payload; a checksum of all.

// eventStreamType is the content type of an answer made of frames.
const eventStreamType = "application/vnd.amazon.eventstream"

const (
	frameAround  = 16 // bytes that are neither header nor payload
	frameString  = 7  // the type of a header's value
	framePrelude = 8
)

// frameHeader is a header of a frame, with a string for a value: at most 255
// bytes of name, and 65,535 of value.
type frameHeader struct{ name, value string }

// appendFrame writes a frame behind b.
func appendFrame(b []byte, headers []frameHeader, payload []byte) []byte {
	size := 0
	for _, h := range headers {
		size += 1 + len(h.name) + 1 + 2 + len(h.value)
	}
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(frameAround+size+len(payload)))
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[at:at+framePrelude]))
	for _, h := range headers {
		b = append(b, byte(len(h.name)))
		b = append(b, h.name...)
		b = append(b, frameString)
		b = binary.BigEndian.AppendUint16(b, uint16(len(h.value)))
		b = append(b, h.value...)
	}
	b = append(b, payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[at:]))
}

// appendChunk writes a PayloadChunk event.
func appendChunk(b, payload []byte) []byte {
	return appendFrame(b, chunkHeaders[:], payload)
}

var chunkHeaders = [...]frameHeader{
	{":message-type", "event"}, {":event-type", "PayloadChunk"}, {":content-type", "application/octet-stream"},
}

var completeHeaders = [...]frameHeader{
	{":message-type", "event"}, {":event-type", "InvokeComplete"}, {":content-type", "application/json"},
}

// appendError writes a frame that SDKs turn into an error: for what went wrong
// after the answer had begun, and is no fault of the function's.
func appendError(b []byte, code, message string) []byte {
	const most = 1 << 10
	return appendFrame(b, []frameHeader{
		{":message-type", "error"}, {":error-code", code[:min(len(code), most)]}, {":error-message", message[:min(len(message), most)]},
	}, nil)
}
