package lambdaapi

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// encoding/json takes a member whose name differs from a field's by case for the
// field. To AWS it is another member, unknown and ignored: "functionName" is no
// FunctionName. So what encoding/json would take wrongly is renamed before it
// reads.

// mask renames such members of a JSON object in place, by their first byte. It
// stops at what is no JSON, which the decoder then tells.
func (m *members) mask(body []byte) {
	w := walker{b: body}
	w.value(m)
}

// walker walks over JSON.
type walker struct {
	b []byte
	i int
}

// peek gives the next byte that is no space, or 0 at the end.
func (w *walker) peek() byte {
	for w.i < len(w.b) {
		switch w.b[w.i] {
		case ' ', '\t', '\r', '\n':
			w.i++
		default:
			return w.b[w.i]
		}
	}
	return 0
}

// value walks over one value; m are the members if it is an object, or a list of
// objects, that is read into a struct. It gives false at the end of what is JSON.
func (w *walker) value(m *members) bool {
	switch {
	case m == nil:
		return w.skip()
	case w.peek() == '{':
		return w.object(m)
	case w.peek() != '[':
		return w.skip()
	}
	for w.i++; w.peek() != ']'; {
		ok := false
		if w.peek() == '{' {
			ok = w.object(m)
		} else {
			ok = w.skip()
		}
		if !ok {
			return false
		}
		if w.peek() == ',' {
			w.i++
		}
	}
	w.i++
	return true
}

func (w *walker) object(m *members) bool {
	for w.i++; w.peek() != '}'; {
		if w.peek() != '"' {
			return false
		}
		start := w.i + 1
		if !w.text() {
			return false
		}
		inside := m.named(w.b[start:w.i-1], start, w.b)
		if w.peek() != ':' {
			return false
		}
		w.i++
		if !w.value(inside) {
			return false
		}
		if w.peek() == ',' {
			w.i++
		}
	}
	w.i++
	return true
}

// named finds the struct that a member of that name is read into, if any, and
// renames the member if only its case is wrong.
func (m *members) named(name []byte, at int, b []byte) *members {
	text := string(name)
	if strings.Contains(text, `\`) && json.Unmarshal(b[at-1:at+len(name)+1], &text) != nil {
		return nil // the decoder says what is wrong with it
	}
	folded := false
	for one := range m.all() {
		switch field := one.key; {
		case one.source != fromBody:
		case field == text:
			return one.inside
		case strings.EqualFold(field, text):
			folded = true
		}
	}
	if folded {
		// All bytes of the first letter, or the backslash of its escape.
		_, size := utf8.DecodeRune(name)
		for i := range size {
			b[at+i] = '_'
		}
	}
	return nil
}

// all gives the members, those of embedded structs included.
func (m *members) all() func(yield func(*member) bool) {
	return func(yield func(*member) bool) {
		for i := range m.list {
			if !yield(&m.list[i]) {
				return
			}
		}
		for _, e := range m.embeds {
			for one := range e.of.all() {
				if !yield(one) {
					return
				}
			}
		}
	}
}

// text walks over a string.
func (w *walker) text() bool {
	for w.i++; w.i < len(w.b); w.i++ {
		next := bytes.IndexAny(w.b[w.i:], `"\`)
		if next < 0 {
			break
		}
		if w.i += next; w.b[w.i] == '"' {
			w.i++
			return true
		}
		w.i++ // what is escaped
	}
	w.i = len(w.b)
	return false
}

// skip walks over one value, whatever is in it.
func (w *walker) skip() bool {
	depth := 0
	for {
		switch w.peek() {
		case 0:
			return false
		case '"':
			if !w.text() {
				return false
			}
		case '{', '[':
			depth++
			w.i++
		case '}', ']':
			depth--
			w.i++
		case ',', ':':
			if depth == 0 {
				return false
			}
			w.i++
			continue
		default: // a number or a word
			end := bytes.IndexAny(w.b[w.i:], ",]} \t\r\n")
			if end < 0 {
				end = len(w.b) - w.i
			}
			w.i += max(end, 1)
		}
		if depth <= 0 {
			return depth == 0
		}
	}
}
