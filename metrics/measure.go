package metrics

import (
	"strings"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
)

// groupKey is what measurements of invocations are gathered by before they become
// points of several series each.
type groupKey struct {
	minute   int64 // Unix seconds
	function string
	resource string // the function as it was named: NAME or NAME:QUALIFIER
	executed string // the version that ran
	tenant   alcove.Tenant
}

// group is what was measured of them.
type group struct {
	invocations, errors, throttles float64
	provisioned, spillover         float64
	duration                       Set // milliseconds
}

// measured is what was counted and is in no transaction yet. Its memory is bounded:
// beyond maxMeasured tenants are counted together.
type measured struct {
	mu sync.Mutex
	// Guarded by mu.
	groups   map[groupKey]*group
	points   map[seriesPoint]*point // of what is not in groups
	class    map[string]int         // how many of points each class has
	embedded int                    // points of all embedded classes
	tenants  map[alcove.Tenant]int  // embedded points of each tenant
	// dropped were beyond a bound.
	dropped int64
}

// seriesPoint is a minute of a series.
type seriesPoint struct {
	key    string
	minute int64
}

const maxMeasured = 10_000

// Others is the TenantId of everything of tenants that are too many to be told
// apart. No tenant's id has parentheses.
const Others = "(others)"

// Throttled counts an invocation that was refused with TooManyRequestsException.
func (s *Store) Throttled(ref alcove.Ref, tenant alcove.Tenant) {
	m := &s.measured
	m.mu.Lock()
	defer m.mu.Unlock()
	k := groupKey{minute: minuteOf(s.now()), function: ref.Name, resource: resourceOf(ref.Name, ref.Qualifier), tenant: tenant}
	if len(m.groups) >= maxMeasured && m.groups[k] == nil && tenant != "" {
		k.tenant = Others
	}
	if m.groups == nil {
		m.groups = make(map[groupKey]*group)
	}
	g := m.groups[k]
	if g == nil {
		g = new(group)
		m.groups[k] = g
	}
	g.throttles++
}

// Gauges takes what is measured by looking.
type Gauges struct {
	m      *measured
	minute int64
}

// Concurrency takes how many invocations of a function were under way at once at
// most since the last look; the empty name is all functions.
func (g *Gauges) Concurrency(function string, peak int) {
	se := &series{metric: Metric{Namespace: LambdaNamespace, Name: "ConcurrentExecutions"}, unit: "Count"}
	if function != "" {
		se.metric.Dimensions = []Dimension{{"FunctionName", function}}
	}
	g.m.put(se, g.minute, float64(peak))
}

// Unreserved takes the same of all functions without reserved concurrency.
func (g *Gauges) Unreserved(peak int) {
	g.m.put(&series{metric: Metric{Namespace: LambdaNamespace, Name: "UnreservedConcurrentExecutions"}, unit: "Count"}, g.minute, float64(peak))
}

// Claimed takes how much of the account's concurrency is not to be had by others: what
// is used of the unreserved, reserved, or provisioned.
func (g *Gauges) Claimed(n int) {
	g.m.put(&series{metric: Metric{Namespace: LambdaNamespace, Name: "ClaimedAccountConcurrency"}, unit: "Count"}, g.minute, float64(n))
}

// Provisioned takes how many invocations of a function by way of a qualifier used
// provisioned concurrency at once at most, of how much there is.
func (g *Gauges) Provisioned(function, qualifier string, peak, allocated int) {
	for _, d := range [][]Dimension{{{"FunctionName", function}}, {{"FunctionName", function}, {"Resource", resourceOf(function, qualifier)}}} {
		g.m.put(&series{metric: Metric{LambdaNamespace, "ProvisionedConcurrentExecutions", d}, unit: "Count"}, g.minute, float64(peak))
		g.m.put(&series{metric: Metric{LambdaNamespace, "ProvisionedConcurrencyUtilization", d}, unit: "None"}, g.minute, float64(peak)/float64(max(allocated, 1)))
	}
}

// gauge looks.
func (m *measured) gauge(now time.Time, look func(*Gauges)) { look(&Gauges{m, minuteOf(now)}) }

// Event counts something that happened to a function, in one of AWS's other metrics
// of functions (AsyncEventsReceived, say): in the metrics of all functions, of the
// function, and of its tenant if there is one.
func (s *Store) Event(function string, tenant alcove.Tenant, name, unit string, value float64) {
	minute := minuteOf(s.now())
	for _, d := range [][]Dimension{nil, {{"FunctionName", function}}} {
		s.measured.put(&series{metric: Metric{LambdaNamespace, name, d}, unit: unit}, minute, value)
	}
	if tenant != "" {
		s.measured.put(tenantSeries(name, unit, function, tenant), minute, value)
	}
}

