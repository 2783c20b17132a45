package insights

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever the text of a query and a message: an error that says where, or an answer
// within its bounds.
func FuzzQuery(f *testing.F) {
	for _, q := range examples(f) {
		f.Add(q, `{"tenantId":"BlueTenant","record":{"tenantId":"x"},"a":[1,{"b":null}],"n":-1.5e3}`)
	}
	for _, b := range blocks(f, "refused") {
		for q := range strings.SplitSeq(b, "\n") {
			f.Add(q, "REPORT RequestId: x\tDuration: 1 ms\t")
		}
	}
	f.Fuzz(func(t *testing.T, query, message string) {
		q, err := Parse(query)
		if err != nil {
			e, ok := errors.AsType[*SyntaxError](err)
			if n := utf8.RuneCountInString(query); !ok || e.Start < 0 || e.End < e.Start || e.End > n || e.Message == "" {
				t.Fatalf("%q: %+v", query, err)
			}
			return
		}
		rows := 0
		r := q.Start(Options{Now: base, Rows: 5, Memory: 1 << 16}, func(cells []Cell) error {
			rows++
			for _, c := range cells {
				if len(c.Value) > maxText+len(message) {
					t.Fatalf("%q: %d bytes in %s", query, len(c.Value), c.Name)
				}
			}
			return nil
		})
		events := append(sample(), Event{Message: message, At: -1, Ptr: func() string { return "p" }})
		for i := range events {
			more, err := r.Add(&events[i])
			if err != nil && !errors.Is(err, ErrMemory) {
				t.Fatalf("%q: %v", query, err)
			}
			if r.held > 1<<16+4*maxText {
				t.Fatalf("%q: holds %d bytes", query, r.held)
			}
			if err != nil {
				return
			}
			if !more {
				break
			}
		}
		if err := r.End(); err != nil && !errors.Is(err, ErrMemory) || rows > 5 || r.Matched() > len(events) {
			t.Fatalf("%q: %v, %d rows, %d matched", query, err, rows, r.Matched())
		}
		Fields(&events[len(events)-1])
	})
}
