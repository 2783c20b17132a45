package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/journal"
)

// desk is a store with a journal, and a clock.
type desk struct {
	dir string
	now time.Time
	j   *journal.Journal
	s   *Store
}

func open(t *testing.T, dir string, change func(*Config)) *desk {
	t.Helper()
	d := &desk{dir: dir, now: time.Date(2026, 11, 27, 12, 0, 30, 0, time.UTC)}
	var err error
	if d.j, err = journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")}); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: filepath.Join(dir, "metrics"), Journal: d.j, GatherEvery: time.Hour, Now: func() time.Time { return d.now }, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	if d.s, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close(t) })
	return d
}

func (d *desk) close(t *testing.T) {
	if d.s == nil {
		return
	}
	if err := errors.Join(d.s.Close(), d.j.Close()); err != nil {
		t.Error(err)
	}
	d.s = nil
}

func (d *desk) report(t *testing.T, tenant alcove.Tenant, change func(*alcove.Report)) {
	t.Helper()
	r := &alcove.Report{RequestID: "r", Function: "f", FunctionID: "id", Version: "$LATEST", Tenant: tenant, Started: d.now, Duration: 10 * time.Millisecond,
		Status: alcove.StatusSuccess, InvokedARN: "arn:aws:lambda:us-east-1:000000000000:function:f"}
	if change != nil {
		change(r)
	}
	if err := d.j.Append(r); err != nil {
		t.Fatal(err)
	}
}

// point gives the statistics of a metric of the last hours.
func (d *desk) point(t *testing.T, sees Sees, name string, dimensions ...string) (all Set) {
	t.Helper()
	m := Metric{Namespace: LambdaNamespace, Name: name}
	if namespace, name, ok := strings.Cut(name, " "); ok {
		m.Namespace, m.Name = namespace, name
	}
	for i := 0; i < len(dimensions); i += 2 {
		m.Dimensions = append(m.Dimensions, Dimension{dimensions[i], dimensions[i+1]})
	}
	points, err := d.s.Points(t.Context(), m, "", false, d.now.Add(-3*time.Hour), d.now.Add(3*time.Hour), time.Minute, sees)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		all.merge(&p.Set)
	}
	return all
}

func TestInvocations(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, nil)
	for range 3 {
		d.report(t, "blue", nil)
	}
	d.report(t, "blue", func(r *alcove.Report) { r.Status = alcove.StatusTimeout; r.Duration = 3 * time.Second })
	d.report(t, "red", func(r *alcove.Report) { r.InvokedARN += ":live"; r.Version = "7" })
	d.report(t, "red", func(r *alcove.Report) { r.Status = alcove.StatusFailure })
	d.s.Throttled(alcove.Ref{Name: "f"}, "blue")
	check := func() {
		t.Helper()
		blue := func(tenant alcove.Tenant) bool { return tenant == "blue" }
		for _, c := range []struct {
			sees       Sees
			name       string
			dimensions []string
			n, sum     float64
		}{
			{nil, "Invocations", nil, 5, 5},
			{nil, "Invocations", []string{"FunctionName", "f"}, 5, 5},
			{nil, "Invocations", []string{"Resource", "f", "FunctionName", "f"}, 4, 4},
			{nil, "Invocations", []string{"FunctionName", "f", "Resource", "f:live"}, 1, 1},
			{nil, "Invocations", []string{"FunctionName", "f", "Resource", "f:live", "ExecutedVersion", "7"}, 1, 1},
			{nil, "Invocations", []string{"FunctionName", "f", "TenantId", "blue"}, 4, 4},
			{nil, "Errors", []string{"FunctionName", "f"}, 5, 1},
			{nil, "Errors", []string{"FunctionName", "f", "TenantId", "red"}, 1, 0},
			{nil, "Throttles", []string{"FunctionName", "f", "TenantId", "blue"}, 5, 1},
			{nil, "Duration", []string{"FunctionName", "f", "TenantId", "blue"}, 4, 3030},
			{blue, "Invocations", []string{"FunctionName", "f", "TenantId", "blue"}, 4, 4},
			{blue, "Invocations", []string{"FunctionName", "f", "TenantId", "red"}, 0, 0},
			{blue, "Invocations", []string{"FunctionName", "f"}, 0, 0},
			{nil, "Invocations", []string{"FunctionName", "absent"}, 0, 0},
		} {
			if got := d.point(t, c.sees, c.name, c.dimensions...); got.N != c.n || got.Sum != c.sum {
				t.Errorf("%s %q: %v of %v, want %v of %v", c.name, c.dimensions, got.Sum, got.N, c.sum, c.n)
			}
		}
		got := d.point(t, nil, "Duration", "FunctionName", "f")
		if p := got.Percentile(0.5); math.Abs(p-10) > 0.1 || got.Max != 3000 || got.Min != 10 {
			t.Errorf("median %v, from %v to %v", p, got.Min, got.Max)
		}
	}
	check()
	check() // a question changes nothing
	d.close(t)
	d = open(t, dir, nil) // nothing is counted twice
	check()
}

