package main

import (
	"context"
	"sync/atomic"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/pool"
	"github.com/alcove-run/alcove/pool/policy"
	"github.com/alcove-run/alcove/runtimes"
)

// startEnvironment begins to make an environment of a version.
func (n *node) startEnvironment(v *alcove.Version, _ alcove.Tenant, o pool.StartOptions, h pool.Hooks) (pool.Environment, error) {
	cfg, err := n.factory.Config(context.Background(), v, o.LogStream)
	if err != nil {
		return nil, err
	}
	cfg.Suppressed = o.Suppressed
	if cfg.Provisioned = o.Provisioned; o.Provisioned {
		// One of the two is what the function sees.
		cfg.Spec.Env, cfg.Tell = runtimes.Provisioned(cfg.Spec.Env), runtimes.Provisioned(cfg.Tell)
	}
	cfg.OnInit, cfg.OnFree, cfg.OnEnd = h.OnInit, h.OnFree, h.OnEnd
	var started atomic.Pointer[environment.Environment]
	n.lend(&cfg, v, func() (alcove.Tenant, bool) {
		if e := started.Load(); e != nil {
			return e.Tenant()
		}
		return "", false
	}, func() alcove.Trace {
		if e := started.Load(); e != nil {
			return e.Trace()
		}
		return alcove.Trace{}
	})
	e := environment.Start(cfg)
	started.Store(e)
	return e, nil
}

// startBlank begins to make an environment that does not know its function.
func (n *node) startBlank(like *alcove.Version, h pool.BlankHooks) (pool.Environment, error) {
	cfg, err := n.factory.BlankConfig(context.Background(), like)
	if err != nil {
		return nil, err
	}
	cfg.OnBlank, cfg.OnEnd = h.OnBlank, h.OnEnd
	return environment.Start(cfg), nil
}

// specialise makes a blank environment one of v's.
func (n *node) specialise(blank pool.Environment, v *alcove.Version, h pool.Hooks) error {
	ctx := context.Background()
	cfg, err := n.factory.BlankBecomes(ctx, blank.ID(), v)
	if err != nil {
		return err
	}
	cfg.OnInit, cfg.OnFree, cfg.OnEnd = h.OnInit, h.OnFree, h.OnEnd
	e := blank.(*environment.Environment)
	end := n.lend(&cfg, v, e.Tenant, e.Trace)
	if err := e.Specialise(ctx, cfg); err != nil {
		end()
		return err
	}
	return nil
}

// current says whether an environment of v may still take invocations.
func (n *node) current(v *alcove.Version) bool {
	now, err := n.catalog.Resolve(alcove.Ref{Name: v.Name, Qualifier: v.Number})
	return err == nil && now.FunctionID == v.FunctionID && now.Generation == v.Generation
}

func (n *node) tenantCap(v *alcove.Version) int {
	f, err := n.catalog.Function(v.Name)
	if err != nil {
		return 0
	}
	return policy.Cap(f.Reserved, n.cfg.Concurrency)
}

// expect has the pool keep in stock what is wanted of a version that can run.
func (n *node) expect(name, number string) {
	v, err := n.catalog.Resolve(alcove.Ref{Name: name, Qualifier: number})
	if err == nil && v.State == alcove.StateActive {
		n.pool.Expect(v)
	}
}

// stockBounds are how many environments of v may wait for tenants. A minimum is
// $LATEST's for good, and a published version's while it is used.
func (n *node) stockBounds(v *alcove.Version) (b policy.Bounds) {
	f, err := n.catalog.Function(v.Name)
	if err != nil || f.ID != v.FunctionID {
		return b
	}
	b.Min, b.Max = f.Stock.Bounds(n.cfg.StockMax)
	b.Standing = v.Number == alcove.Latest
	return b
}
