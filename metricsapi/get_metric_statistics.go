package metricsapi

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove/metrics"
)

type getMetricStatisticsInput struct {
	Namespace, MetricName string
	Dimensions            []dimension
	StartTime, EndTime    *moment
	Period                *whole
	Statistics            []string
	ExtendedStatistics    []string
	Unit                  string
}

// maxDatapoints is how many an answer of GetMetricStatistics may have.
const maxDatapoints = 1440

func (a *API) getMetricStatistics(ctx context.Context, c *call, in *getMetricStatisticsInput) (object, error) {
	for name, given := range map[string]bool{"Namespace": in.Namespace != "", "MetricName": in.MetricName != "", "StartTime": in.StartTime != nil,
		"EndTime": in.EndTime != nil, "Period": in.Period != nil} {
		if !given {
			return nil, missing(name)
		}
	}
	if len(in.Statistics)+len(in.ExtendedStatistics) == 0 {
		return nil, missing("Statistics")
	}
	var err error
	var all, extended []statistic
	for _, s := range in.Statistics {
		st, ok := parseStatistic(s)
		if !ok || st.percentile >= 0 {
			return nil, invalidValue("The parameter Statistics.member must be a value in the set [SampleCount, Sum, Average, Minimum, Maximum].")
		}
		all = append(all, st)
	}
	for _, s := range in.ExtendedStatistics {
		st, ok := parseStatistic(s)
		if !ok || st.percentile < 0 {
			return nil, invalidValue("The value %s for parameter ExtendedStatistics.member is invalid: percentiles such as p99 are supported.", clip(s))
		}
		extended = append(extended, st)
	}
	period, err := checkPeriod(*in.Period)
	if err != nil {
		return nil, err
	}
	from, to, err := span(in.StartTime, in.EndTime, period)
	if err != nil {
		return nil, err
	}
	if n := (int64(to.Sub(from)/time.Second) + int64(period/time.Second) - 1) / int64(period/time.Second); n > maxDatapoints {
		return nil, combination("You have requested up to %d datapoints, which exceeds the limit of %d. You may reduce the datapoints requested by increasing Period, or decreasing the time range.", n, maxDatapoints)
	}
	m, err := in.metric()
	if err != nil {
		return nil, err
	}
	points, err := a.Store.Points(ctx, m, in.Unit, true, from, to, period, c.sees())
	if err != nil {
		return nil, err
	}
	data := []any{}
	for i := range points {
		p := &points[i]
		d := object{{"Timestamp", p.At}}
		for _, st := range all {
			d = append(d, member{st.name, st.of(&p.Set)})
		}
		d = append(d, member{"Unit", p.Unit})
		if len(extended) > 0 {
			values := make(map[string]float64)
			for _, st := range extended {
				values[st.name] = st.of(&p.Set)
			}
			d = append(d, member{"ExtendedStatistics", values})
		}
		data = append(data, d)
	}
	return object{{"Label", in.MetricName}, {"Datapoints", data}}, nil
}

func (in *getMetricStatisticsInput) metric() (metrics.Metric, error) {
	list, err := dimensions(in.Dimensions)
	return metrics.Metric{Namespace: in.Namespace, Name: in.MetricName, Dimensions: list}, err
}

// statistic is what is asked of the values of a period.
type statistic struct {
	name       string
	percentile float64 // from 0 to 1, or -1
}

func parseStatistic(s string) (statistic, bool) {
	if slices.Contains([]string{"SampleCount", "Sum", "Average", "Minimum", "Maximum"}, s) {
		return statistic{s, -1}, true
	}
	digits, ok := strings.CutPrefix(s, "p")
	p, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || strings.Trim(digits, "0123456789.") != "" || p < 0 || p > 100 {
		return statistic{}, false
	}
	return statistic{s, p / 100}, true
}

func (s statistic) of(set *metrics.Set) float64 {
	v := set.Sum
	switch {
	case s.percentile >= 0:
		v = set.Percentile(s.percentile)
	case s.name == "SampleCount":
		v = set.N
	case s.name == "Average":
		v = set.Sum / set.N
	case s.name == "Minimum":
		v = set.Min
	case s.name == "Maximum":
		v = set.Max
	}
	if math.IsInf(v, 0) || math.IsNaN(v) { // a sum that is too large for any number
		return math.Copysign(math.MaxFloat64, v)
	}
	return v
}

func checkPeriod(p whole) (time.Duration, error) {
	if p < 60 || p%60 != 0 || p > 86400*455 {
		return 0, invalidValue("The parameter Period must be a multiple of 60, of at most 455 days: this node keeps no points finer than a minute.")
	}
	return time.Duration(p) * time.Second, nil
}

// earliest bounds times, so that no arithmetic on them goes wrong.
var earliest, latest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// span is the time that is asked for, from the beginning of a period on.
func span(start, end *moment, period time.Duration) (from, to time.Time, err error) {
	if start.Before(earliest) || end.After(latest) {
		return from, to, invalidValue("The parameters StartTime and EndTime must be between 1970 and 9999.")
	}
	if !start.Before(end.Time) {
		return from, to, invalidValue("The parameter StartTime must be less than the parameter EndTime.")
	}
	seconds := int64(period / time.Second)
	return time.Unix(start.Unix()/seconds*seconds, 0).UTC(), end.Time, nil
}