func TestGaugesAndEvents(t *testing.T) {
	d := open(t, t.TempDir(), nil)
	d.s.measured.gauge(d.now, func(g *Gauges) {
		g.Concurrency("f", 7)
		g.Concurrency("", 9)
		g.Unreserved(8)
		g.Claimed(30)
		g.Provisioned("f", "live", 3, 4)
	})
	for range 3 {
		d.report(t, "", func(r *alcove.Report) { r.InvokedARN += ":live"; r.Provisioned = "used" })
	}
	d.report(t, "", func(r *alcove.Report) { r.InvokedARN += ":live"; r.Provisioned = "spillover" })
	for name, want := range map[string]float64{"ProvisionedConcurrencyInvocations": 3, "ProvisionedConcurrencySpilloverInvocations": 1} {
		if got := d.point(t, nil, name, "FunctionName", "f", "Resource", "f:live"); got.Sum != want || got.N != 4 {
			t.Errorf("%s: %v of %v", name, got.Sum, got.N)
		}
	}
	d.s.Event("f", "blue", "AsyncEventsReceived", "Count", 1)
	for _, c := range []struct {
		name       string
		dimensions []string
		max        float64
	}{
		{"ConcurrentExecutions", []string{"FunctionName", "f"}, 7}, {"ConcurrentExecutions", nil, 9}, {"UnreservedConcurrentExecutions", nil, 8},
		{"ClaimedAccountConcurrency", nil, 30}, {"ProvisionedConcurrentExecutions", []string{"FunctionName", "f", "Resource", "f:live"}, 3},
		{"ProvisionedConcurrencyUtilization", []string{"FunctionName", "f", "Resource", "f:live"}, 0.75}, {"ProvisionedConcurrencyUtilization", []string{"FunctionName", "f"}, 0.75},
		{"AsyncEventsReceived", nil, 1}, {"AsyncEventsReceived", []string{"FunctionName", "f", "TenantId", "blue"}, 1},
	} {
		if got := d.point(t, nil, c.name, c.dimensions...); got.Max != c.max {
			t.Errorf("%s %q: %v, want %v", c.name, c.dimensions, got.Max, c.max)
		}
	}
}

// What a tenant waited for its environment is measured once, by how that began; how
// many environments there are, by their state. Nobody else puts either.
func TestStartsAndEnvironments(t *testing.T) {
	d := open(t, t.TempDir(), nil)
	first := func(start alcove.Start, queued time.Duration) func(*alcove.Report) {
		return func(r *alcove.Report) { r.Bound, r.Start, r.Queued = true, start, queued }
	}
	d.report(t, "blue", first(alcove.StartStock, 3*time.Millisecond))
	d.report(t, "green", first(alcove.StartCold, 200*time.Millisecond))
	d.report(t, "green", nil) // warm
	d.report(t, "", first(alcove.StartCold, time.Second))
	d.s.measured.gauge(d.now, func(g *Gauges) {
		g.Environments("", "busy", 5)
		g.Environments("f", "busy", 3)
		g.TenantEnvironments("f", "busy", "blue", 2)
	})
	for _, c := range []struct {
		name       string
		dimensions []string
		n, max     float64
	}{
		{"NewTenantLatency", []string{"Start", "stock"}, 1, 3}, {"NewTenantLatency", []string{"Start", "cold"}, 1, 200},
		{"NewTenantLatency", []string{"FunctionName", "f", "Start", "cold"}, 1, 200},
		{"NewTenantLatency", []string{"FunctionName", "f", "TenantId", "green"}, 1, 200},
		{"Environments", []string{"State", "busy"}, 1, 5}, {"Environments", []string{"FunctionName", "f", "State", "busy"}, 1, 3},
		{"Environments", []string{"FunctionName", "f", "State", "busy", "TenantId", "blue"}, 1, 2},
	} {
		if got := d.point(t, nil, NodeNamespace+" "+c.name, c.dimensions...); got.N != c.n || got.Max != c.max {
			t.Errorf("%s %q: %+v, want %v of at most %v", c.name, c.dimensions, got, c.n, c.max)
		}
	}
	if got := d.point(t, func(t alcove.Tenant) bool { return t == "blue" }, NodeNamespace+" NewTenantLatency", "FunctionName", "f", "TenantId", "green"); got.N != 0 {
		t.Errorf("blue sees green's: %+v", got)
	}
	if CheckNamespace(NodeNamespace) == nil || CheckNamespace("Alcove") != nil {
		t.Error("whose the namespace is")
	}
}

