package metricsapi

import (
	"context"
	"regexp"
	"slices"
	"strconv"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/metrics"
)

type getMetricDataInput struct {
	MetricDataQueries  []metricDataQuery
	StartTime, EndTime *moment
	NextToken          string
	ScanBy             string
	MaxDatapoints      *whole
}

type metricDataQuery struct {
	ID         string `json:"Id"`
	MetricStat *struct {
		Metric struct {
			Namespace, MetricName string
			Dimensions            []dimension
		}
		Period *whole
		Stat   string
		Unit   string
	}
	Expression string
	Label      string
	ReturnData *flag
}

// Limits of GetMetricData.
const (
	maxQueries    = 500
	maxDataPoints = 100_800
)

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]{0,254}$`)

func validation(format string, args ...any) error {
	return alcove.ClientError(codeValidation, format, args...)
}

func (a *API) getMetricData(ctx context.Context, c *call, in *getMetricDataInput) (object, error) {
	for name, given := range map[string]bool{"MetricDataQueries": len(in.MetricDataQueries) > 0, "StartTime": in.StartTime != nil, "EndTime": in.EndTime != nil} {
		if !given {
			return nil, missing(name)
		}
	}
	if len(in.MetricDataQueries) > maxQueries {
		return nil, validation("The collection MetricDataQueries must not have a size greater than %d.", maxQueries)
	}
	most := maxDataPoints
	if n := in.MaxDatapoints; n != nil {
		if *n < 1 || *n > maxDataPoints {
			return nil, validation("The parameter MaxDatapoints must be from 1 to %d.", maxDataPoints)
		}
		most = int(*n)
	}
	ascending := in.ScanBy == "TimestampAscending"
	if in.ScanBy != "" && !ascending && in.ScanBy != "TimestampDescending" {
		return nil, validation("The parameter ScanBy must be TimestampDescending or TimestampAscending.")
	}
	// A token is how many points were answered before.
	skip := 0
	if in.NextToken != "" {
		var err error
		if skip, err = strconv.Atoi(in.NextToken); err != nil || skip < 0 {
			return nil, alcove.ClientError(codeInvalidToken, "The value for parameter NextToken is invalid.")
		}
	}
	seen := make(map[string]bool)
	for i := range in.MetricDataQueries {
		q := &in.MetricDataQueries[i]
		if !queryID.MatchString(q.ID) || seen[q.ID] {
			return nil, validation("The value %s for parameter MetricDataQueries.member.Id is invalid: it begins with a small letter, has letters, digits and underscores, and is given once.", clip(q.ID))
		}
		seen[q.ID] = true
	}
	results, answered, next := []any{}, 0, ""
	for i := range in.MetricDataQueries {
		q := &in.MetricDataQueries[i]
		if answered == most { // the next page goes on here
			next = "more"
			break
		}
		points, st, err := a.points(ctx, c, in, q)
		if err != nil {
			return nil, err
		}
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		if !ascending {
			slices.Reverse(points)
		}
		drop := min(skip, len(points))
		points, skip = points[drop:], skip-drop
		status := "Complete"
		if room := most - answered; len(points) > room {
			points, status, next = points[:room], "PartialData", "more"
		}
		answered += len(points)
		times, values := []any{}, []any{}
		for i := range points {
			times = append(times, points[i].At)
			values = append(values, st.of(&points[i].Set))
		}
		label := q.Label
		if label == "" {
			label = q.MetricStat.Metric.MetricName
		}
		results = append(results, object{{"Id", q.ID}, {"Label", label}, {"Timestamps", times}, {"Values", values}, {"StatusCode", status}})
	}
	out := object{{"MetricDataResults", results}, {"Messages", []any{}}}
	if next != "" {
		before := 0
		if in.NextToken != "" {
			before, _ = strconv.Atoi(in.NextToken) // checked above
		}
		out = append(out, member{"NextToken", strconv.Itoa(before + answered)})
	}
	return out, nil
}

// points are what one query asks for.
func (a *API) points(ctx context.Context, c *call, in *getMetricDataInput, q *metricDataQuery) ([]metrics.Point, statistic, error) {
	var st statistic
	if q.Expression != "" {
		return nil, st, validation("Expressions are not supported by this endpoint: query %s has to have a MetricStat.", q.ID)
	}
	if q.MetricStat == nil || q.MetricStat.Period == nil {
		return nil, st, validation("The parameter MetricDataQueries.member.MetricStat with its Period is required.")
	}
	m := q.MetricStat
	st, ok := parseStatistic(m.Stat)
	if !ok {
		return nil, st, validation("The value %s for parameter MetricDataQueries.member.MetricStat.Stat is not supported: SampleCount, Sum, Average, Minimum, Maximum and percentiles such as p99 are.", clip(m.Stat))
	}
	if m.Metric.Namespace == "" || m.Metric.MetricName == "" {
		return nil, st, validation("The parameter MetricDataQueries.member.MetricStat.Metric needs a Namespace and a MetricName.")
	}
	period, err := checkPeriod(*m.Period)
	if err != nil {
		return nil, st, err
	}
	from, to, err := span(in.StartTime, in.EndTime, period)
	if err != nil {
		return nil, st, err
	}
	list, err := dimensions(m.Metric.Dimensions)
	if err != nil {
		return nil, st, err
	}
	points, err := a.Store.Points(ctx, metrics.Metric{Namespace: m.Metric.Namespace, Name: m.Metric.MetricName, Dimensions: list}, m.Unit, false, from, to, period, c.sees())
	return points, st, err
}
