package console

import (
	"context"
	"math"
	"net/url"
	"strconv"
	"time"
)

// Measures are what metrics say of one tenant in the last day. A tenant of several
// functions has the slowest one's p99, and the throttles of all.
type Measures struct {
	P99       float64 // milliseconds; not above zero if nothing was measured
	Throttles float64
}

// Slow is the p99 for people.
func (m Measures) Slow() string {
	if m.P99 <= 0 {
		return "–"
	}
	return duration(time.Duration(m.P99 * float64(time.Millisecond)))
}

// Refused is the throttles for people.
func (m Measures) Refused() string { return whole(m.Throttles) }

// maxMeasured bounds the tenants of functions that a page is measured for.
const maxMeasured = 4000

// measureTenants fills in what metrics say of tenants, of one function or of all; known
// is false if that may not be seen, cut says that there is more than was looked at.
func (q *request) measureTenants(function string, rows []tenantRow) (known, cut bool, err error) {
	at := make(map[string]int, len(rows))
	for i := range rows {
		at[rows[i].Tenant] = i
	}
	if len(rows) == 0 {
		return true, false, nil
	}
	pairs, cut, err := q.measuredTenants(q.Context(), function, func(tenant string) bool { _, ok := at[tenant]; return ok })
	if denied(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	var lines []wanted
	for _, d := range pairs {
		lines = append(lines, wanted{metric: "Duration", stat: "p99", of: d}, wanted{metric: "Throttles", stat: "Sum", of: d})
	}
	to := q.con.Now().UTC().Truncate(time.Hour).Add(time.Hour)
	data, err := q.metricData(q.Context(), lines, to.Add(-24*time.Hour), to, 24*time.Hour)
	if denied(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	for i, line := range lines {
		row := &rows[at[line.of.Tenant]]
		for _, v := range data[i] {
			if line.stat == "p99" {
				row.P99 = math.Max(row.P99, v)
			} else {
				row.Throttles += v
			}
		}
	}
	return true, cut, nil
}

// measuredTenants lists the tenants of functions that have metrics.
func (q *request) measuredTenants(ctx context.Context, function string, want func(tenant string) bool) (pairs []of, cut bool, err error) {
	in := map[string]any{"Namespace": lambdaNamespace, "MetricName": "Throttles",
		"Dimensions": []map[string]string{{"Name": "TenantId"}}}
	if function != "" {
		in["Dimensions"] = []map[string]string{{"Name": "TenantId"}, {"Name": "FunctionName", "Value": function}}
	}
	for {
		var out struct {
			Metrics   []struct{ Dimensions []dimension }
			NextToken string
		}
		if err := q.api().target(ctx, "monitoring", cloudWatch+"ListMetrics", in, &out); err != nil {
			return nil, false, err
		}
		for _, m := range out.Metrics {
			var pair of
			for _, d := range m.Dimensions {
				switch d.Name {
				case "FunctionName":
					pair.Function = d.Value
				case "TenantId":
					pair.Tenant = d.Value
				}
			}
			if !want(pair.Tenant) {
				continue
			}
			if len(pairs) == maxMeasured {
				return pairs, true, nil
			}
			pairs = append(pairs, pair)
		}
		if out.NextToken == "" {
			return pairs, false, nil
		}
		in["NextToken"] = out.NextToken
	}
}

// cloudWatch is what its targets begin with; lambdaNamespace and nodeNamespace are
// where AWS's metrics are, and those that alcove adds.
const (
	cloudWatch      = "GraniteServiceVersion20100801."
	lambdaNamespace = "AWS/Lambda"
	nodeNamespace   = "Alcove/Lambda"
)

// dimension is CloudWatch's.
type dimension struct{ Name, Value string }

// of says whose a metric is: a tenant's of a function, a function's, or everybody's.
type of struct{ Function, Tenant string }

// wanted is a statistic of a metric.
type wanted struct {
	namespace    string // empty is AWS/Lambda
	metric, stat string
	of           of
	more         dimension // one more, if it has a name
}

// maxQueries is how many statistics one request may ask for.
const maxQueries = 500

// metricData asks CloudWatch's GetMetricData: what was measured for each of lines, by
// the time of the period's beginning in Unix seconds.
func (q *request) metricData(ctx context.Context, lines []wanted, from, to time.Time, period time.Duration) ([]map[int64]float64, error) {
	data := make([]map[int64]float64, len(lines))
	for begin := 0; begin < len(lines); begin += maxQueries {
		end := min(begin+maxQueries, len(lines))
		if err := q.metricBatch(ctx, lines[begin:end], data[begin:end], from, to, period); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (q *request) metricBatch(ctx context.Context, lines []wanted, data []map[int64]float64, from, to time.Time, period time.Duration) error {
	type object = map[string]any
	var queries []object
	for i, line := range lines {
		d := []dimension{}
		for _, one := range []dimension{{"FunctionName", line.of.Function}, {"TenantId", line.of.Tenant}, line.more} {
			if one.Value != "" {
				d = append(d, one)
			}
		}
		namespace := line.namespace
		if namespace == "" {
			namespace = lambdaNamespace
		}
		queries = append(queries, object{"Id": "q" + strconv.Itoa(i), "MetricStat": object{"Period": int(period.Seconds()), "Stat": line.stat,
			"Metric": object{"Namespace": namespace, "MetricName": line.metric, "Dimensions": d}}})
	}
	in := object{"MetricDataQueries": queries, "StartTime": from.Unix(), "EndTime": to.Unix(), "ScanBy": "TimestampAscending"}
	for range 50 { // pages
		var out struct {
			MetricDataResults []struct {
				ID         string `json:"Id"`
				Timestamps []float64
				Values     []float64
			}
			NextToken string
		}
		if err := q.api().target(ctx, "monitoring", cloudWatch+"GetMetricData", in, &out); err != nil {
			return err
		}
		for _, r := range out.MetricDataResults {
			i, err := strconv.Atoi(r.ID[min(1, len(r.ID)):])
			if err != nil || i < 0 || i >= len(lines) || len(r.Timestamps) != len(r.Values) {
				continue
			}
			if data[i] == nil {
				data[i] = map[int64]float64{}
			}
			for k, at := range r.Timestamps {
				data[i][int64(at)] = r.Values[k]
			}
		}
		if out.NextToken == "" {
			break
		}
		in["NextToken"] = out.NextToken
	}
	return nil
}

// also is a query of a page with some of it changed; an empty value takes a member out.
func also(v url.Values, pairs ...string) string {
	w := url.Values{}
	for name := range v {
		w.Set(name, v.Get(name))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if w.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			w.Del(pairs[i])
		}
	}
	return w.Encode()
}
