package metricsapi

import (
	"context"
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/metrics"
)

type listMetricsInput struct {
	Namespace, MetricName string
	Dimensions            []dimension
	NextToken             string
	RecentlyActive        string
}

// listPage is how many metrics an answer has.
const listPage = 500

func (a *API) listMetrics(ctx context.Context, c *call, in *listMetricsInput) (object, error) {
	f := metrics.Filter{Namespace: in.Namespace, Name: in.MetricName, Sees: c.sees(), Limit: listPage}
	if len(in.Dimensions) > 10 {
		return nil, invalidValue("The collection Dimensions must not have a size greater than 10.")
	}
	for _, d := range in.Dimensions {
		if d.Name == "" {
			return nil, missing("Dimensions.member.Name")
		}
		f.Dimensions = append(f.Dimensions, metrics.Dimension(d))
	}
	switch in.RecentlyActive {
	case "":
	case "PT3H":
		f.Since = a.Now().Add(-3 * time.Hour)
	default:
		return nil, invalidValue("The parameter RecentlyActive must be PT3H.")
	}
	if in.NextToken != "" {
		var err error
		if f.After, err = strconv.ParseInt(in.NextToken, 36, 64); err != nil {
			return nil, alcove.ClientError(codeInvalidValue, "The value for parameter NextToken is invalid.")
		}
	}
	list, next, err := a.Store.List(ctx, f)
	if err != nil {
		return nil, err
	}
	items := []any{}
	for _, m := range list {
		dims := []any{}
		for _, d := range m.Dimensions {
			dims = append(dims, object{{"Name", d.Name}, {"Value", d.Value}})
		}
		items = append(items, object{{"Namespace", m.Namespace}, {"MetricName", m.Name}, {"Dimensions", dims}})
	}
	out := object{{"Metrics", items}}
	if next != 0 {
		out = append(out, member{"NextToken", strconv.FormatInt(next, 36)})
	}
	return out, nil
}
