package logs

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
)

func groupNames(list []Group) (names []string) {
	for _, g := range list {
		names = append(names, g.Name)
	}
	return names
}

func streamNames(list []Stream) (names []string) {
	for _, st := range list {
		names = append(names, st.Name)
	}
	return names
}

func TestGroups(t *testing.T) {
	s := openStore(t, Config{})
	for _, g := range []string{"/aws/lambda/b", "/aws/lambda/a", "/custom", "/aws/lambda/c"} {
		s.Stream(g, "s").Append("", base, []byte("12345"))
	}
	tests := []struct {
		q    GroupQuery
		want []string
		next string
	}{
		{GroupQuery{}, []string{"/aws/lambda/a", "/aws/lambda/b", "/aws/lambda/c", "/custom"}, ""},
		{GroupQuery{Limit: 2}, []string{"/aws/lambda/a", "/aws/lambda/b"}, "/aws/lambda/b"},
		{GroupQuery{Limit: 2, After: "/aws/lambda/b"}, []string{"/aws/lambda/c", "/custom"}, ""},
		{GroupQuery{Prefix: "/aws/"}, []string{"/aws/lambda/a", "/aws/lambda/b", "/aws/lambda/c"}, ""},
		{GroupQuery{Contains: "STOM"}, []string{"/custom"}, ""},
		{GroupQuery{Prefix: "x"}, nil, ""},
	}
	for _, tt := range tests {
		got, next, err := s.Groups(t.Context(), tt.q)
		if err != nil || !slices.Equal(groupNames(got), tt.want) || next != tt.next {
			t.Errorf("%+v: %q, next %q, %v", tt.q, groupNames(got), next, err)
		}
	}
	g, err := s.Group(t.Context(), "/custom")
	if err != nil || g.Bytes != 5 || !g.Created.Equal(base) || g.RetentionDays != 0 {
		t.Errorf("group %+v, %v", g, err)
	}
	if err := s.CreateGroup(t.Context(), "/custom", map[string]string{"a": "b"}); !errors.Is(err, ErrExists) {
		t.Errorf("create again: %v", err)
	}
	if err := s.CreateGroup(t.Context(), "/new", nil); err != nil {
		t.Error(err)
	}
	if err := s.CreateStream(t.Context(), "/new", "st"); err != nil {
		t.Error(err)
	}
	if err := s.CreateStream(t.Context(), "/new", "st"); !errors.Is(err, ErrExists) {
		t.Errorf("create again: %v", err)
	}
	if err := s.CreateStream(t.Context(), "/none", "st"); !errors.Is(err, ErrNoGroup) {
		t.Errorf("stream of no group: %v", err)
	}
}

func TestStreams(t *testing.T) {
	clock := base
	s := openStore(t, Config{Now: func() time.Time { return clock }})
	for i, name := range []string{"b", "a", "d", "c"} { // by last event: b a d c
		clock = base.Add(time.Duration(i) * time.Second)
		w := s.Stream("g", name)
		w.Append("", clock.Add(-time.Minute), []byte("x"))
		w.Append("", clock, []byte("y"))
		w.Append("", clock.Add(-time.Second), []byte("z"))
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CreateStream(t.Context(), "g", "empty"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		q    StreamQuery
		want []string
	}{
		{StreamQuery{}, []string{"a", "b", "c", "d", "empty"}},
		{StreamQuery{Descending: true}, []string{"empty", "d", "c", "b", "a"}},
		{StreamQuery{ByLastEvent: true}, []string{"empty", "b", "a", "d", "c"}},
		{StreamQuery{ByLastEvent: true, Descending: true}, []string{"c", "d", "a", "b", "empty"}},
		{StreamQuery{Prefix: "e"}, []string{"empty"}},
	}
	for _, tt := range tests {
		for _, limit := range []int{1, 2, 50} {
			tt.q.Group, tt.q.Limit, tt.q.After = "g", limit, ""
			var got []string
			for {
				list, next, err := s.Streams(t.Context(), tt.q)
				if err != nil || len(list) > limit {
					t.Fatalf("%d streams, %v", len(list), err)
				}
				got = append(got, streamNames(list)...)
				if tt.q.After = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%+v: got %q, want %q", tt.q, got, tt.want)
			}
		}
	}
	list, _, err := s.Streams(t.Context(), StreamQuery{Group: "g", Prefix: "a"})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	second := base.Add(time.Second)
	if st := list[0]; !st.Created.Equal(second) || !st.FirstEvent.Equal(second.Add(-time.Minute)) || !st.LastEvent.Equal(second) || !st.Ingested.Equal(second) {
		t.Errorf("stream %+v", st)
	}
	if _, _, err := s.Streams(t.Context(), StreamQuery{Group: "g", After: "nonsense"}); !errors.Is(err, ErrBadCursor) {
		t.Errorf("bad cursor: %v", err)
	}
	if _, _, err := s.Streams(t.Context(), StreamQuery{Group: "none"}); !errors.Is(err, ErrNoGroup) {
		t.Errorf("no group: %v", err)
	}
}

func TestPut(t *testing.T) {
	s := openStore(t, Config{})
	old := base.AddDate(0, 0, -10)
	if err := s.Put(t.Context(), "g", "s", []Entry{{old, []byte("a")}}); !errors.Is(err, ErrNoGroup) {
		t.Fatalf("put into nothing: %v", err)
	}
	s.Stream("g", "s").Append("blue", base, []byte("b"))
	if err := s.Put(t.Context(), "g", "s", []Entry{{old, []byte("a")}, {base.Add(time.Hour), []byte("c")}}); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, Query{Group: "g"}); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %q", got)
	}
	if got := all(t, s, Query{Group: "g", Tenant: tenant("blue")}); !slices.Equal(got, []string{"b"}) {
		t.Errorf("blue has %q", got)
	}
}

