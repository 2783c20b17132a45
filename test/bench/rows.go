package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// row is one measurement; -only names it.
type row struct {
	name   string
	once   bool // too long to repeat
	byName bool // too heavy to run unasked
	run    func(b *bench, ctx context.Context) ([]figure, error)
	peer   func(b *bench, p *peer) ([]figure, error) // the same of the peer, in the same round
}

// rows are all rows, in the order of the table.
func rows() []row {
	return []row{
		{name: "node", run: (*bench).nodeRow},
		{name: "warm", run: (*bench).warmRow, peer: (*bench).warmPeer},
		{name: "throughput", run: (*bench).throughputRow, peer: (*bench).throughputPeer},
		{name: "steady", run: (*bench).steadyRow, once: true},
		{name: "stock", run: (*bench).stockRow, once: true},
		{name: "first", run: (*bench).firstRow},
		{name: "fork", run: (*bench).forkRow},
		{name: "rate", run: (*bench).rateRow, peer: (*bench).ratePeer},
		{name: "memory", run: (*bench).memoryRow, once: true},
		{name: "events", run: (*bench).eventsRow},
		{name: "flood", run: (*bench).floodRow},
		{name: "logs", run: (*bench).logsRow},
		{name: "live", run: (*bench).liveRow, once: true, byName: true},
	}
}

func names() (list []string) {
	for _, r := range rows() {
		list = append(list, r.name)
	}
	return list
}

// Figures with targets.
const (
	warmOne      = "warm Python, 1 client, p50"
	warmMany     = "warm Python, 16 clients over 200 tenants"
	stockOf      = "new tenant from stock, one a second, %s, %s"
	runtimeStock = "first call from runtime stock, %s, p50"
	nothing      = "first call with nothing in stock, %s, p50"
	forked       = "first call with nothing in stock, Python, forked from the template, p50"
	aheadOnly    = "first call with only the sandbox made ahead, %s, p50"
	rateOf       = "new Python tenants, sustained"
	memoryOf     = "memory of an idle bound Python tenant (MemAvailable)"
	memoryForked = "memory of an idle bound Python tenant, forked from the template (MemAvailable)"
	floodOf      = "quiet tenants' p99 while one floods, against without"
	logsBeside   = "quiet tenants' p50 while others write 20,000 log lines a second, against writing them to nowhere"
	liveOf       = "tenants live and idle, all answering"
)

// targets are what the figures should be, by driver.
var targets = map[string]map[string]float64{
	warmOne:                               {"namespace": 0.25, "gvisor": 0.5},
	warmMany:                              {"namespace": 8000, "gvisor": 4000},
	fmt.Sprintf(stockOf, "Python", "p50"): {"namespace": 1, "gvisor": 1.5},
	fmt.Sprintf(stockOf, "Python", "p99"): {"namespace": 5, "gvisor": 8},
	fmt.Sprintf(stockOf, "Node", "p50"):   {"namespace": 1, "gvisor": 1.5},
	fmt.Sprintf(stockOf, "Node", "p99"):   {"namespace": 5, "gvisor": 8},
	fmt.Sprintf(runtimeStock, "Python"):   {"namespace": 2, "gvisor": 5},
	fmt.Sprintf(runtimeStock, "Node"):     {"namespace": 3, "gvisor": 8},
	fmt.Sprintf(nothing, "Python"):        {"gvisor": 105},
	forked:                                {"namespace": 6},
	fmt.Sprintf(nothing, "Node"):          {"namespace": 36, "gvisor": 130},
	fmt.Sprintf(aheadOnly, "Python"):      {"gvisor": 60},
	fmt.Sprintf(aheadOnly, "Node"):        {"gvisor": 90},
	rateOf:                                {"namespace": 250, "gvisor": 10},
	memoryOf:                              {"namespace": 4, "gvisor": 16},
	memoryForked:                          {"namespace": 1.5},
	floodOf:                               {"namespace": 1.5, "gvisor": 1.5},
	logsBeside:                            {"namespace": 1.1, "gvisor": 1.1},
	liveOf:                                {"namespace": 3000, "gvisor": 1000},
	eventsMany:                            {"namespace": 3000, "gvisor": 3000},
	eventsRatio:                           {"namespace": 5, "gvisor": 5},
	eventStart:                            {"namespace": 5, "gvisor": 5},
}

