package metricsapi

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/metrics"
)

type dimension struct{ Name, Value string }

type putMetricDataInput struct {
	Namespace        string
	MetricData       []metricDatum
	EntityMetricData []any
}

type metricDatum struct {
	MetricName      string
	Dimensions      []dimension
	Timestamp       *moment
	Value           *number
	StatisticValues *struct{ SampleCount, Sum, Minimum, Maximum *number }
	Values, Counts  []number
	Unit            string
	// StorageResolution of a second is kept as that of a minute.
	StorageResolution *whole
}

// Limits of PutMetricData.
const (
	maxData   = 1000
	maxValues = 150
	maxPast   = 14 * 24 * time.Hour
	maxFuture = 2 * time.Hour
)

func (a *API) putMetricData(_ context.Context, _ *call, in *putMetricDataInput) (object, error) {
	if in.Namespace == "" {
		return nil, missing("Namespace")
	}
	if err := metrics.CheckNamespace(in.Namespace); err != nil {
		return nil, invalidValue("%s", err)
	}
	if len(in.EntityMetricData) > 0 {
		return nil, invalidValue("The parameter EntityMetricData is not supported.")
	}
	if len(in.MetricData) == 0 {
		return nil, missing("MetricData")
	}
	if len(in.MetricData) > maxData {
		return nil, invalidValue("The collection MetricData must not have a size greater than %d.", maxData)
	}
	list := make([]metrics.Datum, 0, len(in.MetricData))
	for i := range in.MetricData {
		d, err := a.datum(in.Namespace, &in.MetricData[i])
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	err := a.Store.Put(list)
	if errors.Is(err, metrics.ErrTooMany) {
		return nil, alcove.ClientError(codeLimit, "This node keeps no more than %d metrics that clients put, and %d in all.", metrics.MaxPut, metrics.MaxSeries)
	}
	return nil, err
}

func (a *API) datum(namespace string, in *metricDatum) (d metrics.Datum, err error) {
	if err := metrics.CheckName("MetricData.member.MetricName", in.MetricName, 255); err != nil {
		return d, invalidValue("%s", err)
	}
	d = metrics.Datum{Metric: metrics.Metric{Namespace: namespace, Name: in.MetricName}, Unit: in.Unit, At: a.Now()}
	if d.Metric.Dimensions, err = dimensions(in.Dimensions); err != nil {
		return d, err
	}
	if d.Unit == "" {
		d.Unit = "None"
	}
	if !metrics.IsUnit(d.Unit) {
		return d, invalidValue("The parameter MetricData.member.Unit must be a value in the set of units.")
	}
	if r := in.StorageResolution; r != nil && *r != 1 && *r != 60 {
		return d, invalidValue("The parameter MetricData.member.StorageResolution must be 1 or 60.")
	}
	if in.Timestamp != nil {
		d.At = in.Timestamp.Time
	}
	if now := a.Now(); d.At.Before(now.Add(-maxPast)) || d.At.After(now.Add(maxFuture)) {
		return d, invalidValue("The parameter MetricData.member.Timestamp must specify a time no more than two weeks in the past and two hours in the future.")
	}
	return d, in.values(&d.Set)
}

func dimensions(in []dimension) ([]metrics.Dimension, error) {
	list := make([]metrics.Dimension, len(in))
	for i, d := range in {
		list[i] = metrics.Dimension(d)
	}
	if err := metrics.CheckDimensions(list); err != nil {
		return nil, invalidValue("%s", err)
	}
	return list, nil
}

// values adds what a datum has: one of a value, statistics, or values with counts.
func (in *metricDatum) values(set *metrics.Set) error {
	given := 0
	for _, is := range []bool{in.Value != nil, in.StatisticValues != nil, len(in.Values) > 0} {
		if is {
			given++
		}
	}
	if given == 0 {
		return missing("MetricData.member.Value")
	}
	if given > 1 {
		return combination("The parameters MetricData.member.Value, StatisticValues and Values are mutually exclusive and you have specified more than one.")
	}
	if s := in.StatisticValues; s != nil {
		if s.SampleCount == nil || s.Sum == nil || s.Minimum == nil || s.Maximum == nil {
			return missing("MetricData.member.StatisticValues")
		}
		n, sum, low, high := float64(*s.SampleCount), float64(*s.Sum), float64(*s.Minimum), float64(*s.Maximum)
		if n <= 0 || low > high || tooLarge(n, sum, low, high) || sum < low*n-math.Abs(low*n)/1e6 || sum > high*n+math.Abs(high*n)/1e6 {
			return invalidValue("The parameter MetricData.member.StatisticValues is not the statistics of any values.")
		}
		set.AddStatistics(n, sum, low, high)
		return nil
	}
	values, counts := in.Values, in.Counts
	if in.Value != nil {
		values, counts = []number{*in.Value}, nil
	}
	if len(values) > maxValues {
		return invalidValue("The collection MetricData.member.Values must not have a size greater than %d.", maxValues)
	}
	if len(counts) > 0 && len(counts) != len(values) {
		return invalidValue("The parameters MetricData.member.Values and MetricData.member.Counts must be of the same size.")
	}
	for i, v := range values {
		count := 1.0
		if len(counts) > 0 {
			count = float64(counts[i])
		}
		if count <= 0 || tooLarge(float64(v), count) {
			return invalidValue("The parameter MetricData.member.Values or Counts has a number that CloudWatch does not take.")
		}
		set.Add(float64(v), count)
	}
	return nil
}

func tooLarge(list ...float64) bool {
	for _, v := range list {
		if math.Abs(v) > metrics.MaxValue {
			return true
		}
	}
	return false
}
