package metricsapi

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/metrics"
	"github.com/alcove-run/alcove/metrics/expression"

	"github.com/alcove-run/alcove/internal/lazyregexp"
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

var queryID = lazyregexp.New(`^[a-z][a-zA-Z0-9_]{0,254}$`)

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
	w := &working{api: a, ctx: ctx, call: c, in: in, budget: maxWorked, done: make(map[string][]expression.Series), busy: make(map[string]bool)}
	results, answered, next := []any{}, 0, ""
queries:
	for i := range in.MetricDataQueries {
		q := &in.MetricDataQueries[i]
		if answered == most { // the next page goes on here
			next = "more"
			break
		}
		list, err := w.query(q)
		if err != nil {
			return nil, err
		}
		if q.ReturnData != nil && !*q.ReturnData {
			continue
		}
		for _, s := range list {
			if answered == most {
				next = "more"
				break queries
			}
			points := s.Points
			if !ascending {
				points = slices.Clone(points)
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
				times = append(times, time.Unix(points[i].At, 0).UTC())
				values = append(values, points[i].Value)
			}
			results = append(results, object{{"Id", q.ID}, {"Label", w.label(q, s)}, {"Timestamps", times}, {"Values", values}, {"StatusCode", status}})
		}
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

// maxWorked bounds the points that the expressions of one request are worked out of.
const maxWorked = 1_000_000

// working is one request whose queries are worked out, each once.
type working struct {
	api    *API
	ctx    context.Context
	call   *call
	in     *getMetricDataInput
	budget int
	done   map[string][]expression.Series // of queries that expressions name
	busy   map[string]bool                // expressions that are being worked out
}

// query gives the series of a query: one of a metric, one or several of an expression.
func (w *working) query(q *metricDataQuery) ([]expression.Series, error) {
	if list, ok := w.done[q.ID]; ok {
		return list, nil
	}
	if q.Expression == "" {
		s, err := w.metric(q)
		return []expression.Series{s}, err
	}
	if q.MetricStat != nil {
		return nil, validation("The parameters MetricStat and Expression of query %s must not be given together.", q.ID)
	}
	if w.busy[q.ID] {
		return nil, validation("Error in expression '%s': it needs itself.", q.ID)
	}
	w.busy[q.ID] = true
	defer delete(w.busy, q.ID)
	wrong := func(err error) error {
		if _, ok := errors.AsType[*alcove.Error](err); ok {
			return err // of the store, or of a query that it names
		}
		return validation("Error in expression '%s': %s.", q.ID, err)
	}
	e, err := expression.Parse(q.Expression)
	if err != nil {
		return nil, wrong(err)
	}
	list, err := e.Evaluate(expression.Input{Query: w.named, Metrics: w.metrics, From: w.in.StartTime.Unix(), To: w.in.EndTime.Unix(), Budget: &w.budget})
	if err != nil {
		return nil, wrong(err)
	}
	w.done[q.ID] = list
	return list, nil
}

// named gives the series of a query that an expression names.
func (w *working) named(id string) ([]expression.Series, error) {
	for i := range w.in.MetricDataQueries {
		if q := &w.in.MetricDataQueries[i]; q.ID == id {
			return w.kept(q)
		}
	}
	return nil, errors.New("there is no query " + id)
}

// kept is query, and remembers what it gives.
func (w *working) kept(q *metricDataQuery) ([]expression.Series, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	if list, ok := w.done[q.ID]; ok {
		return list, nil
	}
	list, err := w.query(q)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if w.budget -= len(s.Points); w.budget < 0 {
			return nil, expression.ErrTooMuch
		}
	}
	w.done[q.ID] = list
	return list, nil
}

// metrics gives those of all queries that are no expressions.
func (w *working) metrics() (all []expression.Series, err error) {
	for i := range w.in.MetricDataQueries {
		q := &w.in.MetricDataQueries[i]
		if q.Expression != "" {
			continue
		}
		list, err := w.kept(q)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// metric gives the series of a query that names a metric.
func (w *working) metric(q *metricDataQuery) (expression.Series, error) {
	points, st, err := w.api.points(w.ctx, w.call, w.in, q)
	if err != nil {
		return expression.Series{}, err
	}
	s := expression.Series{ID: q.ID, Label: q.Label, Period: int64(*q.MetricStat.Period), Points: make([]expression.Point, len(points))}
	if s.Label == "" {
		s.Label = q.MetricStat.Metric.MetricName
	}
	for i := range points {
		s.Points[i] = expression.Point{At: points[i].At.Unix(), Value: st.of(&points[i].Set)}
	}
	return s, nil
}

// label is what a result is called: as the query says, or as its metric is, or, of an
// expression, its id.
func (w *working) label(q *metricDataQuery, s expression.Series) string {
	switch {
	case q.Label != "":
		return q.Label
	case q.Expression == "", s.Label != "" && len(w.done[q.ID]) > 1:
		return s.Label
	}
	return q.ID
}
