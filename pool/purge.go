package pool

import (
	"context"
	"slices"
	"time"

	"github.com/alcove-run/alcove"
)

// purgeLook is how often a purge looks whether an environment that is being made
// can be ended.
const purgeLook = 10 * time.Millisecond

// PurgeTenant ends every environment of a tenant at once, invocations under way
// included, refuses the calls that wait for one, and forgets when the tenant comes.
// It returns when nothing of them is left. Calls that come meanwhile, or afterwards,
// are the caller's to keep away.
func (p *Pool) PurgeTenant(ctx context.Context, tenant alcove.Tenant) error {
	for {
		envs, left := p.refuseTenant(tenant)
		if !left {
			return nil
		}
		for _, env := range envs {
			go env.Kill()
		}
		for _, env := range envs {
			select {
			case <-env.Ended():
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		look := time.NewTimer(purgeLook)
		select {
		case <-look.C:
		case <-ctx.Done():
			look.Stop()
			return context.Cause(ctx)
		}
	}
}

// refuseTenant answers the calls of a tenant that wait, and gives its environments,
// and whether there is anything left of it: environments that are being made are not
// among those.
func (p *Pool) refuseTenant(tenant alcove.Tenant) (envs []Environment, left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.holders[holderOf(tenant)]
	if h == nil {
		p.habits.forget(tenant)
		return nil, false
	}
	for g := range h.groups {
		for _, w := range slices.Clone(g.waiters) {
			p.settle(w)
			w.reply <- leased{err: alcove.BeingPurged()}
		}
	}
	for env, e := range p.entries {
		if e.group != nil && e.group.holder == h {
			envs = append(envs, env)
		}
	}
	return envs, true
}

// forget drops what is known of a tenant.
func (hs *habits) forget(tenant alcove.Tenant) {
	for key, h := range hs.by {
		if key.tenant == tenant {
			h.unlink()
			delete(hs.by, key)
		}
	}
}
