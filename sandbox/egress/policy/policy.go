// Package policy decides what functions may reach. It is pure: a policy, a name
// or an address in, allowed or refused out, with the rule that said so. It opens
// nothing, resolves nothing and knows no clock.
//
// Three policies speak about an environment: the node's, the function's and the
// tenant's (Rules). Above all of them stand the addresses that nobody may reach
// unless the operator has named them (special.go).
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Mode is what a policy does with destinations that no rule of it names.
type Mode string

// The modes.
const (
	Open Mode = "open" // all, but for those that nobody may reach
	None Mode = "none" // nothing: no name is resolved, either
	List Mode = "list" // those in Allow, and no other
)

// A Policy says what may be reached. The zero Policy is no policy.
type Policy struct {
	Mode Mode `json:"mode"`
	// Allow is what may be reached with Mode List.
	Allow []Rule `json:"allow,omitempty"`
	// Private are exceptions from what nobody may reach, by address: only the
	// node's policy has them, because only the operator knows what is there.
	Private []Rule `json:"private,omitempty"`
	// Widen says, in the node's policy, that a tenant's policy counts alone, even
	// where the function's allows less.
	Widen bool `json:"widen,omitempty"`
}

// Bounds of a policy.
const (
	MaxRules = 200
	maxBytes = 64 << 10
)

// Scope is whose a policy is.
type Scope string

// The scopes.
const (
	Node     Scope = "node"
	Function Scope = "function"
	Tenant   Scope = "tenant"
)

// Parse reads a policy as JSON and checks it.
func Parse(b []byte, scope Scope) (*Policy, error) {
	if len(b) > maxBytes {
		return nil, fmt.Errorf("the policy is longer than %d bytes", maxBytes)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	var p *Policy
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("the policy is no JSON object with mode, allow, private and widen: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the policy's JSON object")
	}
	if p == nil {
		return nil, errors.New("the policy is null: give an object, or remove the policy")
	}
	return p, p.Check(scope)
}

// Check says what is wrong with a policy of a scope.
func (p *Policy) Check(scope Scope) error {
	switch p.Mode {
	case Open, None:
		if len(p.Allow) > 0 {
			return fmt.Errorf("allow has rules, which mode %q does not look at: give mode %q", p.Mode, List)
		}
	case List:
		if len(p.Allow) == 0 {
			return fmt.Errorf("mode %q without a rule in allow reaches nothing: give mode %q for that", List, None)
		}
	case "":
		return fmt.Errorf("mode is missing: give %q, %q or %q", Open, None, List)
	default:
		return fmt.Errorf("mode %q is none of %q, %q and %q", p.Mode, Open, None, List)
	}
	if n := len(p.Allow) + len(p.Private); n > MaxRules {
		return fmt.Errorf("the policy has %d rules: %d are the most", n, MaxRules)
	}
	if scope != Node && (len(p.Private) > 0 || p.Widen) {
		return errors.New("private and widen belong to the node's policy alone: what they open is the operator's to know")
	}
	for _, r := range p.Private {
		if r.Name != "" {
			return fmt.Errorf("private rule %q is a name: give addresses, because whoever owns a name says where it leads", r)
		}
	}
	return nil
}

// Clone is p with nothing shared.
func (p *Policy) Clone() *Policy {
	if p == nil {
		return nil
	}
	c := *p
	c.Allow, c.Private = slices.Clone(p.Allow), slices.Clone(p.Private)
	return &c
}

// Rules are the policies that speak about one environment; nil says nothing.
type Rules struct {
	Node, Function, Tenant *Policy
}

// Dial is an attempt to reach an address.
type Dial struct {
	Proto Proto
	Addr  netip.Addr
	Port  uint16
	// Names are those that the environment was told this address for.
	Names []string
	// Own says that the address is one of the node's own.
	Own bool
	// Via are the prefixes by which the node's network translates IPv6 to IPv4.
	Via []netip.Prefix
}

// A Verdict is what came of an attempt.
type Verdict struct {
	OK bool
	// Rule is what refused it, for whoever reads the log: a scope and what it
	// says, as "function: not in the list", or "always: link-local".
	Rule string
}

func refused(scope Scope, why string) Verdict { return Verdict{Rule: string(scope) + ": " + why} }

// Deciding are the scopes whose policies have to agree, in the order in which they
// are asked. The most specific one decides; but a tenant's does not go beyond the
// function's, or the node's where the function has none, unless the node's says
// that it may. None of them is a node without a policy, which is open.
func (r Rules) Deciding() []Scope {
	base, scope := r.base()
	switch {
	case r.Tenant != nil && (base == nil || r.Node != nil && r.Node.Widen):
		return []Scope{Tenant}
	case r.Tenant != nil:
		return []Scope{scope, Tenant}
	case base != nil:
		return []Scope{scope}
	}
	return nil
}

