package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alcove-run/alcove/internal/aside"
	"github.com/alcove-run/alcove/sandbox"
)

// sweep has what a killed predecessor left removed, beside everything else: requests
// are answered already. The end of the node waits for the sandboxes, in the driver,
// but not for files, which the next start finds.
func (n *node) sweep() {
	if d, ok := n.driver.(sandbox.Sweeper); ok {
		d.Sweep()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		began, files := time.Now(), 0
		for _, remove := range []func(context.Context) (int, error){
			func(ctx context.Context) (int, error) { return aside.Remove(ctx, n.cfg.Data) }, n.artifacts.Clean,
		} {
			removed, err := remove(ctx)
			files += removed
			if err != nil && !errors.Is(err, context.Canceled) {
				n.log.Warn("files of an earlier process are left until the next start", "error", err)
			}
		}
		if files > 0 {
			n.log.Info("removed files of an earlier process", "files", files, "took", time.Since(began), "all", ctx.Err() == nil)
		}
	}()
	n.opened(func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}

// sweptLook is how often it is looked whether the rest of a killed predecessor's
// sandboxes can be waited for.
const sweptLook = 100 * time.Millisecond

// swept waits until nothing is left of a killed predecessor's sandboxes. It is an error
// if all that is left could not be removed, however often that was tried.
func (n *node) swept(ctx context.Context) error {
	d, ok := n.driver.(sandbox.Sweeper)
	if !ok {
		return nil
	}
	look := time.NewTicker(sweptLook)
	defer look.Stop()
	for {
		select {
		case <-d.Swept():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
		if l := d.Leftovers(); l.Left > 0 && l.Stuck == l.Left {
			return fmt.Errorf("%d sandboxes of an earlier process, which was killed, cannot be removed, and may hold the tenant's memory and /tmp: %s", l.Left, l.Why)
		}
	}
}

// leftMemory is what sandboxes of a killed predecessor still hold, in bytes.
func (n *node) leftMemory() func() int64 {
	d, ok := n.driver.(sandbox.Sweeper)
	if !ok {
		return nil
	}
	return func() int64 { return d.Leftovers().Memory }
}

// findings are the driver's, and what of a killed predecessor is still being removed.
func (n *node) findings() []sandbox.Finding {
	all := n.driver.Findings()
	d, ok := n.driver.(sandbox.Sweeper)
	if !ok {
		return all
	}
	if l := d.Leftovers(); l.Left > 0 {
		f := sandbox.Finding{Name: sandbox.LeftoversFinding, State: sandbox.Degraded,
			Detail: fmt.Sprintf("%d of %d sandboxes of an earlier process, which was killed, are still to be removed; nothing in them runs, and they hold %s", l.Left, l.Found, megabytes(l.Memory)),
			Fix:    "wait: they are being removed"}
		if l.Stuck > 0 {
			f.Detail += fmt.Sprintf("; %d could not be removed so far: %s", l.Stuck, l.Why)
			f.Fix = "mend what the error names: they are tried again every minute; purges of tenants are not complete until then"
		}
		all = append(all, f)
	}
	return all
}
