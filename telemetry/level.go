package telemetry

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Level is the severity of a record, in the order of Lambda's
// ApplicationLogLevel and SystemLogLevel.
type Level uint8

// The levels. LevelNone is a record that has none: a filter lets it pass.
const (
	LevelNone Level = iota
	LevelTrace
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
	LevelFatal
)

var levelNames = [...]string{"", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

// String gives the level's name in upper case, empty for LevelNone.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return ""
}

// ParseLevel reads a level's name in any case. Besides Lambda's own names it
// knows the other spellings that loggers write: WARNING, CRITICAL, SEVERE.
// What it does not know is LevelNone.
func ParseLevel(s string) Level {
	switch {
	case strings.EqualFold(s, "WARNING"):
		return LevelWarn
	case strings.EqualFold(s, "CRITICAL"), strings.EqualFold(s, "SEVERE"):
		return LevelFatal
	}
	for l := LevelTrace; l <= LevelFatal; l++ {
		if strings.EqualFold(s, levelNames[l]) {
			return l
		}
	}
	return LevelNone
}

// Passes says whether a record of level l is kept where the lowest level to
// keep is least. A record without a level is kept, and so is everything where
// no lowest level is set.
func (l Level) Passes(least Level) bool {
	return l == LevelNone || l >= least
}

// LevelOf is the level that a line of a function's output claims: the "level"
// member (or, as Python's runtime spells it in error lines, "log_level") of a
// line that is a JSON object. Every other line has LevelNone. Frames carry
// their level beside the message and need no look at the text.
func LevelOf(line []byte) Level {
	line = bytes.TrimSpace(line)
	if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' || !bytes.Contains(line, []byte(`level"`)) {
		return LevelNone
	}
	// Raw members, so that a "level" that is a number does not fail the line.
	var members struct {
		Level    json.RawMessage `json:"level"`
		LogLevel json.RawMessage `json:"log_level"`
	}
	if json.Unmarshal(line, &members) != nil {
		return LevelNone
	}
	for _, raw := range []json.RawMessage{members.Level, members.LogLevel} {
		var name string
		if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &name) == nil {
			return ParseLevel(name)
		}
	}
	return LevelNone
}
