package invoke

import (
	"fmt"
	"testing"

	"github.com/alcove-run/alcove"
)

// TestProvisionedConcurrencyIsUsedFirst: as many invocations of a version as it has
// provisioned use that, by whatever name it is called; the others spill over.
func TestProvisionedConcurrencyIsUsedFirst(t *testing.T) {
	i, d, _, _ := newInvoker(answer)
	n := 2
	i.cfg.Provisioned = func(v *alcove.Version) int {
		if v.Number != "7" {
			return 0
		}
		return n
	}
	if use, _ := i.enterProvisioned(d.version, alcove.Ref{Name: "f"}); use != "" {
		t.Errorf("$LATEST: %q", use)
	}
	d.version.Number = "7"
	var uses []string
	var leave []func()
	for _, qualifier := range []string{"7", "live", "live"} {
		use, l := i.enterProvisioned(d.version, alcove.Ref{Name: "f", Qualifier: qualifier})
		uses, leave = append(uses, use), append(leave, l)
	}
	if fmt.Sprint(uses) != "[used used spillover]" {
		t.Errorf("%v", uses)
	}
	peaks := func() map[string]string {
		m := map[string]string{}
		for _, p := range i.ProvisionedPeaks() {
			m[p.Function+":"+p.Qualifier] = fmt.Sprint(p.Peak, " of ", p.Allocated)
		}
		return m
	}
	if got := fmt.Sprint(peaks()); got != "map[f:7:1 of 2 f:live:1 of 2]" {
		t.Errorf("peaks %s", got)
	}
	for _, l := range leave {
		l()
	}
	if got := fmt.Sprint(peaks()); got != "map[f:7:1 of 2 f:live:1 of 2]" { // until now
		t.Errorf("peaks %s", got)
	}
	if got := peaks(); len(got) != 0 || len(i.gauge.provisioned.versions) != 0 {
		t.Errorf("peaks %v", got)
	}
	if _, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f", Qualifier: "7"}, Tenant: "blue"}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(peaks()); got != "map[f:7:1 of 2]" {
		t.Errorf("peaks %s", got)
	}
}
