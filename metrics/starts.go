package metrics

import (
	"time"

	"github.com/alcove-run/alcove"
)

// NodeNamespace is where what the node measures is that AWS has no metric for. Nobody
// else puts metrics there.
//
//	NewTenantLatency  milliseconds from the request until the function had the event,
//	                  of the invocations that a tenant's environments began with: by
//	                  Start, by FunctionName and Start, by FunctionName and TenantId
//	Environments      how many execution environments there were, looked at every few
//	                  seconds: by State, by FunctionName and State, and by FunctionName,
//	                  State and TenantId while one of the tenant's is not frozen
const NodeNamespace = "Alcove/Lambda"

// addStart measures what a tenant waited for an environment.
func (b *batch) addStart(r *alcove.Report) {
	if !r.Bound || r.Tenant == "" {
		return
	}
	const name, unit = "NewTenantLatency", "Milliseconds"
	waited := float64(max(r.Queued, 0)) / float64(time.Millisecond)
	how := Dimension{"Start", string(r.Start)}
	for _, d := range [][]Dimension{{how}, {{"FunctionName", r.Function}, how}} {
		b.point(&series{metric: Metric{NodeNamespace, name, d}, unit: unit}, minuteOf(r.Started)).Add(waited, 1)
	}
	d := []Dimension{{"FunctionName", r.Function}, {"TenantId", string(r.Tenant)}}
	b.point(environmentSeries(name, unit, d, r.Tenant), minuteOf(r.Started)).Add(waited, 1)
}

// Environments takes how many environments of a function are in a state; the empty name
// is all functions.
func (g *Gauges) Environments(function, state string, n int) {
	d := []Dimension{{"State", state}}
	if function != "" {
		d = []Dimension{{"FunctionName", function}, {"State", state}}
	}
	g.m.put(&series{metric: Metric{NodeNamespace, "Environments", d}, unit: "Count"}, g.minute, float64(n))
}

// TenantEnvironments takes how many of a tenant's environments of a function are.
func (g *Gauges) TenantEnvironments(function, state string, tenant alcove.Tenant, n int) {
	d := []Dimension{{"FunctionName", function}, {"State", state}, {"TenantId", string(tenant)}}
	g.m.put(environmentSeries("Environments", "Count", d, tenant), g.minute, float64(n))
}

// environmentSeries is a tenant's. They are bounded apart from those that AWS has, so
// that they take no place of them.
func environmentSeries(name, unit string, d []Dimension, tenant alcove.Tenant) *series {
	return &series{metric: Metric{NodeNamespace, name, d}, unit: unit, tenant: tenant, class: "environments of tenants of " + d[0].Value}
}

// node says whether the node itself measures a series: nobody else's has its namespaces.
func (s *series) node() bool {
	return s.metric.Namespace == LambdaNamespace || s.metric.Namespace == NodeNamespace
}

// ofOthers is the series that stands for those of tenants that are too many to be told
// apart.
func (s *series) ofOthers() *series {
	o := &series{metric: Metric{Namespace: s.metric.Namespace, Name: s.metric.Name}, unit: s.unit}
	for _, d := range s.metric.Dimensions {
		if d.Name == "TenantId" {
			d.Value = Others
		}
		o.metric.Dimensions = append(o.metric.Dimensions, d)
	}
	return o
}

// Minute is the one that is measured, in Unix seconds.
func (g *Gauges) Minute() int64 { return g.minute }
