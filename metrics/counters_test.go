package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

func countedReport(c *Counters, function string, tenant alcove.Tenant, at time.Time) {
	c.Report(&alcove.Report{Function: function, Tenant: tenant, Started: at, Duration: 20 * time.Millisecond, Billed: 20 * time.Millisecond, MemorySize: 1024,
		Status: alcove.StatusSuccess, Start: alcove.StartWarm})
}

// The busiest tenants are counted exactly beside any number that come once, nothing
// ever decreases, and memory stays what it is.
func TestBusiestTenants(t *testing.T) {
	var c Counters
	at := time.Unix(1_764_000_000, 0)
	// The places are taken by tenants that come once.
	for i := range CountedTenants {
		countedReport(&c, "f", alcove.Tenant(fmt.Sprint("early-", i)), at)
	}
	busy := func(minute int) {
		for i := range 5000 {
			countedReport(&c, "f", alcove.Tenant(fmt.Sprint("spray-", minute, "-", i)), at)
			if i%10 == 0 {
				countedReport(&c, "f", "busy", at)
			}
		}
		at = at.Add(time.Minute)
	}
	for minute := range 3 {
		busy(minute)
	}
	before := c.Read()
	busy(3)
	after := c.Read()
	if got := after.Tenants["busy"].Invocations - before.Tenants["busy"].Invocations; got != 500 {
		t.Errorf("a busy tenant has %d of 500", got)
	}
	for tenant, n := range before.Tenants {
		if m, ok := after.Tenants[tenant]; ok && m.Invocations < n.Invocations {
			t.Errorf("%s went from %d to %d", tenant, n.Invocations, m.Invocations)
		}
	}
	if len(after.Tenants) > CountedTenants+1 || len(c.tenants.candidates) > maxCandidates {
		t.Errorf("%d tenants, %d candidates", len(after.Tenants), len(c.tenants.candidates))
	}
	if n := after.Functions["f"].ByStatus[alcove.StatusSuccess]; n != CountedTenants+4*5500 {
		t.Errorf("%d invocations", n)
	}
	c.Forget("busy")
	if _, ok := c.Read().Tenants["busy"]; ok {
		t.Error("a forgotten tenant is there")
	}
}

func TestCountedFunctionsAreBounded(t *testing.T) {
	var c Counters
	for i := range 3 * CountedFunctions {
		countedReport(&c, fmt.Sprint("f", i), "", time.Now())
		c.Throttled(fmt.Sprint("g", i), "", time.Now())
	}
	got := c.Read()
	var all int64
	for _, f := range got.Functions {
		all += f.ByStatus[alcove.StatusSuccess]
	}
	if len(got.Functions) > CountedFunctions+1 || all != 3*CountedFunctions {
		t.Errorf("%d functions, %d invocations", len(got.Functions), all)
	}
	c.Report(&alcove.Report{Function: "f0", Duration: 20 * time.Millisecond, Status: alcove.StatusFailure})
	f := c.Read().Functions["f0"]
	if f.ByStatus[alcove.StatusFailure] != 1 || f.Durations[3] != 1 || f.Seconds != 0.02 {
		t.Errorf("%+v", f)
	}
}
