package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// Whatever the query, its lines are the events of all its pages.
func TestLinesAreTheEventsOfAllPages(t *testing.T) {
	s := openStore(t, Config{})
	for i := range 3000 {
		w := s.Stream("g", fmt.Sprint("s", i%7))
		w.Append(alcove.Tenant([]string{"", "blue", "red"}[i%3]), base.Add(time.Duration(i*i%5000)*40*time.Second), fmt.Appendf(nil, "line %d", i))
		if i%500 == 0 {
			s.Flush(t.Context())
		}
	}
	for _, q := range []Query{
		{Group: "g"}, {Group: "g", NewestFirst: true}, {Group: "g", Tenant: tenant("red")}, {Group: "g", Tenant: tenant("nobody")},
		{Group: "g", Among: []alcove.Tenant{"", "blue"}, NewestFirst: true},
		{Group: "g", Visible: func(t alcove.Tenant) bool { return t != "red" }},
		{Group: "g", Since: base.Add(time.Hour), Until: base.Add(30 * time.Hour), NewestFirst: true},
		{Group: "g", Match: func(m []byte) bool { return m[len(m)-1] == '7' }},
		{Group: "g", Streams: []string{"s1", "s4"}},
	} {
		var want []Event
		for pages := q; ; {
			pages.Limit = 100
			p := query(t, s, pages)
			want = append(want, p.Events...)
			if p.Next == "" {
				break
			}
			pages.After = p.Next
		}
		var got []Event
		for l, err := range s.Lines(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, Event{Cursor: l.Cursor(), Stream: l.Stream, Tenant: l.Tenant, At: time.UnixMilli(l.At), Ingested: time.UnixMilli(l.Ingested), Message: l.Message})
		}
		if !slices.EqualFunc(got, want, func(a, b Event) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Errorf("%+v: %d lines, want %d", q, len(got), len(want))
		}
	}
}

func TestLinesEnd(t *testing.T) {
	s := openStore(t, Config{})
	w := s.Stream("g", "s")
	for i := range 10 {
		w.Append("", base.Add(time.Duration(i)*time.Second), []byte("x"))
	}
	n := 0
	for _, err := range s.Lines(t.Context(), Query{Group: "g"}) {
		if n++; n == 3 || err != nil {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d lines before the end that was asked for", n)
	}
	// What is appended while lines are read is not waited for.
	n = 0
	for _, err := range s.Lines(t.Context(), Query{Group: "g"}) {
		n++
		w.Append("", base.Add(time.Hour+time.Duration(n)*time.Second), []byte("more"))
		if s.Flush(t.Context()); err != nil || n > 10 {
			t.Fatalf("line %d: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n = 0
	for _, err := range s.Lines(ctx, Query{Group: "g"}) {
		if cancel(); n == 1 && !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of the context: %v", err)
		}
		n++
	}
	for _, err := range s.Lines(t.Context(), Query{Group: "absent"}) {
		if !errors.Is(err, ErrNoGroup) {
			t.Errorf("no group: %v", err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d lines and errors", n)
	}
}

// A day that is built anew while its lines are read loses none of those that stay
// and gives none twice.
func TestLinesWhileATenantIsPurged(t *testing.T) {
	s := openStore(t, Config{})
	blue, red := s.Stream("g", "b"), s.Stream("g", "r")
	const lines = 20_000
	for i := range lines {
		at := base.Add(time.Duration(i) * time.Second / 2)
		blue.Append("blue", at, fmt.Appendf(nil, "%d of blue, with some more bytes so that a day has many pages", i))
		red.Append("red", at, fmt.Appendf(nil, "%d of red", i))
		if i%2000 == 0 {
			s.Flush(t.Context())
		}
	}
	var got []string
	for l, err := range s.Lines(t.Context(), Query{Group: "g"}) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Tenant == "blue" {
			got = append(got, string(l.Message[:6]))
		}
		if len(got) == 100 {
			if err := s.PurgeTenant(t.Context(), "red"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if slices.Sort(got); len(got) != lines || len(slices.Compact(got)) != lines {
		t.Errorf("%d lines, %d different", len(got), len(slices.Compact(got)))
	}
}