// What was deleted cannot be read, a group made again is empty, writers that
// stay open go on, and the room is reclaimed.
func TestDelete(t *testing.T) {
	s := openStore(t, Config{BatchEvery: time.Millisecond})
	w1, w2, other := s.Stream("g", "1"), s.Stream("g", "2"), s.Stream("other", "1")
	for _, w := range []*Writer{w1, w2, other} {
		w.Append("blue", base, []byte("old "+w.stream))
	}
	if err := s.DeleteStream(t.Context(), "g", "1"); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, Query{Group: "g"}); !slices.Equal(got, []string{"old 2"}) {
		t.Errorf("after the stream was deleted: %q", got)
	}
	if err := s.DeleteStream(t.Context(), "g", "1"); !errors.Is(err, ErrNoStream) {
		t.Errorf("again: %v", err)
	}
	if err := s.DeleteGroup(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteGroup(t.Context(), "g"); !errors.Is(err, ErrNoGroup) {
		t.Errorf("again: %v", err)
	}
	w1.Append("blue", base, []byte("new 1"))
	if got := all(t, s, Query{Group: "g", Tenant: tenant("blue")}); !slices.Equal(got, []string{"new 1"}) {
		t.Errorf("in the new group: %q", got)
	}
	if got := all(t, s, Query{Group: "other"}); !slices.Equal(got, []string{"old 1"}) {
		t.Errorf("other group: %q", got)
	}
	eventually(t, func() (bool, string) {
		sh, _ := s.shards.oldest()
		db, err := sh.reader()
		if err != nil {
			t.Fatal(err)
		}
		var chunks, doomed int
		if err := db.QueryRow(`SELECT (SELECT count(*) FROM blocks) + (SELECT count(*) FROM batches)`).Scan(&chunks); err != nil {
			t.Fatal(err)
		}
		if err := s.index.r.QueryRow(`SELECT count(*) FROM doomed`).Scan(&doomed); err != nil {
			t.Fatal(err)
		}
		return chunks == 2 && doomed == 0, fmt.Sprintf("%d chunks, %d doomed", chunks, doomed)
	})
}

// eventually waits for something that a goroutine does in the background.
func eventually(t *testing.T, done func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(slow.Patience(time.Minute))
	for {
		ok, state := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("not reached: ", state)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestRetention(t *testing.T) {
	clock := base.AddDate(0, 0, -5)
	s := openStore(t, Config{BatchEvery: time.Millisecond, Now: func() time.Time { return clock }})
	for range 6 {
		s.Stream("g", "s").Append("", clock, []byte(clock.Format(time.DateOnly)))
		s.Stream("kept", "s").Append("", clock, []byte("x"))
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		clock = clock.AddDate(0, 0, 1)
	}
	clock = base
	if err := s.SetRetention(t.Context(), "none", 3); !errors.Is(err, ErrNoGroup) {
		t.Errorf("retention of no group: %v", err)
	}
	if err := s.SetRetention(t.Context(), "g", 2); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, Query{Group: "g"}); !slices.Equal(got, []string{"2026-11-21", "2026-11-22", "2026-11-23"}) {
		t.Errorf("got %q", got)
	}
	if g, err := s.Group(t.Context(), "g"); err != nil || g.RetentionDays != 2 {
		t.Errorf("group %+v, %v", g, err)
	}
	if got := all(t, s, Query{Group: "kept"}); len(got) != 6 {
		t.Errorf("the other group keeps %d", len(got))
	}
	if err := s.DeleteGroup(t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) {
		_, n := s.shards.oldest()
		return n == 3, fmt.Sprintf("%d days", n)
	})
	if got := all(t, s, Query{Group: "g"}); len(got) != 3 {
		t.Errorf("got %q", got)
	}
}
