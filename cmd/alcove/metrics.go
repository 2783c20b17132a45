package main

import (
	"context"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/gateway"
	"github.com/alcove-run/alcove/metrics"
	"github.com/alcove-run/alcove/metricsapi"
)

// metricsDir is the metrics' below the data directory.
const metricsDir = "metrics"

// openMetrics opens the store of metrics, which reads the journal.
func (n *node) openMetrics(context.Context) (err error) {
	var all census
	gauges := func(g *metrics.Gauges) { n.gauges(g, &all) }
	n.metrics, err = metrics.Open(metrics.Config{Dir: n.path(metricsDir), Journal: n.journal, Gauges: gauges, Log: n.log})
	if err != nil {
		return err
	}
	n.opened(closes(n.metrics))
	return nil
}

// gauges looks at how many invocations are under way, and what environments do.
func (n *node) gauges(g *metrics.Gauges, c *census) {
	invoker := n.counted.Load()
	if invoker == nil {
		return // the node starts
	}
	c.take(g, n.pool.Status())
	functions, all, unreserved := invoker.Peaks()
	for name, peak := range functions {
		g.Concurrency(name, peak)
	}
	for _, p := range invoker.ProvisionedPeaks() {
		g.Provisioned(p.Function, p.Qualifier, p.Peak, p.Allocated)
	}
	if len(functions) > 0 {
		g.Concurrency("", all)
		g.Unreserved(unreserved)
		reserved, provisioned := n.catalog.Allocated()
		g.Claimed(unreserved + reserved + provisioned)
	}
}

// metricStream is a log stream whose records may have metrics in them.
type metricStream struct {
	environment.LogStream
	group   string
	metrics *metrics.Store
}

// Append implements environment.LogStream.
func (s metricStream) Append(tenant alcove.Tenant, at time.Time, record []byte) {
	s.metrics.Embedded(s.group, tenant, at, record)
	s.LogStream.Append(tenant, at, record)
}

// logStream is where an environment's records go.
func (n *node) logStream(group, stream string) environment.LogStream {
	return n.logged(metricStream{n.logs.Stream(group, stream), group, n.metrics}, group, stream)
}

// openMetricsAPI puts CloudWatch behind the listener.
func (n *node) openMetricsAPI(h *gateway.Config) {
	h.Metrics = metricsapi.New(metricsapi.Config{Store: n.metrics, Authenticate: n.auth.Authenticate, Authorize: n.auth.Authorize, Log: n.log})
}
