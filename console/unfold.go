package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Limits of what is shown of what functions write and answer, in bytes: of an answer,
// of a record of a log and as much again of its unfolded JSON, and of what a JSON
// record says of itself on its one line.
const (
	maxAnswerShown = 512 << 10
	maxLineShown   = 32 << 10
	maxSummary     = 8 << 10
)

// pretty is JSON with line breaks; as it is if it is no JSON, or would be longer than
// most: what is nested deeply becomes thousands of times as long.
func pretty(b []byte, most int) string {
	if unfolded(b) <= most {
		var out bytes.Buffer
		if json.Indent(&out, b, "", "  ") == nil {
			return out.String()
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// unfolded is how long JSON is with line breaks, at most.
func unfolded(b []byte) int {
	n, depth := len(b), 0
	text, escaped := false, false
	for _, c := range b {
		switch {
		case escaped:
			escaped = false
		case text:
			escaped, text = c == '\\', c != '"'
		case c == '"':
			text = true
		case c == '[' || c == '{':
			depth++
			n += 1 + 2*depth
		case c == ']' || c == '}':
			depth = max(depth-1, 0)
			n += 1 + 2*depth
		case c == ',':
			n += 1 + 2*depth
		case c == ':':
			n++
		}
	}
	return n
}

// beginning is a text, or as much of it as is shown and how much more there is.
func beginning(s string, most int) string {
	if len(s) <= most {
		return s
	}
	shown := strings.ToValidUTF8(s[:most], "")
	return fmt.Sprintf("%s … (%s more: alcove logs and the API give all of it)", shown, byteSize(int64(len(s)-len(shown))))
}
