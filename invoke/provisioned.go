package invoke

import "github.com/alcove-run/alcove"

// How an invocation stands to the provisioned concurrency of its version.
const (
	provisionedUsed      = "used"
	provisionedSpillover = "spillover" // all of it was in use
)

// provisioned counts the invocations under way of versions that have provisioned
// concurrency. Its fields are guarded by the gauge's mutex.
type provisioned struct {
	versions  map[versionKey]int
	resources map[resourceKey]*resourceLevel
}

type versionKey struct{ functionID, number string }

type resourceKey struct{ function, qualifier string }

// resourceLevel is how much of a version's provisioned concurrency is used by way of a
// name of it.
type resourceLevel struct {
	level
	allocated int
}

// enterProvisioned counts an invocation in, if v has provisioned concurrency, and says
// whether there was some of it free: which environments these are is the pool's, and
// any will do.
func (i *Invoker) enterProvisioned(v *alcove.Version, ref alcove.Ref) (use string, leave func()) {
	if i.cfg.Provisioned == nil {
		return "", func() {}
	}
	n := i.cfg.Provisioned(v)
	if n == 0 {
		return "", func() {}
	}
	k, r := versionKey{v.FunctionID, v.Number}, resourceKey{v.Name, ref.Qualifier}
	g := &i.gauge
	p := &g.provisioned
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.versions == nil {
		p.versions, p.resources = make(map[versionKey]int), make(map[resourceKey]*resourceLevel)
	}
	if p.versions[k] >= n {
		return provisionedSpillover, func() {}
	}
	p.versions[k]++
	l := p.resources[r]
	if l == nil {
		l = new(resourceLevel)
		p.resources[r] = l
	}
	l.add(1)
	l.allocated = n
	return provisionedUsed, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if p.versions[k]--; p.versions[k] == 0 {
			delete(p.versions, k)
		}
		l.add(-1)
	}
}

// ProvisionedPeak is how many invocations by way of a name used provisioned concurrency
// at once at most, of how much.
type ProvisionedPeak struct {
	Function, Qualifier string
	Peak, Allocated     int
}

// ProvisionedPeaks gives those since it was called last.
func (i *Invoker) ProvisionedPeaks() (list []ProvisionedPeak) {
	g := &i.gauge
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, l := range g.provisioned.resources {
		list = append(list, ProvisionedPeak{k.function, k.qualifier, l.peak, l.allocated})
		if l.peak = l.now; l.now == 0 {
			delete(g.provisioned.resources, k)
		}
	}
	return list
}
