package console

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// metricsPage is the page of charts.
type metricsPage struct {
	Functions               []string
	Function, Tenant, Since string
	Sinces                  []string
	Charts                  []*chart
	Empty                   bool // nothing was invoked: stock alone may have been there
	Problem                 *problem
}

// spans are how far back charts go, with the length of a point.
var spans = []struct {
	name   string
	span   time.Duration
	period time.Duration
}{
	{"1h", time.Hour, time.Minute}, {"6h", 6 * time.Hour, 5 * time.Minute}, {"24h", 24 * time.Hour, 15 * time.Minute},
	{"7d", 7 * 24 * time.Hour, 2 * time.Hour}, {"30d", 30 * 24 * time.Hour, 6 * time.Hour},
}

// invocations is the title of the chart that every page has once something ran.
const invocations = "Invocations"

// perPoint is the unit of what is counted in each point of a chart.
const perPoint = "per point"

// unitOf is a chart's unit, with the length of its points.
func unitOf(unit string, period time.Duration) string {
	switch {
	case unit != perPoint:
		return unit
	case period == time.Minute:
		return "per minute"
	case period < time.Hour:
		return fmt.Sprintf("per %d minutes", period/time.Minute)
	}
	return fmt.Sprintf("per %d hours", period/time.Hour)
}

// line is one of a chart.
type line struct {
	name string
	wanted
	zero bool // nothing measured is zero, and not a gap
}

func sum(name, metric string) line { return line{name, wanted{metric: metric, stat: "Sum"}, true} }
func percentile(name, metric string) line {
	return line{name, wanted{metric: metric, stat: name}, false}
}

// environments is how many environments are in a state; first is what a tenant waited
// for one, by what its first call found.
func environments(name, state string) line {
	return line{name, wanted{namespace: nodeNamespace, metric: "Environments", stat: "Maximum", more: dimension{"State", state}}, true}
}

func first(start string) line {
	return line{start, wanted{namespace: nodeNamespace, metric: "NewTenantLatency", stat: "p90", more: dimension{"Start", start}}, false}
}

// charts are those of the page: of all functions or one, and of a tenant.
var charts = []struct {
	title, unit string
	format      func(float64) string
	lines       []line
	which       int
}{
	{invocations, perPoint, whole, []line{sum("invocations", "Invocations"), sum("errors", "Errors"), sum("throttles", "Throttles")}, always},
	{"Duration", "milliseconds", millis, []line{percentile("p50", "Duration"), percentile("p90", "Duration"), percentile("p99", "Duration")}, always},
	{"Environments", "by state, at most", whole, []line{environments("busy", lookBusy), environments("idle", lookIdle), environments("frozen", lookFrozen),
		environments("unbound stock", lookStock), environments("initialising", lookInitialising), environments("runtime stock", lookBlank)}, functionsOnly},
	{"Environments", "by state, at most, while one is awake", whole, []line{environments("busy", lookBusy), environments("idle", lookIdle), environments("frozen", lookFrozen)}, tenantsOnly},
	{"New tenants wait", "p90 milliseconds until the function has the event, by what the first call found", millis,
		[]line{first("stock"), first("runtime-stock"), first("sandbox"), first("cold")}, functionsOnly},
	{"First calls wait", "p90 milliseconds until the function has the event", millis,
		[]line{{"first calls", wanted{namespace: nodeNamespace, metric: "NewTenantLatency", stat: "p90"}, false}}, tenantsOnly},
	{"Concurrent executions", "at once, at most", whole, []line{{"concurrency", wanted{metric: "ConcurrentExecutions", stat: "Maximum"}, true}}, functionsOnly},
	{"Events", perPoint, whole, []line{sum("received", "AsyncEventsReceived"), sum("dropped", "AsyncEventsDropped")}, always},
	{"Age of events", "milliseconds, at most", millis, []line{{"age", wanted{metric: "AsyncEventAge", stat: "Maximum"}, false}}, always},
}

// Whose metrics a chart is drawn of.
const (
	always = iota
	functionsOnly
	tenantsOnly
)

func whole(v float64) string { return count(int64(math.Round(v))) }

func millis(v float64) string {
	if v >= 100 || v == math.Trunc(v) {
		return whole(v)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

func (q *request) showMetrics() error {
	v := q.URL.Query()
	p := metricsPage{Function: v.Get("function"), Tenant: strings.TrimSpace(v.Get("tenant")), Since: v.Get("since")}
	span := spans[0]
	for _, s := range spans {
		p.Sinces = append(p.Sinces, s.name)
		if s.name == p.Since {
			span = s
		}
	}
	p.Since = span.name
	var err error
	if p.Functions, _, err = q.functionNames(q.Context()); err != nil {
		return err
	}
	if p.Tenant != "" && p.Function == "" {
		if len(p.Functions) != 1 {
			return q.render(http.StatusOK, "metrics", "Metrics", "metrics", p)
		}
		p.Function = p.Functions[0]
	}
	to := q.con.Now().UTC().Truncate(span.period).Add(span.period)
	p.Charts, err = q.charts(of{p.Function, p.Tenant}, to.Add(-span.span), to, span.period)
	status := refuse(&p.Problem, err)
	p.Empty = !slices.ContainsFunc(p.Charts, func(c *chart) bool { return c.Title == invocations })
	return q.render(status, "metrics", "Metrics", "metrics", p)
}

// charts draws what was measured; a chart without a point is left out.
func (q *request) charts(whose of, from, to time.Time, period time.Duration) ([]*chart, error) {
	var lines []wanted
	for _, c := range charts {
		for _, l := range c.lines {
			l.of = whose
			lines = append(lines, l.wanted)
		}
	}
	data, err := q.metricData(q.Context(), lines, from, to, period)
	if err != nil {
		return nil, err
	}
	var out []*chart
	for _, c := range charts {
		var all []series
		n := 0
		for _, l := range c.lines {
			if len(data[0]) > 0 || l.zero && l.namespace == "" {
				all = append(all, series{Name: l.name, Summed: l.stat == "Sum", Points: spread(data[0], l.zero, from, to, period)})
			}
			n += len(data[0])
			data = data[1:]
		}
		if n > 0 && (c.which == always || (c.which == tenantsOnly) == (whose.Tenant != "")) {
			out = append(out, newChart(c.title, unitOf(c.unit, period), c.format, all))
		}
	}
	return out, nil
}

// spread makes points of what was measured, one for each period.
func spread(data map[int64]float64, zero bool, from, to time.Time, period time.Duration) []point {
	var out []point
	for at := from; at.Before(to); at = at.Add(period) {
		v, ok := data[at.Unix()]
		if !ok && !zero {
			v = math.NaN()
		}
		out = append(out, point{at, v})
	}
	return out
}
