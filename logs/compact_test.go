package logs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// compactAll makes blocks of everything.
func compactAll(t testing.TB, s *Store) {
	t.Helper()
	err := s.do(context.Background(), func() error {
		for _, sh := range s.shards.list {
			if err := s.compact(sh); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wrote is what a test appended, as it should come back.
type wrote struct {
	group, stream string
	tenant        alcove.Tenant
	at            int64
	text          string
}

// naive answers a query by looking at everything.
func naive(list []wrote, q Query) (out []string) {
	var found []wrote
	for _, w := range list {
		at := time.UnixMilli(w.at)
		if w.group != q.Group || q.Tenant != nil && w.tenant != *q.Tenant || q.Among != nil && !slices.Contains(q.Among, w.tenant) ||
			q.Streams != nil && !slices.Contains(q.Streams, w.stream) || !strings.HasPrefix(w.stream, q.Prefix) ||
			!q.Since.IsZero() && at.Before(q.Since) || !q.Until.IsZero() && !at.Before(q.Until) || q.Match != nil && !q.Match([]byte(w.text)) {
			continue
		}
		found = append(found, w)
	}
	slices.SortStableFunc(found, func(a, b wrote) int { return cmp.Compare(a.at, b.at) })
	for _, w := range found {
		out = append(out, fmt.Sprint(w.at, w.stream, w.tenant, w.text))
	}
	if q.NewestFirst {
		slices.Reverse(out)
	}
	return out
}

// Whatever is written, in whatever order, and whenever batches become blocks, days
// are opened anew or a group is deleted: every query gives what looking at
// everything gives, on pages of any size, and places stay what they were.
func TestQueriesAgreeWithANaiveScan(tt *testing.T) {
	rapid.Check(tt, func(t *rapid.T) {
		dir := tt.TempDir()
		clock := base
		open := func() *Store {
			s, err := Open(Config{Dir: dir, BatchEvery: time.Microsecond, Now: func() time.Time { return clock }})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		defer func() { s.Close() }()
		groups, streams, tenants := []string{"g", "h"}, []string{"a1", "a2", "b"}, []alcove.Tenant{"", "blue", "red"}
		var list []wrote
		places := map[string]Cursor{}
		steps := rapid.IntRange(1, 12).Draw(t, "steps")
		for range steps {
			switch rapid.SampledFrom([]string{"write", "write", "write", "write", "compact", "reopen", "delete"}).Draw(t, "what") {
			case "write":
				far := rapid.Bool().Draw(t, "far")
				w := wrote{group: rapid.SampledFrom(groups).Draw(t, "group"), stream: rapid.SampledFrom(streams).Draw(t, "stream"),
					tenant: rapid.SampledFrom(tenants).Draw(t, "tenant")}
				for i := range rapid.IntRange(1, 30).Draw(t, "lines") {
					w.at = clock.Add(time.Duration(rapid.Int64Range(-3_000_000, 50_000).Draw(t, "at")) * time.Millisecond).UnixMilli()
					if !far {
						w.at = clock.UnixMilli()
					}
					w.text = fmt.Sprint(len(list), " ", strings.Repeat("x", rapid.SampledFrom([]int{0, 10, 30_000}).Draw(t, "size")))
					s.Stream(w.group, w.stream).Append(w.tenant, time.UnixMilli(w.at), []byte(w.text))
					list = append(list, w)
					if i%7 == 0 {
						clock = clock.Add(40 * time.Millisecond)
					}
				}
				if err := s.Flush(tt.Context()); err != nil {
					t.Fatal(err)
				}
				clock = clock.Add(time.Duration(rapid.SampledFrom([]int64{1, 300, 5000, 2_000_000}).Draw(t, "pause")) * time.Millisecond)
			case "compact":
				compactAll(tt, s)
			case "reopen":
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open()
			case "delete":
				if err := s.DeleteGroup(tt.Context(), "h"); err != nil && !errors.Is(err, ErrNoGroup) {
					t.Fatal(err)
				}
				list = slices.DeleteFunc(list, func(w wrote) bool { return w.group == "h" })
			}
			q := Query{Group: rapid.SampledFrom(groups).Draw(t, "of"), NewestFirst: rapid.Bool().Draw(t, "newest")}
			if !slices.ContainsFunc(list, func(w wrote) bool { return w.group == q.Group }) {
				continue
			}
			if rapid.Bool().Draw(t, "byTenant") {
				q.Tenant = new(rapid.SampledFrom(tenants).Draw(t, "whose"))
			} else if rapid.Bool().Draw(t, "among") {
				q.Among = []alcove.Tenant{"", "red"}
			}
			if rapid.Bool().Draw(t, "byPrefix") {
				q.Prefix = "a"
			} else if name := rapid.SampledFrom(streams).Draw(t, "in"); rapid.Bool().Draw(t, "byStream") &&
				slices.ContainsFunc(list, func(w wrote) bool { return w.group == q.Group && w.stream == name }) {
				q.Streams = []string{name}
			}
			if rapid.Bool().Draw(t, "since") {
				q.Since = base.Add(time.Duration(rapid.Int64Range(-3_000_000, 20_000_000).Draw(t, "from")) * time.Millisecond)
			}
			if rapid.Bool().Draw(t, "until") {
				q.Until = base.Add(time.Duration(rapid.Int64Range(-3_000_000, 20_000_000).Draw(t, "to")) * time.Millisecond)
			}
			want := naive(list, q)
			q.Limit = rapid.SampledFrom([]int{1, 7, 1000}).Draw(t, "limit")
			var got []string
			var last Cursor
			for pages := q; ; {
				p, err := s.Query(tt.Context(), pages)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range p.Events {
					text := fmt.Sprint(e.At.UnixMilli(), e.Stream, e.Tenant, string(e.Message))
					got = append(got, text)
					if old, ok := places[text]; ok && old != e.Cursor {
						t.Fatalf("%.60s was at %s and is at %s", text, old, e.Cursor)
					}
					places[text] = e.Cursor
					if last != "" && (e.Cursor > last) == q.NewestFirst {
						t.Fatalf("%s behind %s", e.Cursor, last)
					}
					last = e.Cursor
				}
				if pages.After = p.Next; p.Next == "" {
					break
				}
			}
			// Which of several streams' events of one time comes first is open.
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%+v: %d events, want %d\n%.200q\n%.200q", q, len(got), len(want), got, want)
			}
		}
		var missing []string
		for _, w := range list {
			if w.group == "g" {
				missing = append(missing, w.text)
			}
		}
		if len(missing) == 0 {
			return
		}
		for l, err := range s.Lines(tt.Context(), Query{Group: "g"}) {
			if err != nil {
				t.Fatal(err)
			}
			i := slices.Index(missing, string(l.Message))
			if i < 0 {
				t.Fatalf("%.20s is given and was not written, or given twice", l.Message)
			}
			missing = slices.Delete(missing, i, i+1)
		}
		if len(missing) > 0 {
			t.Fatalf("%d lines are not given", len(missing))
		}
	})
}

// Whoever follows or reads while batches become blocks gets every event once.
func TestReadersWhileBlocksAreMade(t *testing.T) {
	s := openStore(t, Config{BatchEvery: time.Microsecond, Now: time.Now})
	const lines = 4000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started, followed := make(chan struct{}), make(chan map[string]int)
	s.Stream("g", "s").Append("blue", time.Now(), []byte("begin"))
	go func() {
		seen := make(map[string]int)
		s.Follow(ctx, Query{Group: "g"}, func(e Event) error {
			if string(e.Message) == "begin" {
				close(started)
				return nil
			}
			if seen[string(e.Message)]++; len(seen) == lines {
				return errors.New("all")
			}
			return nil
		})
		followed <- seen
	}()
	<-started
	for i := range lines {
		s.Stream("g", fmt.Sprint("s", i%3)).Append("blue", time.Now(), fmt.Append(nil, i))
		switch {
		case i%97 == 0:
			compactAll(t, s)
		case i%13 == 0:
			s.Flush(t.Context())
		}
		if i%500 == 250 {
			n := 0
			for l, err := range s.Lines(t.Context(), Query{Group: "g", NewestFirst: i%1000 == 250}) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n%100 == 1 {
					compactAll(t, s)
				}
				_ = l
			}
			if n != i+2 {
				t.Errorf("%d lines of %d", n, i+2)
			}
		}
	}
	s.Flush(t.Context())
	seen := <-followed
	for i := range lines {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Fatalf("line %d was followed %d times", i, n)
		}
	}
}

// Many lines become blocks by themselves, and take less room than their text.
func TestBlocksAreMadeWhenDue(t *testing.T) {
	s := openStore(t, Config{})
	const lines = 250_000
	for i := range lines {
		s.Stream("g", fmt.Sprint("s", i%50)).Append(alcove.Tenant(fmt.Sprint("t", i%50)), base, fmt.Appendf(nil, `{"level":"INFO","message":"line %d of a test"}`+"\n", i))
		if i%2000 == 0 {
			s.Flush(t.Context())
		}
	}
	s.Flush(t.Context())
	sh := s.shards.list[0]
	db, err := sh.reader()
	if err != nil {
		t.Fatal(err)
	}
	var blocks, waiting, text, payload int64
	if err := db.QueryRow(`SELECT count(*), ifnull(sum(text), 0), ifnull(sum(length(payload)), 0) FROM blocks`).Scan(&blocks, &text, &payload); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow(`SELECT ifnull(sum(length(payload)), 0) FROM batches`).Scan(&waiting); err != nil {
		t.Fatal(err)
	}
	if blocks < 50 || waiting > waitingBytes || payload*3 > text {
		t.Errorf("%d blocks of %d bytes for %d, %d wait", blocks, payload, text, waiting)
	}
	if n := len(all(t, s, Query{Group: "g", Tenant: tenant("t7")})); n != lines/50 {
		t.Errorf("t7 has %d lines", n)
	}
}

// A store that was killed before its index knew of the last events tells it.
func TestIndexLearnsAfterACrash(t *testing.T) {
	clock := base
	cfg := Config{Dir: t.TempDir(), Now: func() time.Time { return clock }}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Stream("g", "s").Append("", base, []byte("known"))
	if _, err := s.Group(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	clock = base.Add(time.Minute)
	s.Stream("g", "s").Append("", clock, []byte("untold"))
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	for _, name := range []string{"index.db", "index.db-wal", "2026-11-23.db", "2026-11-23.db-wal"} {
		copyFile(t, filepath.Join(cfg.Dir, name), filepath.Join(crashed, name))
	}
	s.Close()
	clock = base.Add(time.Hour)
	s = openStore(t, Config{Dir: crashed, Now: cfg.Now})
	s.Stream("g", "other").Append("", clock, []byte("x"))
	g, err := s.Group(t.Context(), "g")
	if err != nil || g.Bytes < 12 || g.Bytes > 20 {
		t.Errorf("group %+v, %v", g, err)
	}
	list, _, err := s.Streams(t.Context(), StreamQuery{Group: "g", Prefix: "s"})
	if err != nil || len(list) != 1 || !list[0].LastEvent.Equal(base.Add(time.Minute)) || !list[0].FirstEvent.Equal(base) {
		t.Errorf("%+v, %v", list, err)
	}
}

// oldDay makes a day as it was before there were blocks.
func oldDay(t *testing.T, dir string, lines int) {
	t.Helper()
	s, err := Open(Config{Dir: dir, Now: func() time.Time { return base }})
	if err != nil {
		t.Fatal(err)
	}
	s.Stream("g", "blue").Append("", base, []byte("x"))
	s.Stream("g", "red").Append("", base, []byte("x"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "2026-11-23.db")
	if err := sqlite.Remove(path); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(path, "rwc", 512)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(`
CREATE TABLE tenants(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE held(grp INTEGER NOT NULL, tenant INTEGER NOT NULL, bytes INTEGER NOT NULL, chunks INTEGER NOT NULL, PRIMARY KEY(grp, tenant)) WITHOUT ROWID;
CREATE TABLE chunks(
	id INTEGER PRIMARY KEY, grp INTEGER NOT NULL, stream INTEGER NOT NULL, tenant INTEGER NOT NULL,
	least INTEGER NOT NULL, most INTEGER NOT NULL, lines INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX chunks_by_group ON chunks(grp, least);
CREATE INDEX chunks_by_stream ON chunks(stream, least);
CREATE INDEX chunks_by_tenant ON chunks(tenant, grp, least);
INSERT INTO tenants VALUES(1, 'blue'), (2, 'red');`)
	if err != nil {
		t.Fatal(err)
	}
	id := base.UnixMicro()
	for i := range lines {
		who := i%2 + 1
		at := base.UnixMilli() + int64(i)*100
		r := &run{w: &Writer{}, events: []*event{{at: at, message: fmt.Appendf(nil, "old %d", i)}, {at: at + 3, message: fmt.Appendf(nil, "older %d", i)}}}
		c := r.chunks()[0]
		if _, err := db.Exec(`INSERT INTO chunks VALUES(?, 1, ?, ?, ?, ?, ?, ?)`, id, who, who, c.least, c.most, c.lines, c.payload); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`INSERT INTO held VALUES(1, ?, ?, 1) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes, chunks = chunks + 1`, who, len(c.payload)); err != nil {
			t.Fatal(err)
		}
		id += 2
	}
}

// Days from before there were blocks can be read, written to, trimmed and purged.
func TestOldDays(t *testing.T) {
	dir := t.TempDir()
	const lines = 500
	oldDay(t, dir, lines)
	clock := base.Add(time.Minute)
	s := openStore(t, Config{Dir: dir, Now: func() time.Time { return clock }})
	check := func(when string, blue, red int) {
		t.Helper()
		for _, newest := range []bool{false, true} {
			for _, q := range []struct {
				q    Query
				want int
			}{{Query{Group: "g"}, blue + red}, {Query{Group: "g", Tenant: tenant("blue")}, blue}, {Query{Group: "g", Tenant: tenant("red")}, red},
				{Query{Group: "g", Streams: []string{"blue"}}, blue}} {
				q.q.NewestFirst, q.q.Limit = newest, 77
				if got := len(all(t, s, q.q)); got != q.want {
					t.Errorf("%s: %+v gives %d, want %d", when, q.q, got, q.want)
				}
			}
		}
	}
	check("before it is written to", lines, lines)
	s.Stream("g", "blue").Append("blue", clock, []byte("new"))
	check("with a batch", lines+1, lines)
	compactAll(t, s)
	check("with a block", lines+1, lines)
	if err := s.PurgeTenant(t.Context(), "red"); err != nil {
		t.Fatal(err)
	}
	check("purged", lines+1, 0)
	if err := s.do(t.Context(), func() error { _, err := s.trim(1); return err }); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, Query{Group: "g"}); len(got) < lines-1 || len(got) > lines || got[0] != "old 2" {
		t.Errorf("trimmed: %d lines from %s", len(got), got[0])
	}
	if err := s.DeleteGroup(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) {
		var n int
		err := s.do(t.Context(), func() error {
			sh, _ := s.shards.oldest()
			if err := s.writing(sh); err != nil {
				return err
			}
			return sh.w.QueryRow(`SELECT (SELECT count(*) FROM chunks) + (SELECT count(*) FROM blocks)`).Scan(&n)
		})
		return err == nil && n == 0, fmt.Sprint(n, err)
	})
}

// Whatever is in a row: no panic, and an error or as much as it says.
func FuzzRows(f *testing.F) {
	list := []chunk{{id: 10, group: 1, stream: 2, tenant: "blue", least: 5, most: 6, lines: 1, payload: []byte("\x00\x01x")},
		{id: 11, group: 1, stream: 3, least: 4, most: 4, lines: 2, payload: []byte("\x00\x00\x00\x00")}}
	b := batches(list)[0]
	f.Add(b.contents, b.payload, int64(4), 2)
	c := newCodec()
	block, _ := c.encode([]place{{5, 10, []byte("hello")}, {9, 8, nil}}, nil)
	f.Add([]byte{}, block, int64(5), 2)
	f.Fuzz(func(t *testing.T, contents, payload []byte, least int64, lines int) {
		if least < 0 || least > math.MaxInt64/2 {
			return
		}
		x := batch{id: 12, first: 10, least: least, contents: contents, payload: payload}
		n := 0
		err := x.each(func(c chunk, p part) {
			n += c.lines
			_, _ = p.cut(payload)
		})
		if err == nil && n != 3 {
			t.Fatalf("%d events of 3", n)
		}
		places, err := c.decode(payload, least, min(lines, 1<<20))
		if err == nil && len(places) != lines {
			t.Fatalf("%d events of %d", len(places), lines)
		}
	})
}

func TestBlocksKeepWhatTheyAreMadeOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []place
		for i := range rapid.IntRange(1, 200).Draw(t, "n") {
			list = append(list, place{at: rapid.Int64Range(0, 5_000_000).Draw(t, "at"), id: int64(i)*3 + 7, message: rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "m")})
		}
		want := slices.Clone(list)
		codec := newCodec()
		from := rapid.Int64Range(0, 5_000_000).Draw(t, "from")
		var got []place
		for _, piece := range cutBlocks(list, from, from+2_000_000) {
			least, most := piece[0].at, piece[len(piece)-1].at
			if span := spans[classOf(most-least)]; most-least > span || (least < from || most > from+2_000_000) && most-least > chunkSpan {
				t.Fatalf("%d milliseconds in a block", most-least)
			}
			payload, _ := codec.encode(piece, nil)
			back, err := codec.decode(payload, least, len(piece))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, back...)
		}
		slices.SortFunc(want, func(a, b place) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
		if !slices.EqualFunc(got, want, func(a, b place) bool { return a.at == b.at && a.id == b.id && bytes.Equal(a.message, b.message) }) {
			t.Fatal("not the same")
		}
	})
}
