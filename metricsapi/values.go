package metricsapi

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"time"
)

// mapType is what CBOR maps are decoded to.
var mapType = reflect.TypeFor[map[string]any]()

// The types of members: each takes what each protocol writes, a number or a text.

type number float64
type whole int64
type flag bool
type moment struct{ time.Time }

// valueError is a value that is none of its type.
type valueError struct{ text string }

func (e *valueError) Error() string { return e.text }

func textOf(b []byte) string {
	var s string
	if json.Unmarshal(b, &s) == nil {
		return s
	}
	return string(b)
}

func (n *number) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(textOf(b), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return &valueError{"The value " + clip(textOf(b)) + " is no number that CloudWatch takes."}
	}
	*n = number(f)
	return nil
}

func (n *whole) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(textOf(b), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return &valueError{"The value " + clip(textOf(b)) + " is no whole number."}
	}
	*n = whole(f)
	return nil
}

func (f *flag) UnmarshalJSON(b []byte) error {
	switch textOf(b) {
	case "true":
		*f = true
	case "false":
		*f = false
	default:
		return &valueError{"The value " + clip(textOf(b)) + " is neither true nor false."}
	}
	return nil
}

func (m *moment) UnmarshalJSON(b []byte) error {
	s := textOf(b)
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		m.Time = t.UTC()
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > 1e11 {
		return &valueError{"timestamp " + clip(s) + " must follow ISO8601"}
	}
	m.Time = time.UnixMilli(int64(math.Round(f * 1000))).UTC()
	return nil
}

// clip is a text that callers chose, for an error message.
func clip(s string) string {
	if len(s) > 100 {
		return strconv.Quote(s[:100]) + "…"
	}
	return s
}