// put adds a value to a minute of a series, if there is room: what is embedded has
// some of its own, and each class of that no more than it may have series, twice.
func (m *measured) put(se *series, minute int64, value float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.points == nil {
		m.points, m.class, m.tenants = make(map[seriesPoint]*point), make(map[string]int), make(map[alcove.Tenant]int)
	}
	at := seriesPoint{se.key(), minute}
	p := m.points[at]
	if p == nil && !m.room(se.class, se.tenant) {
		if se.tenant == "" || !se.node() {
			m.dropped++
			return
		}
		se = se.ofOthers()
		at.key = se.key()
		p = m.points[at]
	}
	if p == nil {
		p = &point{series: se}
		m.points[at] = p
		m.class[se.class]++
		if strings.HasPrefix(se.class, classEmbedded) {
			m.embedded++
			if se.tenant != "" {
				m.tenants[se.tenant]++
			}
		}
	}
	p.set.Add(value, 1)
}

// room says whether there is room for one more point of a class. Preconditions: m.mu
// is held.
func (m *measured) room(class string, tenant alcove.Tenant) bool {
	switch {
	case strings.HasPrefix(class, classEmbedded):
		return m.embedded < maxMeasured/2 && m.class[class] < 2*MaxEmbedded && m.tenants[tenant] < maxMeasured/8
	case class != "":
		return len(m.points)-m.embedded < maxMeasured
	}
	return len(m.points) < 2*maxMeasured // as many as there are functions
}

// drain moves what was measured into a batch.
func (m *measured) drain(b *batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, g := range m.groups {
		b.group(k).add(g)
	}
	for at, p := range m.points {
		b.point(p.series, at.minute).merge(&p.set)
	}
	m.groups, m.points, m.class, m.tenants, m.embedded = nil, nil, nil, nil, 0
}

func (g *group) add(o *group) {
	g.invocations += o.invocations
	g.errors += o.errors
	g.throttles += o.throttles
	g.provisioned += o.provisioned
	g.spillover += o.spillover
	g.duration.merge(&o.duration)
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 * 60 }

func resourceOf(function, qualifier string) string {
	if qualifier == "" {
		return function
	}
	return function + ":" + qualifier
}

// qualifierOf is the qualifier of an ARN that a caller named, or empty.
func qualifierOf(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) == 8 {
		return parts[7]
	}
	return ""
}

// addReport counts an invocation. What the platform failed is no invocation on AWS.
func (b *batch) addReport(r *alcove.Report) {
	if r.Status == alcove.StatusFailure {
		return
	}
	b.addStart(r)
	g := b.group(groupKey{minute: minuteOf(r.Started), function: r.Function, resource: resourceOf(r.Function, qualifierOf(r.InvokedARN)),
		executed: r.Version, tenant: r.Tenant})
	g.invocations++
	switch r.Provisioned {
	case "used":
		g.provisioned++
	case "spillover":
		g.spillover++
	}
	if r.Status != alcove.StatusSuccess {
		g.errors++
	}
	g.duration.Add(float64(r.Duration.Microseconds())/1000, 1)
}

// spread makes points of a group: for all functions, for the function, for the
// function as it was named, for the version that an alias chose, and for the tenant.
func (b *batch) spread(k groupKey, g *group) {
	lists := [][]Dimension{nil, {{"FunctionName", k.function}}, {{"FunctionName", k.function}, {"Resource", k.resource}}}
	if q := strings.TrimPrefix(k.resource, k.function); q != "" && k.executed != "" && q != ":"+k.executed {
		lists = append(lists, []Dimension{{"ExecutedVersion", k.executed}, {"FunctionName", k.function}, {"Resource", k.resource}})
	}
	add := func(make func(name, unit string) *series) {
		if g.invocations > 0 {
			b.point(make("Invocations", "Count"), k.minute).Add(1, g.invocations)
			errors := b.point(make("Errors", "Count"), k.minute)
			if g.errors > 0 {
				errors.Add(1, g.errors)
			}
			if ok := g.invocations - g.errors; ok > 0 {
				errors.Add(0, ok)
			}
			b.point(make("Duration", "Milliseconds"), k.minute).merge(&g.duration)
		}
		if n := g.provisioned + g.spillover; n > 0 {
			for name, of := range map[string]float64{"ProvisionedConcurrencyInvocations": g.provisioned, "ProvisionedConcurrencySpilloverInvocations": g.spillover} {
				p := b.point(make(name, "Count"), k.minute)
				if of > 0 {
					p.Add(1, of)
				}
				if n > of {
					p.Add(0, n-of)
				}
			}
		}
		throttles := b.point(make("Throttles", "Count"), k.minute)
		if g.throttles > 0 {
			throttles.Add(1, g.throttles)
		}
		if g.invocations > 0 {
			throttles.Add(0, g.invocations)
		}
	}
	for _, d := range lists {
		add(func(name, unit string) *series { return &series{metric: Metric{LambdaNamespace, name, d}, unit: unit} })
	}
	if k.tenant != "" {
		add(func(name, unit string) *series { return tenantSeries(name, unit, k.function, k.tenant) })
	}
}

// tenantSeries is a tenant's own of a function.
func tenantSeries(name, unit, function string, tenant alcove.Tenant) *series {
	se := &series{metric: Metric{LambdaNamespace, name, []Dimension{{"FunctionName", function}, {"TenantId", string(tenant)}}}, unit: unit,
		tenant: tenant, class: "tenants of " + function}
	if tenant == Others {
		se.tenant, se.class = "", ""
	}
	return se
}
