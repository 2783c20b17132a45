package console

import (
	"context"
	"math"
	"net/http"
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
	Empty                   bool
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

// wanted is one line of a chart: a statistic of a metric of AWS/Lambda.
type wanted struct {
	name, metric, stat string
	zero               bool // nothing measured is zero, and not a gap
}

// charts are those of the page. Concurrency is not measured by tenant.
var charts = []struct {
	title, unit string
	format      func(float64) string
	lines       []wanted
	tenants     bool
}{
	{"Invocations", "per point", whole, []wanted{{"invocations", "Invocations", "Sum", true}, {"errors", "Errors", "Sum", true}, {"throttles", "Throttles", "Sum", true}}, true},
	{"Duration", "milliseconds", millis, []wanted{{"p50", "Duration", "p50", false}, {"p90", "Duration", "p90", false}, {"p99", "Duration", "p99", false}}, true},
	{"Concurrent executions", "at once, at most", whole, []wanted{{"concurrency", "ConcurrentExecutions", "Maximum", true}}, false},
	{"Events", "per point", whole, []wanted{{"received", "AsyncEventsReceived", "Sum", true}, {"dropped", "AsyncEventsDropped", "Sum", true}}, true},
	{"Age of events", "milliseconds, at most", millis, []wanted{{"age", "AsyncEventAge", "Maximum", false}}, true},
}

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
	if p.Functions, err = q.functionNames(q.Context()); err != nil {
		return err
	}
	if p.Tenant != "" && p.Function == "" {
		if len(p.Functions) != 1 {
			return q.render(http.StatusOK, "metrics", "Metrics", "metrics", p)
		}
		p.Function = p.Functions[0]
	}
	to := q.con.Now().UTC().Truncate(span.period).Add(span.period)
	from := to.Add(-span.span)
	var lines []wanted
	for _, c := range charts {
		lines = append(lines, c.lines...)
	}
	data, err := q.metricData(q.Context(), p.dimensions(), lines, from, to, span.period)
	if err != nil {
		return err
	}
	p.Empty = true
	for _, c := range charts {
		var all []series
		n := 0
		for _, line := range c.lines {
			s := series{Name: line.name, Points: spread(data[line], line, from, to, span.period)}
			n += len(data[line])
			all = append(all, s)
		}
		if n == 0 || p.Tenant != "" && !c.tenants {
			continue
		}
		p.Empty = false
		p.Charts = append(p.Charts, newChart(c.title, c.unit, c.format, all))
	}
	return q.render(http.StatusOK, "metrics", "Metrics", "metrics", p)
}

// dimension is CloudWatch's.
type dimension struct{ Name, Value string }

func (p *metricsPage) dimensions() []dimension {
	var d []dimension
	if p.Function != "" {
		d = append(d, dimension{"FunctionName", p.Function})
	}
	if p.Tenant != "" {
		d = append(d, dimension{"TenantId", p.Tenant})
	}
	return d
}

// metricData asks CloudWatch's GetMetricData for lines of one set of dimensions.
func (q *request) metricData(ctx context.Context, d []dimension, lines []wanted, from, to time.Time, period time.Duration) (map[wanted]map[int64]float64, error) {
	type object = map[string]any
	if d == nil {
		d = []dimension{}
	}
	var queries []object
	for i, line := range lines {
		queries = append(queries, object{"Id": "q" + strconv.Itoa(i), "MetricStat": object{"Period": int(period.Seconds()), "Stat": line.stat,
			"Metric": object{"Namespace": "AWS/Lambda", "MetricName": line.metric, "Dimensions": d}}})
	}
	in := object{"MetricDataQueries": queries, "StartTime": from.Unix(), "EndTime": to.Unix(), "ScanBy": "TimestampAscending"}
	data := map[wanted]map[int64]float64{}
	for range 50 { // pages
		var out struct {
			MetricDataResults []struct {
				ID         string `json:"Id"`
				Timestamps []float64
				Values     []float64
			}
			NextToken string
		}
		if err := q.api().target(ctx, "monitoring", "GraniteServiceVersion20100801.GetMetricData", in, &out); err != nil {
			return nil, err
		}
		for _, r := range out.MetricDataResults {
			i, err := strconv.Atoi(strings.TrimPrefix(r.ID, "q"))
			if err != nil || i < 0 || i >= len(lines) || len(r.Timestamps) != len(r.Values) {
				continue
			}
			if data[lines[i]] == nil {
				data[lines[i]] = map[int64]float64{}
			}
			for k, at := range r.Timestamps {
				data[lines[i]][int64(at)] = r.Values[k]
			}
		}
		if out.NextToken == "" {
			break
		}
		in["NextToken"] = out.NextToken
	}
	return data, nil
}

// spread makes points of what was measured, one for each period.
func spread(data map[int64]float64, line wanted, from, to time.Time, period time.Duration) []point {
	var out []point
	for at := from; at.Before(to); at = at.Add(period) {
		v, ok := data[at.Unix()]
		if !ok && !line.zero {
			v = math.NaN()
		}
		out = append(out, point{at, v})
	}
	return out
}