// Tenants that are too many to be told apart are counted together; nothing is lost,
// and the number of series stays what it is.
func TestManyTenants(t *testing.T) {
	d := open(t, t.TempDir(), nil)
	const spray = MaxTenants + 500
	for i := range spray {
		d.report(t, alcove.Tenant(fmt.Sprint("tenant-", i)), nil)
	}
	if got := d.point(t, nil, "Invocations", "FunctionName", "f"); got.Sum != spray {
		t.Errorf("%v invocations", got.Sum)
	}
	if others := d.point(t, nil, "Invocations", "FunctionName", "f", "TenantId", Others); others.Sum < 499 {
		t.Errorf("%v of tenants that are not told apart", others.Sum)
	}
	before := d.s.total
	if before > MaxTenants*tenantMetrics+30 {
		t.Errorf("%d series", before)
	}
	for i := range 1000 {
		d.report(t, alcove.Tenant(fmt.Sprint("more-", i)), nil)
	}
	d.point(t, nil, "Invocations")
	if d.s.total != before {
		t.Errorf("%d series, then %d", before, d.s.total)
	}
	// Another function's tenants do not suffer.
	d.report(t, "blue", func(r *alcove.Report) { r.Function = "g" })
	if got := d.point(t, nil, "Invocations", "FunctionName", "g", "TenantId", "blue"); got.Sum != 1 {
		t.Errorf("another function's tenant: %v", got.Sum)
	}
	// After fifteen days without them their places are others'.
	d.now = d.now.Add(16 * 24 * time.Hour)
	d.s.trimNowAndThen()
	d.report(t, "late", nil)
	if got := d.point(t, nil, "Invocations", "FunctionName", "f", "TenantId", "late"); got.Sum != 1 {
		t.Errorf("a tenant that comes later: %v", got.Sum)
	}
}

// A tenant that makes up a dimension with every line takes no other's place before
// the lines are written, nor the node's own.
func TestSprayedDimensionsLeaveRoom(t *testing.T) {
	d := open(t, t.TempDir(), nil)
	for i := range 3 * maxMeasured {
		d.s.Embedded("group", "hostile", d.now, fmt.Appendf(nil, embeddedLine, d.now.UnixMilli(), fmt.Sprint("spray", i)))
		if i%1000 == 0 {
			d.s.takeEmbedded()
		}
	}
	for i := range 2 * maxMeasured {
		d.s.Event("f", alcove.Tenant(fmt.Sprint("t", i)), "AsyncEventsReceived", "Count", 1)
	}
	d.s.Embedded("group", "honest", d.now, fmt.Appendf(nil, embeddedLine, d.now.UnixMilli(), "honest's"))
	d.s.takeEmbedded()
	d.s.measured.mu.Lock()
	if n := len(d.s.measured.points); n > 2*maxMeasured {
		t.Errorf("%d points wait", n)
	}
	d.s.measured.mu.Unlock()
	if got := d.point(t, nil, "AsyncEventsReceived", "FunctionName", "f"); got.Sum != 2*maxMeasured {
		t.Errorf("%v events", got.Sum)
	}
	if got := d.point(t, nil, "AsyncEventsReceived", "FunctionName", "f", "TenantId", Others); got.Sum < maxMeasured {
		t.Errorf("%v events of others", got.Sum)
	}
	if got := d.point(t, nil, "shop orders", "kind", "honest's"); got.N != 1 {
		t.Errorf("another tenant's: %v", got.N)
	}
	if d.s.Stats().Dropped == 0 {
		t.Error("nothing was dropped, or nobody is told")
	}
}

const embeddedLine = `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"shop","Dimensions":[["kind"],["kind","place"]],
	"Metrics":[{"Name":"orders","Unit":"Count"},{"Name":"took","Unit":"Milliseconds"},{"Name":"absent"}]}]},"kind":"%s","place":"here","orders":3,"took":[1,2,3],"other":true}`

