package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// base is the time of the tests' clocks: well inside a day.
var base = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func openStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return base }
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func query(t testing.TB, s *Store, q Query) Page {
	t.Helper()
	p, err := s.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func messages(events []Event) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, string(e.Message))
	}
	return list
}

func all(t testing.TB, s *Store, q Query) []string {
	t.Helper()
	var list []string
	for {
		p := query(t, s, q)
		list = append(list, messages(p.Events)...)
		if p.Next == "" {
			return list
		}
		q.After = p.Next
	}
}

func tenant(s string) *alcove.Tenant { return new(alcove.Tenant(s)) }

func TestAppendAndQuery(t *testing.T) {
	s := openStore(t, Config{})
	w := s.Stream("/aws/lambda/hello", "2026/11/23/[$LATEST]aa")
	w.Append("", base, []byte("INIT_START\n"))
	w.Append("blue", base.Add(3*time.Millisecond), []byte("hello €\x00\xff\n"))
	buf := []byte("reused\n")
	w.Append("blue", base.Add(5*time.Millisecond+400*time.Microsecond), buf)
	copy(buf, "REUSED")
	p := query(t, s, Query{Group: "/aws/lambda/hello"})
	if got, want := messages(p.Events), []string{"INIT_START\n", "hello €\x00\uFFFD\n", "reused\n"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	e := p.Events[2]
	if e.Tenant != "blue" || e.Stream != "2026/11/23/[$LATEST]aa" || !e.At.Equal(base.Add(5*time.Millisecond)) || !e.Ingested.Equal(base) {
		t.Errorf("event %+v", e)
	}
	if p.Events[0].Tenant != "" || p.Next != "" {
		t.Errorf("first event's tenant %q, next %q", p.Events[0].Tenant, p.Next)
	}
	if _, err := s.Query(t.Context(), Query{Group: "other"}); !errors.Is(err, ErrNoGroup) {
		t.Errorf("unknown group: %v", err)
	}
	if _, err := s.Query(t.Context(), Query{Group: "/aws/lambda/hello", Streams: []string{"other"}}); !errors.Is(err, ErrNoStream) {
		t.Errorf("unknown stream: %v", err)
	}
	if _, err := s.Query(t.Context(), Query{Group: "/aws/lambda/hello", After: "f/1"}); !errors.Is(err, ErrBadCursor) {
		t.Errorf("bad cursor: %v", err)
	}
}

// fill appends lines of three tenants in three streams over three days, partly
// out of order, and gives them in the order in which queries must.
func fill(t *testing.T, s *Store, clock *time.Time) (sorted []string) {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	for day := range 3 {
		*clock = base.AddDate(0, 0, day-2)
		for i := range 60 {
			who := []string{"blue", "red", ""}[i%3]
			at := clock.Add(time.Duration(i*97%60) * 40 * time.Millisecond)
			text := fmt.Sprintf("%d-%02d-%s", day, i, who)
			lines = append(lines, line{at, text})
			s.Stream("g", "stream-"+who).Append(alcove.Tenant(who), at, []byte(text))
			if i%17 == 0 {
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	for _, l := range lines {
		sorted = append(sorted, l.text)
	}
	return sorted
}

func only(list []string, keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !keep(s) })
}

// Every way to ask, page by page in both directions, against a filter over all
// the lines.
func TestQueries(t *testing.T) {
	clock := base
	s := openStore(t, Config{Now: func() time.Time { return clock }})
	lines := fill(t, s, &clock)
	has := func(part string) func(string) bool { return func(s string) bool { return strings.HasSuffix(s, part) } }
	day := func(d int) time.Time { return base.AddDate(0, 0, d-2) }
	tests := []struct {
		name string
		q    Query
		keep func(string) bool
	}{
		{"all", Query{}, func(string) bool { return true }},
		{"tenant", Query{Tenant: tenant("blue")}, has("-blue")},
		{"no tenant", Query{Tenant: tenant("")}, has("-")},
		{"unknown tenant", Query{Tenant: tenant("green")}, func(string) bool { return false }},
		{"among", Query{Among: []alcove.Tenant{"red", ""}}, func(s string) bool { return !has("-blue")(s) }},
		{"tenant not among", Query{Tenant: tenant("blue"), Among: []alcove.Tenant{"red"}}, func(string) bool { return false }},
		{"stream", Query{Streams: []string{"stream-red"}}, has("-red")},
		{"streams", Query{Streams: []string{"stream-red", "stream-blue"}}, func(s string) bool { return !has("-")(s) }},
		{"no streams", Query{Streams: []string{}}, func(string) bool { return false }},
		{"prefix", Query{Prefix: "stream-r"}, has("-red")},
		{"prefix of all", Query{Prefix: "stream-"}, func(string) bool { return true }},
		{"stream of another tenant", Query{Streams: []string{"stream-red"}, Tenant: tenant("blue")}, func(string) bool { return false }},
		{"match", Query{Match: func(m []byte) bool { return m[2] == '1' }}, func(s string) bool { return s[2] == '1' }},
		{"tenant and match", Query{Tenant: tenant("red"), Match: func(m []byte) bool { return m[2] == '1' }}, func(s string) bool { return s[2] == '1' && has("-red")(s) }},
		{"since", Query{Since: day(1)}, func(s string) bool { return s[0] != '0' }},
		{"until", Query{Until: day(1)}, func(s string) bool { return s[0] == '0' }},
		{"one day", Query{Since: day(1), Until: day(2)}, func(s string) bool { return s[0] == '1' }},
		{"inside a day", Query{Since: day(1).Add(400 * time.Millisecond), Until: day(1).Add(1200 * time.Millisecond)}, func(s string) bool {
			var d, i int
			fmt.Sscanf(s, "%d-%d", &d, &i)
			return d == 1 && i*97%60 >= 10 && i*97%60 < 30
		}},
		{"before everything", Query{Until: time.UnixMilli(5)}, func(string) bool { return false }},
		{"after everything", Query{Since: base.AddDate(1, 0, 0)}, func(string) bool { return false }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.q.Group = "g"
			want := only(lines, tt.keep)
			for _, size := range []struct{ limit, bytes int }{{0, 0}, {1, 0}, {7, 300}} {
				q := tt.q
				q.Limit, q.Bytes = size.limit, size.bytes
				if got := all(t, s, q); !slices.Equal(got, want) {
					t.Fatalf("%+v: got %d %q, want %d %q", size, len(got), got, len(want), want)
				}
				q.NewestFirst = true
				got := all(t, s, q)
				slices.Reverse(got)
				if !slices.Equal(got, want) {
					t.Fatalf("%+v, newest first: got %q, want %q", size, got, want)
				}
			}
		})
	}
}

// A page is never larger than asked for, and cursors lead from any event to
// both sides.
func TestPagesAndCursors(t *testing.T) {
	clock := base
	s := openStore(t, Config{Now: func() time.Time { return clock }})
	lines := fill(t, s, &clock)
	p := query(t, s, Query{Group: "g", Limit: 50})
	if len(p.Events) != 50 || p.Next != p.Events[49].Cursor {
		t.Fatalf("%d events, next %s", len(p.Events), p.Next)
	}
	p = query(t, s, Query{Group: "g", Bytes: 10 * (eventCost + 10)})
	if n := len(p.Events); n < 5 || n > 11 {
		t.Errorf("%d events in 10 lines' bytes", n)
	}
	if n := len(query(t, s, Query{Group: "g", Bytes: 1}).Events); n != 1 {
		t.Errorf("a page of one byte has %d events", n)
	}
	everything := query(t, s, Query{Group: "g"}).Events
	for i, e := range everything {
		if i > 0 && everything[i-1].Cursor >= e.Cursor {
			t.Fatal("cursors do not sort as events do")
		}
		if i%20 == 0 {
			if got := all(t, s, Query{Group: "g", After: e.Cursor}); !slices.Equal(got, append([]string(nil), lines[i+1:]...)) {
				t.Errorf("after %d: %q", i, got)
			}
			back := all(t, s, Query{Group: "g", After: e.Cursor, NewestFirst: true})
			slices.Reverse(back)
			if !slices.Equal(back, append([]string(nil), lines[:i]...)) {
				t.Errorf("before %d: %q", i, back)
			}
		}
	}
}

// What was stored is there after the store was closed and opened, and new events
// come behind the old ones of the same time.
func TestReopen(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Now: func() time.Time { return base }}
	for i := range 3 {
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for j := range 100 {
			s.Stream("g", "s").Append("blue", base, fmt.Appendf(nil, "%d-%02d", i, j))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s.Stream("g", "s").Append("blue", base, []byte("after close"))
		if err := s.Flush(t.Context()); err != nil && !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
	s := openStore(t, cfg)
	got := all(t, s, Query{Group: "g"})
	if len(got) != 300 || !slices.IsSorted(got) {
		t.Errorf("%d events: %q", len(got), got)
	}
}

// A function cannot put its lines into another day by naming a time.
func TestTimesAreBounded(t *testing.T) {
	s := openStore(t, Config{})
	w := s.Stream("g", "s")
	for _, at := range []time.Time{{}, time.UnixMicro(-1 << 62), time.UnixMicro(1 << 62), base.Add(-2 * time.Hour), base.Add(2 * time.Minute)} {
		w.Append("", at, []byte("x"))
	}
	for _, e := range query(t, s, Query{Group: "g"}).Events {
		if !e.At.Equal(base) {
			t.Errorf("stored at %v", e.At)
		}
	}
	w.Append("", base.Add(-30*time.Minute), []byte("old"))
	if e := query(t, s, Query{Group: "g"}).Events[0]; !e.At.Equal(base.Add(-30*time.Minute)) || string(e.Message) != "old" {
		t.Errorf("first event %+v", e)
	}
}

func TestLongMessages(t *testing.T) {
	s := openStore(t, Config{})
	w := s.Stream("g", "s")
	long := strings.Repeat("x", MaxMessage-1) + "€"
	w.Append("", base, []byte(long))
	w.Append("", base, nil)
	got := messages(query(t, s, Query{Group: "g"}).Events)
	if len(got) != 2 || len(got[0]) > MaxMessage+2 || !strings.HasPrefix(got[0], long[:MaxMessage-1]) || got[1] != "" {
		t.Errorf("%d events, first has %d bytes", len(got), len(got[0]))
	}
}

func TestFollow(t *testing.T) {
	s := openStore(t, Config{BatchEvery: time.Millisecond})
	blue, red := s.Stream("g", "b"), s.Stream("g", "r")
	got := make(chan string, 1000)
	follow := func(q Query) (stop func() error) {
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- s.Follow(ctx, q, func(e Event) error { got <- string(e.Message); return nil })
		}()
		return func() error { cancel(errors.New("enough")); return <-ended }
	}
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if g := <-got; g != w {
				t.Fatalf("got %q, want %q", g, w)
			}
		}
	}
	stop := follow(Query{Group: "g", Tenant: tenant("blue")}) // the group is not there yet
	for i := range 200 {
		blue.Append("blue", base, fmt.Appendf(nil, "b%d", i))
		red.Append("red", base, fmt.Appendf(nil, "r%d", i))
		expect(fmt.Sprint("b", i))
	}
	if err := stop(); err == nil || err.Error() != "enough" {
		t.Errorf("ended with %v", err)
	}

	stop = follow(Query{Group: "g", Tenant: tenant("blue"), Limit: 3})
	expect("b197", "b198", "b199")
	blue.Append("blue", base, []byte("more"))
	expect("more")
	stop()

	stop = follow(Query{Group: "g", Streams: []string{"r", "later"}, Match: func(m []byte) bool { return !strings.HasSuffix(string(m), "7") }})
	for i := range 200 {
		if i%10 != 7 {
			expect(fmt.Sprint("r", i))
		}
	}
	s.Stream("g", "later").Append("", base, []byte("17"))
	s.Stream("g", "later").Append("", base, []byte("18"))
	red.Append("red", base, []byte("19"))
	expect("18", "19")
	stop()

	failed := errors.New("reader gone")
	if err := s.Follow(t.Context(), Query{Group: "g"}, func(Event) error { return failed }); err != failed {
		t.Errorf("ended with %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.followers) != 0 {
		t.Error("a follower stays behind")
	}
}
