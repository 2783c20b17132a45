package queries

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/turns"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/insights"
)

func request(t testing.TB, party, text string) Request {
	t.Helper()
	q, err := insights.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Owner: Owner{Caller: party, Party: party}, Text: text, Query: q, Groups: []Group{{Name: "g"}}}
}

// some is a store of so many lines, each with a number.
func some(n int) func(context.Context, logs.Query) iter.Seq2[logs.Line, error] {
	return func(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
		return func(yield func(logs.Line, error) bool) {
			for i := range n {
				if ctx.Err() != nil {
					yield(logs.Line{}, errors.New("interrupted"))
					return
				}
				if !yield(logs.Line{Stream: "s", At: int64(n - i), Message: fmt.Appendf(nil, `{"n":%d}`, i)}, nil) {
					return
				}
			}
		}
	}
}

// stuck is a store whose first line comes when a query ends, or when it is let go.
func stuck(let <-chan struct{}, begun *[]string) func(context.Context, logs.Query) iter.Seq2[logs.Line, error] {
	return func(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
		return func(yield func(logs.Line, error) bool) {
			if begun != nil {
				*begun = append(*begun, q.Group)
			}
			select {
			case <-let:
			case <-ctx.Done():
				yield(logs.Line{}, errors.New("interrupted"))
			}
		}
	}
}

func status(t testing.TB, r *Runner, id string) Status {
	t.Helper()
	i, err := r.Info(id)
	if err != nil {
		t.Fatal(err)
	}
	return i.Status
}

func start(t testing.TB, r *Runner, q Request) string {
	t.Helper()
	id, err := r.Start(q)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAQueryAndItsResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Lines: some(25_000), Account: "1"})
		defer r.Close()
		q := request(t, "a", "fields n, @log, @ptr | filter n >= 10")
		q.Rows = 100_000
		id := start(t, r, q)
		synctest.Wait()
		if s := status(t, r, id); s != Complete {
			t.Fatal(s)
		}
		var numbers []string
		for from := 0; ; {
			rows, info, all, err := r.Results(id, from, 7000, 300_000)
			if err != nil || all != 24_990 || info.Matched != 24_990 || info.Scanned != 25_000 || info.Bytes < 25_000*7 || info.Groups != 1 {
				t.Fatal(err, all, info)
			}
			for _, row := range rows {
				var cells []struct{ Field, Value string }
				if err := json.Unmarshal(row, &cells); err != nil || len(cells) != 3 || cells[1].Value != "1:g" {
					t.Fatalf("%s: %v", row, err)
				}
				if group, _, ok := ParsePointer(cells[2].Value); !ok || group != "g" {
					t.Fatalf("pointer %s", cells[2].Value)
				}
				numbers = append(numbers, cells[0].Value)
			}
			if len(rows) > 7000 || len(bytes.Join(rows, nil)) > 300_000 {
				t.Fatalf("%d rows", len(rows))
			}
			if from += len(rows); len(rows) == 0 {
				break
			}
		}
		if len(numbers) != 24_990 || numbers[0] != "10" || numbers[24_989] != "24999" {
			t.Errorf("%d rows, %s to %s", len(numbers), numbers[0], numbers[len(numbers)-1])
		}
		if kept := r.jobs[id].pages.size; kept > 1<<20 {
			t.Errorf("the result takes %d bytes", kept)
		}
		// It is kept for a while.
		time.Sleep(DefaultKeep - time.Second)
		if s := status(t, r, id); s != Complete {
			t.Error(s)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := r.Info(id); err != ErrNotThere {
			t.Errorf("after it was kept: %v", err)
		}
	})
}

func TestHowQueriesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Lines: stuck(nil, nil), AtWork: 2, Turns: turns.New(2)})
		first, second, third := start(t, r, request(t, "a", "limit 1")), start(t, r, request(t, "b", "limit 1")), start(t, r, request(t, "c", "limit 1"))
		synctest.Wait()
		if status(t, r, first) != Running || status(t, r, second) != Running || status(t, r, third) != Scheduled {
			t.Errorf("%+v", r.List())
		}
		if err := r.Stop(second); err != nil || status(t, r, second) != Cancelled {
			t.Errorf("stop: %v", err)
		}
		if err := r.Stop(second); err != ErrEnded {
			t.Errorf("stop again: %v", err)
		}
		synctest.Wait()
		if s := status(t, r, third); s != Running {
			t.Errorf("the next one is %s", s)
		}
		time.Sleep(DefaultTimeout + time.Second)
		synctest.Wait()
		if status(t, r, first) != Timeout || status(t, r, third) != Timeout {
			t.Errorf("%+v", r.List())
		}
		if i, _ := r.Info(first); i.Took != DefaultTimeout {
			t.Errorf("took %s", i.Took)
		}
		last := start(t, r, request(t, "a", "limit 1"))
		r.Close()
		if _, err := r.Info(last); err != ErrNotThere {
			t.Errorf("closed: %v", err)
		}
		if _, err := r.Start(request(t, "a", "limit 1")); err != ErrClosed {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestQueriesThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := some(1000)
		r := New(Config{Memory: 10 << 10, Result: 20 << 10, Lines: func(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
			switch q.Group {
			case "broken":
				return func(yield func(logs.Line, error) bool) { yield(logs.Line{}, errors.New("broken")) }
			case "panics":
				panic("a fault of the program's")
			}
			return lines(ctx, q)
		}})
		defer r.Close()
		in := func(group string) Request {
			q := request(t, "a", "limit 1")
			q.Groups[0].Name = group
			return q
		}
		for i, q := range []Request{request(t, "a", "stats count(*) by n"), request(t, "a", "fields n"), in("broken"), in("panics")} {
			id := start(t, r, q)
			synctest.Wait()
			if s := status(t, r, id); s != Failed {
				t.Errorf("%d: %s", i, s)
			}
		}
		id := start(t, r, request(t, "a", "stats count(*) as n"))
		synctest.Wait()
		if rows, _, _, err := r.Results(id, 0, 10, 1); err != nil || len(rows) != 1 || string(rows[0]) != `[{"field":"n","value":"1000"}]` {
			t.Errorf("the next one: %q %v", rows, err)
		}
	})
}

// However much one party asks, another one has every other turn.
func TestPartiesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		var begun []string
		r := New(Config{Lines: stuck(let, &begun), AtWork: 1, Turns: turns.New(1), Active: 40})
		defer r.Close()
		of := func(party string) Request {
			q := request(t, party, "limit 1")
			q.Groups[0].Name = party
			return q
		}
		for range DefaultPartyActive {
			start(t, r, of("greedy"))
		}
		if _, err := r.Start(of("greedy")); err != ErrTooMany {
			t.Errorf("beyond a party's share: %v", err)
		}
		for range 5 {
			start(t, r, of("modest"))
		}
		for range 10 {
			let <- struct{}{}
			synctest.Wait()
		}
		if want := append(slices.Repeat([]string{"greedy", "modest"}, 5), "greedy"); !slices.Equal(begun, want) {
			t.Errorf("%q", begun)
		}
		for i := range 5 {
			start(t, r, of(fmt.Sprint("other", i)))
		}
		for range 9 {
			start(t, r, of("more"))
		}
		for i := range 20 {
			if _, err := r.Start(of(fmt.Sprint("last", i))); err == ErrTooMany {
				return
			}
		}
		t.Error("there is no end of queries that wait")
	})
}

func TestResultsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Config{Lines: some(2000), Results: 100 << 10})
		defer r.Close()
		modest := start(t, r, request(t, "modest", "limit 1"))
		var greedy []string
		for range 30 {
			greedy = append(greedy, start(t, r, request(t, "greedy", "fields n, @ptr")))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		total := 0
		for _, j := range r.jobs {
			total += j.cost()
		}
		if s := status(t, r, modest); s != Complete || total > 100<<10 {
			t.Errorf("%s, %d bytes", s, total)
		}
		if _, err := r.Info(greedy[0]); err != ErrNotThere {
			t.Errorf("the oldest of who has most: %v", err)
		}
		if s := status(t, r, greedy[29]); s != Complete {
			t.Error(s)
		}
	})
}

