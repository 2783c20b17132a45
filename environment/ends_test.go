package environment

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/alcove-run/alcove/sandbox"
)

// placing is a driver whose sandboxes note how many places are taken when they are
// destroyed.
type placing struct {
	sandbox.Driver
	ends  Ends
	taken atomic.Int64
}

func (d *placing) Create(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	box, err := d.Driver.Create(ctx, spec)
	return placed{box, d}, err
}

type placed struct {
	sandbox.Sandbox
	driver *placing
}

func (b placed) Destroy() error {
	b.driver.taken.Store(int64(len(b.driver.ends)))
	return b.Sandbox.Destroy()
}

func TestASandboxIsDestroyedInAPlace(t *testing.T) {
	d := &placing{ends: make(Ends, 1)}
	b := start(t, echo, func(c *Config) {
		d.Driver = c.Driver
		c.Driver, c.Ends = d, d.ends
	})
	b.mustInvoke(t, "blue", "1")
	d.ends <- struct{}{} // another's
	b.env.Close()
	if alive, _ := b.driver.counts(); alive != 1 {
		t.Errorf("%d sandboxes while the place is taken", alive)
	}
	<-d.ends
	<-b.env.Ended()
	if taken := d.taken.Load(); taken != 1 || len(d.ends) != 0 {
		t.Errorf("%d places were taken, %d are still", taken, len(d.ends))
	}
}
