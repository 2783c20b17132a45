package environment

import (
	"os"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/telemetry"
)

// Network is the outside, at the other end of sandboxes' links.
type Network interface {
	// Attach takes over a link; Detach lets go of it, and answers with what it has
	// carried in all.
	Attach(id string, link func() *os.File, owner egress.Owner) error
	Detach(id string) egress.Usage
	// Recheck has one environment's rules looked at again.
	RecheckOne(id string)
	Usage(id string) egress.Usage
}

// attach gives the sandbox the outside, if it has a link.
func (e *Environment) attach() error {
	l, ok := e.box.(sandbox.Linked)
	if !ok || e.cfg.Network == nil {
		return nil
	}
	err := e.cfg.Network.Attach(e.cfg.ID, l.Link, network{e})
	e.attached = err == nil
	return err
}

// detach takes it away again.
func (e *Environment) detach() {
	if e.attached {
		e.cfg.Network.Detach(e.cfg.ID)
		e.attached = false
	}
}

// traffic is what of an environment's network traffic is in reports.
type traffic struct{ seen egress.Usage }

// since gives what passed since it was asked last.
func (t *traffic) since(e *Environment) (received, sent, connections int64) {
	if !e.attached {
		return 0, 0, 0
	}
	now := e.cfg.Network.Usage(e.cfg.ID)
	received, sent, connections = int64(now.In-t.seen.In), int64(now.Out-t.seen.Out), int64(now.Connections-t.seen.Connections)
	t.seen = now
	return received, sent, connections
}

// network is an environment as the owner of its link. Its methods are called by
// other goroutines.
type network struct{ e *Environment }

var _ egress.Owner = network{}

// Rules implements egress.Owner. Before it is a function's, nothing in an
// environment has anything to say to anybody.
func (n network) Rules() policy.Rules {
	v := n.e.Version()
	if v == nil || n.e.cfg.Rules == nil {
		return policy.Rules{Node: &policy.Policy{Mode: policy.None}}
	}
	t, _ := n.e.Tenant()
	return n.e.cfg.Rules(v, t)
}

// Label implements egress.Owner: a tenant's environments are one, and so are those
// of a function without tenants. One that waits for a tenant is by itself.
func (n network) Label() string {
	v := n.e.Version()
	t, bound := n.e.Tenant()
	switch {
	case bound && t != "":
		return "tenant " + string(t)
	case v == nil || v.Isolated():
		return "environment " + n.e.cfg.ID
	}
	return "function " + v.FunctionID
}

// Refused implements egress.Owner: it is a record in the log of whose it was.
func (n network) Refused(r egress.Refusal) {
	v := n.e.Version()
	if v == nil {
		n.e.cfg.Log.Warn("blank environment wanted a network", "environment", n.e.cfg.ID, "to", r.Destination())
		return
	}
	var t alcove.Tenant
	if bound, ok := n.e.Tenant(); ok {
		t = bound
	}
	now := time.Now()
	if n.e.cfg.Refusals != nil {
		n.e.cfg.Refusals.add(v, t, r, now)
	}
	n.e.output.platform(now, &telemetry.EgressRefused{Time: now, Tenant: t, Protocol: r.Proto, Destination: r.Destination(), Rule: r.Rule, More: r.More})
}