// A purge leaves nothing that may be the tenant's, and waits for what reads it.
func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		waiting := stuck(let, nil)
		var reading atomic.Int32
		r := New(Config{Lines: func(ctx context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
			if q.Group != "slow" {
				return some(3)(ctx, q)
			}
			return func(yield func(logs.Line, error) bool) {
				reading.Add(1)
				defer reading.Add(-1)
				for l, err := range waiting(ctx, q) {
					time.Sleep(time.Second)
					yield(l, err)
					return
				}
			}
		}})
		defer r.Close()
		of := func(g Group) Request {
			q := request(t, "a", "limit 1")
			q.Groups = []Group{{Name: "other", Only: new(alcove.Tenant("green"))}, g}
			return q
		}
		everybody := start(t, r, of(Group{Name: "g"}))
		its := start(t, r, of(Group{Name: "g", Only: new(alcove.Tenant("blue"))}))
		slow := start(t, r, of(Group{Name: "slow", Visible: func(t alcove.Tenant) bool { return t == "blue" }}))
		red := start(t, r, of(Group{Name: "g", Only: new(alcove.Tenant("red"))}))
		visible := start(t, r, of(Group{Name: "g", Visible: func(t alcove.Tenant) bool { return t != "blue" }}))
		synctest.Wait()
		if reading.Load() != 1 {
			t.Fatal("nothing is read")
		}
		if err := r.PurgeTenant(t.Context(), "blue"); err != nil || reading.Load() != 0 {
			t.Errorf("%v, %d read", err, reading.Load())
		}
		for _, id := range []string{everybody, its, slow} {
			if _, err := r.Info(id); err != ErrNotThere {
				t.Errorf("after the purge: %v", err)
			}
		}
		synctest.Wait()
		for _, id := range []string{red, visible} {
			if s := status(t, r, id); s != Complete {
				t.Error(s)
			}
		}
	})
}

// Several groups are one sequence, in the order of the times.
func TestGroupsAreMerged(t *testing.T) {
	for _, text := range []string{"fields @timestamp | sort @timestamp desc", "fields @timestamp | sort @timestamp asc"} {
		synctest.Test(t, func(t *testing.T) {
			r := New(Config{Lines: func(_ context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
				return func(yield func(logs.Line, error) bool) {
					step := int64(len(q.Group))
					for i := range int64(60) {
						at := i * step
						if q.NewestFirst {
							at = (59 - i) * step
						}
						if !yield(logs.Line{At: at}, nil) {
							return
						}
					}
				}
			}})
			defer r.Close()
			q := request(t, "a", text)
			q.Groups = []Group{{Name: "a"}, {Name: "bb"}, {Name: "ccc"}}
			id := start(t, r, q)
			synctest.Wait()
			rows, info, _, err := r.Results(id, 0, 1000, 1<<20)
			var times []string
			for _, row := range rows {
				times = append(times, strings.Split(string(row), `"`)[7])
			}
			if strings.HasSuffix(text, "desc") {
				slices.Reverse(times)
			}
			if err != nil || info.Groups != 3 || len(times) != 180 || !slices.IsSorted(times) || times[179] != "1970-01-01 00:00:00.177" {
				t.Errorf("%v %d %q", err, len(times), times)
			}
		})
	}
}

// What a query asks of the store is what it names.
func TestTenantsAreLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []logs.Query
		r := New(Config{Lines: func(_ context.Context, q logs.Query) iter.Seq2[logs.Line, error] {
			asked = append(asked, q)
			return func(func(logs.Line, error) bool) {}
		}})
		defer r.Close()
		q := request(t, "a", `filter tenantId = "blue" or record.tenantId = "blue" | sort @timestamp asc`)
		q.Since, q.Until = time.UnixMilli(5), time.UnixMilli(9)
		start(t, r, q)
		synctest.Wait()
		if len(asked) != 1 || !slices.Equal(asked[0].Among, []alcove.Tenant{"", "blue"}) || asked[0].NewestFirst || asked[0].Since != q.Since || asked[0].Until != q.Until || asked[0].Tenant != nil {
			t.Errorf("%+v", asked)
		}
	})
}

func FuzzRow(f *testing.F) {
	f.Add("a", "b\n\"\\\x00\xff\u20ac")
	f.Fuzz(func(t *testing.T, name, value string) {
		var cells []struct{ Field, Value string }
		if err := json.Unmarshal(appendRow(nil, []insights.Cell{{Name: name, Value: value}}), &cells); err != nil || cells[0].Field != strings.ToValidUTF8(name, "\uFFFD") || cells[0].Value != strings.ToValidUTF8(value, "\uFFFD") {
			t.Fatalf("%q %q: %q %v", name, value, cells, err)
		}
	})
}