func TestPutAndList(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, nil)
	datum := func(name string, dimensions ...Dimension) Datum {
		x := Datum{Metric: Metric{Namespace: "own", Name: name, Dimensions: dimensions}, Unit: "Count", At: d.now}
		x.Set.Add(1, 2)
		return x
	}
	if err := d.s.Put([]Datum{datum("a"), datum("b", Dimension{"x", "1"}), datum("b", Dimension{"x", "2"})}); err != nil {
		t.Fatal(err)
	}
	d.close(t)
	d = open(t, dir, nil)
	for name, c := range map[string]struct {
		f    Filter
		want int
	}{
		"all": {Filter{Limit: 10}, 3}, "name": {Filter{Name: "b", Limit: 10}, 2}, "value": {Filter{Dimensions: []Dimension{{"x", "1"}}, Limit: 10}, 1},
		"dimension": {Filter{Dimensions: []Dimension{{"x", ""}}, Limit: 10}, 2}, "namespace": {Filter{Namespace: "other", Limit: 10}, 0},
		"old": {Filter{Since: d.now.Add(time.Hour), Limit: 10}, 0}, "unseen": {Filter{Sees: func(t alcove.Tenant) bool { return t != "" }, Limit: 10}, 0},
	} {
		list, next, err := d.s.List(t.Context(), c.f)
		if err != nil || len(list) != c.want || next != 0 {
			t.Errorf("%s: %v, next %d, %v", name, list, next, err)
		}
	}
	var names []string
	for f := (Filter{Limit: 1}); ; {
		list, next, err := d.s.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			names = append(names, m.Name)
		}
		if f.After = next; next == 0 {
			break
		}
	}
	if !slices.Equal(names, []string{"a", "b", "b"}) {
		t.Errorf("page by page: %q", names)
	}
	var many []Datum
	for i := range MaxPut {
		many = append(many, datum(fmt.Sprint("n", i)))
	}
	if err := d.s.Put(many); !errors.Is(err, ErrTooMany) {
		t.Errorf("%v", err)
	}
	if list, _, err := d.s.List(t.Context(), Filter{Limit: 10}); err != nil || len(list) != 3 {
		t.Errorf("a refused request left %d metrics, %v", len(list), err)
	}
}

func TestRetentionAndBudget(t *testing.T) {
	d := open(t, t.TempDir(), func(c *Config) { c.Budget = 400 << 10 })
	for range 40 {
		for i := range 40 {
			d.report(t, alcove.Tenant(fmt.Sprint("t", i)), nil)
		}
		d.now = d.now.Add(time.Minute)
		if _, err := d.s.catchUp(); err != nil {
			t.Fatal(err)
		}
	}
	before, err := d.s.used()
	if err != nil || before < 400<<10 {
		t.Fatalf("%d bytes, %v: the test fills too little", before, err)
	}
	d.s.trimNowAndThen()
	if used, err := d.s.used(); err != nil || used > 400<<10 {
		t.Errorf("%d bytes, %v", used, err)
	}
	var fine, hours int
	if err := d.s.db.QueryRow(`SELECT count(*) FILTER (WHERE resolution = 60), count(*) FILTER (WHERE resolution = 3600) FROM points`).Scan(&fine, &hours); err != nil || hours == 0 {
		t.Errorf("%d minutes, %d hours, %v", fine, hours, err)
	}
	d.now = d.now.Add(30 * 24 * time.Hour)
	d.s.trimNowAndThen()
	if err := d.s.db.QueryRow(`SELECT count(*) FILTER (WHERE resolution = 60), count(*) FILTER (WHERE resolution = 3600) FROM points`).Scan(&fine, &hours); err != nil || fine != 0 || hours == 0 {
		t.Errorf("after a month %d minutes, %d hours, %v", fine, hours, err)
	}
}

func TestPurge(t *testing.T) {
	d := open(t, t.TempDir(), nil)
	dir := filepath.Join(d.dir, "metrics")
	const canary = "canary-3b7e"
	for i := range 300 {
		d.report(t, alcove.Tenant(fmt.Sprint("tenant-", i)), nil)
		d.report(t, canary, nil)
	}
	d.s.Embedded("group", canary, d.now, fmt.Appendf(nil, embeddedLine, d.now.UnixMilli(), canary+"-kind"))
	x := Datum{Metric: Metric{Namespace: "own", Name: "n", Dimensions: []Dimension{{"TenantId", canary}}}, Unit: "Count", At: d.now}
	x.Set.Add(1, 1)
	if err := d.s.Put([]Datum{x}); err != nil {
		t.Fatal(err)
	}
	has := func() (list []string) {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(canary)) {
				list = append(list, f.Name())
			}
		}
		return list
	}
	if len(has()) == 0 {
		t.Fatal("the test looks at the wrong place")
	}
	if err := d.s.PurgeTenant(t.Context(), canary); err != nil {
		t.Fatal(err)
	}
	if list := has(); len(list) > 0 {
		t.Errorf("the tenant's bytes are in %q", list)
	}
	if got := d.point(t, nil, "Invocations", "FunctionName", "f", "TenantId", "tenant-7"); got.Sum != 1 {
		t.Errorf("another tenant's: %v", got.Sum)
	}
	if got := d.point(t, nil, "Invocations", "FunctionName", "f"); got.Sum != 600 {
		t.Errorf("of all tenants: %v", got.Sum)
	}
	if err := d.s.PurgeTenant(t.Context(), "never came"); err != nil {
		t.Error(err)
	}
}