// base is the policy that a tenant's takes away from.
func (r Rules) base() (*Policy, Scope) {
	if r.Function != nil {
		return r.Function, Function
	}
	return r.Node, Node
}

// judges asks those that have to agree.
func (r Rules) judges(each func(scope Scope, p *Policy) Verdict) Verdict {
	base, scope := r.base()
	if base != nil && (r.Tenant == nil || r.Node == nil || !r.Node.Widen) {
		if v := each(scope, base); !v.OK || r.Tenant == nil {
			return v
		}
	}
	if r.Tenant != nil {
		return each(Tenant, r.Tenant)
	}
	return Verdict{OK: true} // nobody says anything: a node without a policy is open
}

// DialName decides about a name as whoever explains policies has it: whether it may
// be asked for, and the address that it leads to, some public one, be reached.
func (r Rules) DialName(proto Proto, name string, port uint16) Verdict {
	if v := r.Resolve(name); !v.OK {
		return v
	}
	d := Dial{Proto: proto, Port: port, Names: []string{CanonicalName(name)}}
	return r.judges(func(scope Scope, p *Policy) Verdict { return p.dial(scope, d) })
}

// Dial decides about an address. It is the only thing that lets a connection be
// made, so it asks for everything, however the address was found.
func (r Rules) Dial(d Dial) Verdict {
	d.Addr = d.Addr.Unmap().WithZone("")
	if !d.Addr.IsValid() || d.Port == 0 {
		return Verdict{Rule: "always: no address"}
	}
	if why := r.special(d); why != "" {
		return Verdict{Rule: "always: " + why}
	}
	return r.judges(func(scope Scope, p *Policy) Verdict { return p.dial(scope, d) })
}

// special is why nobody may reach an address, or empty.
func (r Rules) special(d Dial) string {
	for _, a := range forms(d.Addr, d.Via) {
		why := class(a)
		if why == "" && !d.Own {
			continue
		}
		// A range that the operator opens is one of others' machines.
		exactly := d.Own || why == metadata
		if d.Own && why != loopback {
			why = "the node's own address"
		}
		if !r.private(d, a, exactly) {
			return why
		}
	}
	return ""
}

// private tells whether the operator has named an address that nobody may reach:
// that one alone, if it has to be exactly.
func (r Rules) private(d Dial, a netip.Addr, exactly bool) bool {
	if r.Node == nil {
		return false
	}
	return slices.ContainsFunc(r.Node.Private, func(rule Rule) bool {
		return (!exactly || rule.Prefix.IsSingleIP()) && rule.matches(d.Proto, a, d.Port, nil)
	})
}

func (p *Policy) dial(scope Scope, d Dial) Verdict {
	switch p.Mode {
	case Open:
		return Verdict{OK: true}
	case List:
		for _, rule := range p.Allow {
			if rule.matches(d.Proto, d.Addr, d.Port, d.Names) {
				return Verdict{OK: true}
			}
		}
		return refused(scope, "not in the list")
	}
	return refused(scope, "no network")
}

// Resolve decides whether a name may be asked for.
func (r Rules) Resolve(name string) Verdict {
	name = CanonicalName(name)
	return r.judges(func(scope Scope, p *Policy) Verdict {
		switch p.Mode {
		case Open:
			return Verdict{OK: true}
		case List:
			for _, rule := range p.Allow {
				if rule.Name != "" && rule.matchesName(name) {
					return Verdict{OK: true}
				}
			}
			return refused(scope, "not in the list")
		}
		return refused(scope, "no network")
	})
}

// Untold is why an address is not told to whoever asks for a name: nobody reaches
// it, at any port. It is empty if somebody might. via is as in Dial.
func (r Rules) Untold(a netip.Addr, via []netip.Prefix) string {
	for _, form := range forms(a.Unmap(), via) {
		why := class(form)
		if why == "" {
			continue
		}
		if r.Node == nil || !slices.ContainsFunc(r.Node.Private, func(rule Rule) bool {
			return rule.Prefix.Contains(form) && (why != metadata || rule.Prefix.IsSingleIP())
		}) {
			return why
		}
	}
	return ""
}

// Silent tells whether nothing at all can be reached.
func (r Rules) Silent() bool {
	return !r.judges(func(_ Scope, p *Policy) Verdict { return Verdict{OK: p.Mode != None} }).OK
}
