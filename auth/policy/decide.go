package policy

// Decision is what a policy says to a request.
type Decision int

// The decisions.
const (
	NotAllowed Decision = iota // no statement allows it
	Allowed
	Denied // a statement denies it
)

// String names the decision.
func (d Decision) String() string { return [...]string{"not allowed", "allowed", "denied"}[d] }

// Decide compares a request with every statement. No document allows nothing.
func (d *Document) Decide(r *Request) Decision {
	if d == nil {
		return NotAllowed
	}
	decision := NotAllowed
	for i := range d.statements {
		s := &d.statements[i]
		if s.allow && decision == Allowed || !s.match(r) {
			continue
		}
		if !s.allow {
			return Denied
		}
		decision = Allowed
	}
	return decision
}

func (s *statement) match(r *Request) bool {
	if s.principals != nil && !s.principals.match(&r.Principal, s.allow) {
		return false
	}
	if s.matchAction(r) == s.notAction || s.matchResource(r) == s.notResource {
		return false
	}
	if s.unevaluated {
		return !s.allow
	}
	if s.allow {
		for _, k := range s.needed {
			if _, ok := r.value(k); !ok {
				return false
			}
		}
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if c.key.id == tenantID && r.AnyTenant {
			if !s.allow {
				return false
			}
			continue
		}
		if !c.holds(r) {
			return false
		}
	}
	return true
}

func (s *statement) matchAction(r *Request) bool {
	for i := range s.actions {
		if s.actions[i].match(r.Action, r, true) {
			return true
		}
	}
	return false
}

func (s *statement) matchResource(r *Request) bool {
	for i := range s.resources {
		if s.resources[i].match(r.Resource, r) {
			return true
		}
	}
	return false
}

// Scoped says whether the document binds its key to tenants: a condition of it
// asks for lambda:TenantId.
func (d *Document) Scoped() bool { return d != nil && d.scoped }

// Covers says whether a tenant, or none, is one that the key is bound to: some
// statement that allows something to certain tenants does so to this one, and
// none denies anything for its sake. Only conditions on the tenant are looked at,
// whatever the statements are about, so that a key that may invoke for one tenant
// sees nothing of another's by a statement that forgot to say so.
func (d *Document) Covers(tenant string) bool {
	if !d.Scoped() {
		return true
	}
	r := Request{Tenant: tenant}
	bound, allowed := false, false
	for i := range d.statements {
		s := &d.statements[i]
		if !s.tenantScoped {
			continue
		}
		holds := true
		for j := range s.conditions {
			if c := &s.conditions[j]; c.key.id == tenantID && !c.holds(&r) {
				holds = false
			}
		}
		switch {
		case !s.allow && holds:
			return false
		case s.allow:
			bound = true
			allowed = allowed || holds
		}
	}
	return allowed || !bound
}