// nodeRow starts a node and looks at it.
func (b *bench) nodeRow(ctx context.Context) ([]figure, error) {
	n, err := startNode(ctx, b.binary, b.driver)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	return []figure{inMillis("start to ready", n.ready), {"node idle, PSS", mebibytes, n.memoryMB()}}, nil
}

// warmRow is one client that calls one tenant again and again.
func (b *bench) warmRow(ctx context.Context) (out []figure, err error) {
	n, err := b.shared(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range languages {
		f, err := n.function(ctx, "warm-"+l.name, l, nil)
		if err != nil {
			return nil, err
		}
		if _, _, err := warm(f, []string{"warm"}, 1, 200); err != nil {
			return nil, err
		}
		before := n.spent()
		took, _, err := warm(f, []string{"warm"}, 1, b.calls)
		if err != nil {
			return nil, err
		}
		spent := n.spent().since(before)
		name := fmt.Sprintf("warm %s, 1 client", l.name)
		out = append(out, inMillis(name+", p50", percentile(took, 50)), inMillis(name+", p99", percentile(took, 99)))
		out = append(out, perCall("CPU of one call, "+name, spent, len(took))...)
	}
	sdk, err := warmSDK(ctx, n, "warm-"+python.name, b.calls/4)
	return append(out, inMillis("warm Python, 1 client, AWS SDK for Go, p50", sdk)), err
}

func (b *bench) warmPeer(p *peer) ([]figure, error) {
	if _, _, err := warm(p, []string{"warm"}, 1, 20); err != nil {
		return nil, err
	}
	took, _, err := warm(p, []string{"warm"}, 1, b.calls/4)
	return []figure{inMillis(warmOne, percentile(took, 50)), inMillis("warm Python, 1 client, p99", percentile(took, 99))}, err
}

// warmSDK is one call after another with AWS's client, which signs each.
func warmSDK(ctx context.Context, n *node, function string, calls int) (time.Duration, error) {
	tenant := "warm"
	var took []time.Duration
	for range calls {
		began := time.Now()
		if _, err := n.sdk.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, TenantId: &tenant, Payload: event}); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	return percentile(took, 50), nil
}

// throughputRow is as many calls as 16 clients can make, to 200 tenants of one
// function that are all warm.
func (b *bench) throughputRow(ctx context.Context) ([]figure, error) {
	n, err := b.shared(ctx)
	if err != nil {
		return nil, err
	}
	f, err := n.function(ctx, "throughput", python, nil)
	if err != nil {
		return nil, err
	}
	tenants := tenantNames("many", 200)
	if _, _, err := warm(f, tenants, 16, 10*len(tenants)); err != nil {
		return nil, err
	}
	before := n.spent()
	took, all, err := warm(f, tenants, 16, 4*b.calls)
	if err != nil {
		return nil, err
	}
	out := many(took, all)
	return append(out, perCall("CPU of one call, "+warmMany, n.spent().since(before), len(took))...), nil
}

func many(took []time.Duration, all time.Duration) []figure {
	return []figure{{warmMany, perSecond, float64(len(took)) / all.Seconds()},
		inMillis(warmMany+", p50", percentile(took, 50)), inMillis(warmMany+", p99", percentile(took, 99))}
}

// throughputPeer gives a peer that has one environment as many tenants as it
// answers to: they all are one to it.
func (b *bench) throughputPeer(p *peer) ([]figure, error) {
	took, all, err := warm(p, tenantNames("many", 200), 16, b.calls)
	return many(took, all), err
}

// perCall is the processor time of one of n calls.
func perCall(what string, c cost, n int) []figure {
	return []figure{
		inMicros(what+": node", c.node/time.Duration(n)),
		inMicros(what+": sandbox", c.sandboxes/time.Duration(n)),
		inMicros(what+": client", c.client/time.Duration(n)),
	}
}
