package usage

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
	"github.com/alcove-run/alcove/journal"
)

// books are a journal and its ledger.
type books struct {
	dir string
	j   *journal.Journal
	l   *Ledger
	log bytes.Buffer
}

func openBooks(t testing.TB, dir string, change func(*Config)) *books {
	t.Helper()
	b := &books{dir: dir}
	log := slog.New(slog.NewTextHandler(&b.log, nil))
	var err error
	if b.j, err = journal.Open(journal.Config{Dir: filepath.Join(dir, "journal"), SegmentBytes: 64 << 10, Budget: 128 << 10, Consumers: []string{Consumer}, Log: log}); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(dir, "usage"), Journal: b.j, Prices: ListPrices(), Log: log, GatherEvery: time.Hour}
	if change != nil {
		change(&cfg)
	}
	if b.l, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.close(t) })
	return b
}

func (b *books) close(t testing.TB) {
	if b.l == nil {
		return
	}
	b.l.Close() // some tests damage it
	if err := b.j.Close(); err != nil {
		t.Error(err)
	}
	b.l = nil
}

func (b *books) append(t testing.TB, reports ...*alcove.Report) {
	t.Helper()
	for _, r := range reports {
		if err := b.j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *books) rows(t testing.TB, q Query) ([]*Row, *Row) {
	t.Helper()
	var list []*Row
	total, err := b.l.Query(t.Context(), q, func(r *Row) error { list = append(list, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return list, total
}

func (b *books) entries(t testing.TB) []Entry {
	t.Helper()
	var list []Entry
	if err := b.l.Entries(t.Context(), Query{}, 0, MaxEntryLimit, func(e *Entry) error { list = append(list, *e); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func report(tenant alcove.Tenant, change func(*alcove.Report)) *alcove.Report {
	r := &alcove.Report{RequestID: uuid.NewString(), FunctionID: "id-of-hello", Function: "hello", Version: "1", Tenant: tenant, Started: noon,
		Duration: 1500 * time.Microsecond, Billed: 2 * time.Millisecond, Status: alcove.StatusSuccess, MemorySize: 1024, Architecture: "x86_64", Ephemeral: 512,
		BytesIn: 2, BytesOut: 3, LogBytes: 100}
	if change != nil {
		change(r)
	}
	return r
}

// What AWS's page of prices reckons as examples, and an amount that floating-point
// numbers cannot have.
func TestCost(t *testing.T) {
	p := ListPrices()
	for _, c := range []struct {
		sums         Sums
		architecture string
		want         string
	}{
		{Sums{Environments: 200_000, EnvironmentMemory: 200_000 * 1024}, "x86_64", "33.4"},
		{Sums{Invocations: 10_000_000, MemoryMillis: 10_000_000 * 2000 * 1024}, "x86_64", "335.334"},
		{Sums{Invocations: 10_000_000, MemoryMillis: 10_000_000 * 2000 * 1024}, "arm64", "268.668"},
		{Sums{Environments: 1, EnvironmentMemory: 128}, "arm64", "0.0000167"},
		{Sums{Invocations: 1, MemoryMillis: 128}, "x86_64", "0.0000002020833"},
		{Sums{EphemeralMillis: (10240 - 512) * 1000}, "x86_64", "0.00000029355"},
		{Sums{Failures: 5, BytesIn: 1 << 40, LogBytes: 1 << 40}, "x86_64", "0"},
	} {
		if got := p.cost(&c.sums, c.architecture).String(); got != c.want {
			t.Errorf("%+v on %s: %s, want %s", c.sums, c.architecture, got, c.want)
		}
	}
	// A hundred million of the least invocation cost what one sum of them costs.
	one, many := p.cost(&Sums{Invocations: 1, MemoryMillis: 128}, "x86_64"), new(Amount)
	many.rat.Mul(&one.rat, big.NewRat(100_000_000, 1))
	if all := p.cost(&Sums{Invocations: 100_000_000, MemoryMillis: 12_800_000_000}, "x86_64"); many.rat.Cmp(&all.rat) != 0 {
		t.Errorf("%s and %s", many, all)
	}
}

func TestPricesFile(t *testing.T) {
	dir := t.TempDir()
	good := string(listPrices)
	for _, c := range []struct{ name, text, want string }{
		{"good", good, ""},
		{"a number", strings.Replace(good, `"0.20"`, `0.20`, 1), ""},
		{"negative", strings.Replace(good, `"0.20"`, `"-1"`, 1), "is no price"},
		{"exponent", strings.Replace(good, `"0.20"`, `1e9`, 1), "is no price"},
		{"fraction", strings.Replace(good, `"0.20"`, `"1/3"`, 1), "is no price"},
		{"null", strings.Replace(good, `"0.20"`, `null`, 1), "is no price"},
		{"missing", strings.Replace(good, `"requestsPerMillion": "0.20",`, ``, 1), "requestsPerMillion"},
		{"unknown", strings.Replace(good, `"currency"`, `"colour": "x", "currency"`, 1), "colour"},
		{"two", good + good, "behind the prices"},
		{"empty", "", "EOF"},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadPrices(path)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestQuery(t *testing.T) {
	b := openBooks(t, t.TempDir(), nil)
	b.append(t,
		report("blue", func(r *alcove.Report) { r.Bound = true }),
		report("blue", func(r *alcove.Report) { r.Status = alcove.StatusTimeout; r.Ephemeral = 1536 }),
		report("blue", func(r *alcove.Report) { r.Status = alcove.StatusFailure; r.Bound = true }),
		report("red", func(r *alcove.Report) { r.Started = noon.Add(12 * time.Hour); r.Architecture = "arm64"; r.Bound = true }),
		report("red", func(r *alcove.Report) { r.Function, r.FunctionID = "other", "id-of-other"; r.Architecture = "" }),
		report("", nil),
	)
	line := func(r *Row) string {
		tenant := "*"
		if r.Tenant != nil {
			tenant = string(*r.Tenant)
		}
		return fmt.Sprintf("%s|%s|%s|%d %d %d %d|%d %d|%s %s|%s", r.Day, tenant, r.Function, r.Invocations, r.Errors, r.Timeouts, r.Failures,
			r.Environments, r.LogBytes, r.GBSeconds, r.EphemeralGBSeconds, r.Cost)
	}
	red := alcove.Tenant("red")
	for name, c := range map[string]struct {
		q    Query
		want []string
	}{
		"all":      {Query{}, []string{"|*||5 1 1 1|2 600|0.01 0.002|0.0003017600622"}},
		"tenant":   {Query{By: []By{ByTenant}}, []string{"|||1 0 0 0|0 100|0.002 0|0.0000002333334", "|blue||2 1 1 1|1 300|0.004 0.002|0.0001674667286", "|red||2 0 0 0|1 200|0.004 0|0.0001340600002"}},
		"function": {Query{By: []By{ByFunction}}, nil},
		"day":      {Query{By: []By{ByDay}}, nil},
		"red":      {Query{By: []By{ByDay, ByFunction}, Tenant: &red}, []string{"2026-11-27|*|other|1 0 0 0|0 100|0.002 0|0.0000002333334", "2026-11-28|*|hello|1 0 0 0|1 100|0.002 0|0.0001338266668"}},
		"sees red": {Query{By: []By{ByFunction}, Sees: func(t alcove.Tenant) bool { return t == red }}, []string{"|*|hello|1 0 0 0|1 100|0.002 0|0.0001338266668", "|*|other|1 0 0 0|0 100|0.002 0|0.0000002333334"}},
		"to":       {Query{To: noon.Truncate(24*time.Hour).AddDate(0, 0, 1), Tenant: &red}, []string{"|*||1 0 0 0|0 100|0.002 0|0.0000002333334"}},
		"from":     {Query{From: noon.Truncate(24*time.Hour).AddDate(0, 0, 1), By: []By{ByTenant}}, []string{"|red||1 0 0 0|1 100|0.002 0|0.0001338266668"}},
		"name":     {Query{Function: "other"}, []string{"|*||1 0 0 0|0 100|0.002 0|0.0000002333334"}},
		"nothing":  {Query{Function: "absent", By: []By{ByDay}}, []string{}},
	} {
		rows, total := b.rows(t, c.q)
		var got []string
		sum := newRow()
		for _, r := range rows {
			got = append(got, line(r))
			sum.addRow(r)
		}
		if c.want != nil && !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
		if line(sum) != line(total) {
			t.Errorf("%s: the rows make %s, the total is %s", name, line(sum), line(total))
		}
	}
	kinds := map[string]int{}
	for _, e := range b.entries(t) {
		kinds[e.Kind+" "+string(e.Status)]++
	}
	if fmt.Sprint(kinds) != "map[environment :2 invocation failure:1 invocation success:4 invocation timeout:1]" {
		t.Errorf("entries %v", kinds)
	}
}

// A day begins at midnight UTC, wherever a clock is and however it is set: what was
// reported later may have begun on a day before. What is purged leaves the sums of
// each day as they were.
func TestDays(t *testing.T) {
	b := openBooks(t, t.TempDir(), nil)
	midnight := noon.Truncate(24 * time.Hour)
	east, west := time.FixedZone("east", 14*3600), time.FixedZone("west", -12*3600)
	for _, at := range []time.Time{
		midnight.Add(-time.Nanosecond), midnight, midnight.Add(-time.Nanosecond).In(east), midnight.In(west), midnight.Add(24*time.Hour - 1).In(west),
		midnight.Add(-48 * time.Hour), // set back by two days
		midnight.Add(24 * time.Hour),  // and on by three
		midnight.Add(time.Millisecond),
	} {
		b.append(t, report("blue", func(r *alcove.Report) { r.Started = at; r.Bound = true }))
	}
	days := func() (got string) {
		rows, _ := b.rows(t, Query{By: []By{ByDay, ByTenant}})
		for _, r := range rows {
			got += fmt.Sprintf("%s %s %d %d\n", r.Day, *r.Tenant, r.Invocations, r.Environments)
		}
		return got
	}
	const want = "2026-11-25 blue 1 1\n2026-11-26 blue 2 2\n2026-11-27 blue 4 4\n2026-11-28 blue 1 1\n"
	if got := days(); got != want {
		t.Errorf("days:\n%swant:\n%s", got, want)
	}
	if n := len(b.entries(t)); n != 16 {
		t.Errorf("%d entries", n)
	}
	if err := b.l.PurgeTenant(t.Context(), "blue"); err != nil {
		t.Fatal(err)
	}
	if got := days(); got != want || len(b.entries(t)) != 0 {
		t.Errorf("purged: %d entries, days:\n%s", len(b.entries(t)), got)
	}
}

// The ledger's sums are those that a few lines make of the same reports, in
// whatever batches and over whatever restarts.
func TestSumsAreThoseOfTheReports(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		b := openBooks(t, dir, func(c *Config) { c.Entries = 1 << 40 })
		want := map[string]Sums{}
		n := 0
		for range rapid.IntRange(1, 3).Draw(rt, "parts") {
			for range rapid.IntRange(0, 60).Draw(rt, "reports") {
				r := report(alcove.Tenant(rapid.SampledFrom([]string{"", "a", "b", "=c"}).Draw(rt, "tenant")), func(r *alcove.Report) {
					r.Status = rapid.SampledFrom([]alcove.Status{alcove.StatusSuccess, alcove.StatusError, alcove.StatusTimeout, alcove.StatusFailure}).Draw(rt, "status")
					r.Started = noon.AddDate(0, 0, rapid.IntRange(0, 2).Draw(rt, "day"))
					r.Billed = time.Duration(rapid.IntRange(0, 900_000).Draw(rt, "billed")) * time.Millisecond
					r.MemorySize = rapid.IntRange(128, 10240).Draw(rt, "memory")
					r.Ephemeral = rapid.IntRange(512, 10240).Draw(rt, "ephemeral")
					r.Bound = rapid.Bool().Draw(rt, "bound")
					r.NetworkIn, r.NetworkOut, r.Connections = rapid.Int64Range(0, 1<<40).Draw(rt, "in"), rapid.Int64Range(0, 1<<40).Draw(rt, "out"), rapid.Int64Range(0, 5000).Draw(rt, "connections")
				})
				s := want[r.Started.Format(time.DateOnly)+string(r.Tenant)]
				more := sumsOf(r)
				s.Add(&more)
				want[r.Started.Format(time.DateOnly)+string(r.Tenant)] = s
				b.append(t, r)
				n += 1 + int(more.Environments)
			}
			switch rapid.IntRange(0, 2).Draw(rt, "then") {
			case 0:
				b.close(t)
				b = openBooks(t, dir, func(c *Config) { c.Entries = 1 << 40 })
			case 1:
				if err := b.l.CatchUp(); err != nil {
					rt.Fatal(err)
				}
			}
		}
		got := map[string]Sums{}
		rows, _ := b.rows(t, Query{By: []By{ByTenant, ByDay}})
		for _, r := range rows {
			got[r.Day+string(*r.Tenant)] = r.Sums
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Errorf("%v\nwant %v", got, want)
		}
		if got := len(b.entries(t)); got != n {
			rt.Errorf("%d entries, want %d", got, n)
		}
		b.close(t)
	})
}

func TestEntriesAreBounded(t *testing.T) {
	b := openBooks(t, t.TempDir(), func(c *Config) { c.Entries = 64 })
	for range 10 {
		for range 20 {
			b.append(t, report("blue", nil))
		}
		if err := b.l.CatchUp(); err != nil {
			t.Fatal(err)
		}
	}
	list := b.entries(t)
	if len(list) < 60 || len(list) > 66 {
		t.Errorf("%d entries", len(list))
	}
	if _, total := b.rows(t, Query{}); total.Invocations != 200 {
		t.Errorf("%d invocations: sums stay", total.Invocations)
	}
}

// While the ledger cannot be written, the journal keeps everything, and the ledger
// has it all afterwards.
func TestBrokenLedgerLosesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "usage", "ledger.db")
	if err := os.MkdirAll(path, 0o700); err != nil { // in the ledger's place
		t.Fatal(err)
	}
	b := openBooks(t, dir, nil)
	const n = 2000
	for range n {
		b.append(t, report("blue", nil))
	}
	if err := b.l.CatchUp(); err == nil {
		t.Fatal("the ledger is written, where it cannot be")
	}
	if s := b.j.Stats(); s.Segments < 5 || s.Waiting == 0 {
		t.Errorf("the journal keeps %+v", s)
	}
	if _, err := b.l.Query(t.Context(), Query{}, nil); err == nil {
		t.Error("a question is answered")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, total := b.rows(t, Query{}); total.Invocations != n {
		t.Errorf("%d of %d", total.Invocations, n)
	}
	if s := b.j.Stats(); s.Waiting != 0 || s.Bytes > 256<<10 {
		t.Errorf("the journal keeps %+v", s)
	}
	if text := b.log.String(); strings.Count(text, "cannot be written") != 1 || strings.Count(text, "written again") != 1 {
		t.Errorf("logged %s", text)
	}
}

// A new journal begins at positions that the ledger has been at.
func TestNewJournal(t *testing.T) {
	dir := t.TempDir()
	b := openBooks(t, dir, nil)
	b.append(t, report("blue", nil), report("blue", nil))
	b.close(t)
	if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	b = openBooks(t, dir, nil)
	b.append(t, report("blue", nil))
	if _, total := b.rows(t, Query{}); total.Invocations != 3 || len(b.entries(t)) != 3 {
		t.Errorf("%d invocations, %d entries, want 3", total.Invocations, len(b.entries(t)))
	}
}

// TestLedgerOfBefore: one that a program made that did not count connections keeps
// what it has and counts them from then on.
func TestLedgerOfBefore(t *testing.T) {
	dir := t.TempDir()
	b := openBooks(t, dir, nil)
	call := func(r *alcove.Report) { r.NetworkIn, r.NetworkOut, r.Connections = 10, 20, 3 }
	b.append(t, report("blue", call))
	b.close(t)
	db, err := sqlite.Open(filepath.Join(dir, "usage", "ledger.db"), "rw", 1024)
	if err == nil {
		_, err = db.Exec(`ALTER TABLE sums DROP COLUMN connections`)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	b = openBooks(t, dir, nil)
	b.append(t, report("blue", call))
	if _, total := b.rows(t, Query{}); total.Invocations != 2 || total.NetworkIn != 20 || total.NetworkOut != 40 || total.Connections != 3 {
		t.Errorf("the sums are %+v", total.Sums)
	}
}

func TestPurge(t *testing.T) {
	b := openBooks(t, t.TempDir(), nil)
	for range 50 {
		b.append(t, report("blue", nil), report("red", nil))
	}
	if err := b.l.PurgeTenant(t.Context(), "blue"); err != nil {
		t.Fatal(err)
	}
	for _, e := range b.entries(t) {
		if *e.Tenant != "red" {
			t.Fatalf("left: %+v", e)
		}
	}
	rows, _ := b.rows(t, Query{By: []By{ByTenant}})
	if len(rows) != 2 || rows[0].Invocations != 50 || len(b.entries(t)) != 50 {
		t.Errorf("%d rows, %d entries", len(rows), len(b.entries(t)))
	}
}

func TestCSV(t *testing.T) {
	b := openBooks(t, t.TempDir(), nil)
	for _, name := range []alcove.Tenant{"=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "plain, with \"quotes\"", ""} {
		b.append(t, report(name, nil))
	}
	var out bytes.Buffer
	c, err := NewCSV(&out, []By{ByTenant})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.l.Query(t.Context(), Query{By: []By{ByTenant}}, func(r *Row) error { return c.Write(r, "USD") }); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	cells, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range cells {
		names = append(names, row[0])
		if len(row) != len(cells[0]) {
			t.Errorf("%d cells below %d heads", len(row), len(cells[0]))
		}
	}
	if want := []string{"tenant", "", "'+1", "'-1", "'=HYPERLINK(1)", "'@SUM(1)", `plain, with "quotes"`}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestRowAsJSON(t *testing.T) {
	r := newRow()
	r.add(&Sums{Invocations: 3, MemoryMillis: 128}, "x86_64", ListPrices())
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Row
	if err := json.Unmarshal(text, &back); err != nil || back.Cost.String() != r.Cost.String() || !strings.Contains(string(text), `"cost":"0.0000006020833"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestQueryStops(t *testing.T) {
	b := openBooks(t, t.TempDir(), nil)
	b.append(t, report("blue", nil), report("red", nil))
	stop := errors.New("stop")
	if _, err := b.l.Query(t.Context(), Query{By: []By{ByTenant}}, func(*Row) error { return stop }); err != stop {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.l.Query(ctx, Query{}, func(*Row) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
