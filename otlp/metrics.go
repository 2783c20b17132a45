package otlp

import (
	"time"

	collmetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// Description is what is known of a metric beside its values.
type Description struct {
	Counter bool // it never decreases while the node runs
	Help    string
}

// Page gathers samples, as one for Prometheus does.
type Page struct {
	e    *Exporter
	now  uint64
	list map[string]*metrics.Metric
	all  []*metrics.Metric // in the order in which they came
}

func newPage(e *Exporter, now time.Time) *Page {
	return &Page{e: e, now: nanos(now), list: make(map[string]*metrics.Metric)}
}

// metric finds or makes one.
func (p *Page) metric(name string, make func(Description) *metrics.Metric) *metrics.Metric {
	m := p.list[name]
	if m == nil {
		d := p.e.cfg.Describe(name)
		m = make(d)
		m.Name, m.Description = name, d.Help
		p.list[name] = m
		p.all = append(p.all, m)
	}
	return m
}

// Add adds a sample; labels are names and values in turns.
func (p *Page) Add(name string, value float64, labels ...string) {
	m := p.metric(name, func(d Description) *metrics.Metric {
		if d.Counter {
			return &metrics.Metric{Data: &metrics.Metric_Sum{Sum: &metrics.Sum{IsMonotonic: true, AggregationTemporality: metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE}}}
		}
		return &metrics.Metric{Data: &metrics.Metric_Gauge{Gauge: new(metrics.Gauge)}}
	})
	point := &metrics.NumberDataPoint{Attributes: attributes(labels), TimeUnixNano: p.now, Value: &metrics.NumberDataPoint_AsDouble{AsDouble: value}}
	switch data := m.Data.(type) {
	case *metrics.Metric_Sum:
		point.StartTimeUnixNano = nanos(p.e.started)
		data.Sum.DataPoints = append(data.Sum.DataPoints, point)
	case *metrics.Metric_Gauge:
		data.Gauge.DataPoints = append(data.Gauge.DataPoints, point)
	}
}

// Histogram adds one: how many values are in each bucket of which these are the upper
// bounds, and beyond the last, and their sum.
func (p *Page) Histogram(name string, bounds []float64, counts []int64, sum float64, labels ...string) {
	m := p.metric(name, func(Description) *metrics.Metric {
		return &metrics.Metric{Data: &metrics.Metric_Histogram{Histogram: &metrics.Histogram{
			AggregationTemporality: metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE}}}
	})
	point := &metrics.HistogramDataPoint{Attributes: attributes(labels), StartTimeUnixNano: nanos(p.e.started), TimeUnixNano: p.now, Sum: &sum, ExplicitBounds: bounds}
	for _, n := range counts {
		point.Count += uint64(n)
		point.BucketCounts = append(point.BucketCounts, uint64(n))
	}
	h := m.GetHistogram()
	h.DataPoints = append(h.DataPoints, point)
}

func attributes(labels []string) []*common.KeyValue {
	list := make([]*common.KeyValue, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		list = append(list, text(labels[i], labels[i+1]))
	}
	return list
}

func (p *Page) message() proto.Message {
	return &collmetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{
		Resource: p.e.of(), ScopeMetrics: []*metrics.ScopeMetrics{{Scope: p.e.scope(), Metrics: p.all}},
	}}}
}
