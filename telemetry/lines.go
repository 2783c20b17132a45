package telemetry

import (
	"bytes"
	"unicode/utf8"
)

// MaxRecord bounds one record of a function's output, in bytes: what
// CloudWatch Logs takes as one event. Longer ones are split.
const MaxRecord = 256 << 10

// keepBuffer is how large a decoder's buffer may stay between records.
const keepBuffer = 8 << 10

// Lines splits a stream of text, such as a function's stdout, into records: a
// line each, with its newline if one was written and its carriage return if
// there is one. Lines longer than [MaxRecord] are split between runes. What is
// not UTF-8 is replaced by U+FFFD, so that a record is always valid text.
//
// It implements io.Writer and never fails. It is for one goroutine, and holds
// no more than MaxRecord bytes.
type Lines struct {
	emit func(record []byte)
	held []byte
}

// NewLines gives a splitter that hands each record to emit; the slice is good
// only until emit returns.
func NewLines(emit func(record []byte)) *Lines { return &Lines{emit: emit} }

// Write takes the next bytes of the stream, cut anywhere.
func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line := p
		whole := false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line, whole = p[:i+1], true
		}
		p = p[len(line):]
		if whole && len(l.held) == 0 && len(line) <= MaxRecord+1 {
			emitText(l.emit, line)
			continue
		}
		l.hold(line)
		if whole {
			l.Flush()
		}
	}
	return n, nil
}

// Flush hands over an unfinished last line: at the end of an invocation, and
// before a process's output is closed.
func (l *Lines) Flush() {
	if len(l.held) > 0 {
		emitText(l.emit, l.held)
	}
	l.held = release(l.held)
}

// hold keeps b, a part of a line, and emits what grows beyond MaxRecord. The
// newline that ends a line of exactly MaxRecord bytes stays with it.
func (l *Lines) hold(b []byte) {
	for len(b) > 0 {
		room := MaxRecord - len(l.held)
		if len(b) <= room || len(b) == room+1 && b[room] == '\n' {
			l.held = append(l.held, b...)
			return
		}
		l.held = append(l.held, b[:room]...)
		b = b[room:]
		cut := runeBoundary(l.held)
		emitText(l.emit, l.held[:cut])
		l.held = append(l.held[:0], l.held[cut:]...)
	}
}

// emitText hands over b as valid UTF-8, in pieces if the replacement of
// invalid bytes made it too long.
func emitText(emit func([]byte), b []byte) {
	if utf8.Valid(b) {
		emit(b)
		return
	}
	b = bytes.ToValidUTF8(b, []byte("\uFFFD"))
	for len(b) > MaxRecord+1 {
		cut := runeBoundary(b[:MaxRecord])
		emit(b[:cut])
		b = b[cut:]
	}
	emit(b)
}

// runeBoundary is the length of b without a rune that its end cuts in two. It
// is never zero for a b longer than a rune.
func runeBoundary(b []byte) int {
	for k := 1; k <= utf8.UTFMax-1 && k < len(b); k++ {
		if c := b[len(b)-k]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-k:]) {
				return len(b) - k
			}
			break
		}
	}
	return len(b)
}

// release empties a buffer, and gives it up if it has grown large.
func release(b []byte) []byte {
	if cap(b) > keepBuffer {
		return nil
	}
	return b[:0]
}
