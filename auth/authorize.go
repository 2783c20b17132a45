package auth

import (
	"fmt"
	"net/http"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth/policy"
)

// Operation is what a caller wants to do.
type Operation struct {
	Action string // such as lambda:InvokeFunction
	// Function is what it is about, or Resource is: an ARN, or "*" for what has
	// none. One of them is set.
	Function alcove.Ref
	Resource string
	Tags     map[string]string // those of Resource; a function's are known
	Tenant   alcove.Tenant     // the tenant that the request names, if it does

	// PerTenant marks what answers with records that belong to tenants: the
	// caller may if it may for some tenant, and sees what its [Scope] sees.
	// Whole marks what would tell of all tenants at once, or do for all: a key
	// that is bound to tenants may not, whatever its policy says of it.
	PerTenant, Whole bool
	// OfTenant marks what changes something that belongs to Tenant, or to none if
	// that is empty: a key that is bound to tenants may for those alone, also by a
	// statement that forgot to say so.
	OfTenant bool
	// Invocation marks a run of a function: the function's own policy is looked at
	// as well. Reported marks one that has a report if it is allowed and runs, which
	// then is its record: the path of invocations waits for no other.
	Invocation, Reported bool
	// Free is for every caller.
	Free bool
	// Policy is the policy of a resource that is no function, which is looked at as
	// well; empty is none.
	Policy string
	// Implied is a part of another call, whose record is that call's unless it is
	// denied.
	Implied bool
	// Again asks once more of a call that was recorded and goes on: it has no record of
	// its own unless it is denied now.
	Again bool
	// Asked is what policies may ask about what the request would have.
	Asked policy.Asked

	Request   *http.Request
	RequestID string
}

// Record is what is kept of a call.
type Record struct {
	Time        time.Time     `json:"time"`
	RequestID   string        `json:"requestId,omitempty"`
	Caller      string        `json:"caller"` // an ARN
	AccessKeyID string        `json:"accessKeyId,omitempty"`
	Source      string        `json:"source,omitempty"` // an IP address
	Action      string        `json:"action"`
	Resource    string        `json:"resource"`
	Tenant      alcove.Tenant `json:"tenant,omitempty"`
	Allowed     bool          `json:"allowed"`
	// Reason is why it was not allowed, or what became of an invocation: an error's
	// code, or one of the reasons below.
	Reason string `json:"reason,omitempty"`
}

// Reasons of invocations that were allowed and are recorded before they have an
// effect: an event that is about to be kept, and a call that is answered with what an
// earlier one with its idempotency key was answered.
const (
	ReasonEvent  = "Event"
	ReasonReplay = "IdempotentReplay"
)

// Scope is what a caller sees of what belongs to tenants. Nil sees everything.
type Scope struct {
	document *policy.Document
	request  policy.Request
	only     *alcove.Tenant // whose alone, if not nil
}

// All says that there is nothing to leave out.
func (s *Scope) All() bool { return s == nil }

// Only gives the tenant whose alone the caller sees, if it is one by what the caller
// is: the code of a tenant's environment. It sees of it what Sees says.
func (s *Scope) Only() (t alcove.Tenant, ok bool) {
	if s == nil || s.only == nil {
		return "", false
	}
	return *s.only, true
}

// Sees says whether the caller may see what belongs to a tenant; the empty
// tenant's is what belongs to none.
func (s *Scope) Sees(t alcove.Tenant) bool {
	if s == nil {
		return true
	}
	if s.only != nil && t != *s.only {
		return false
	}
	r := s.request
	r.AnyTenant, r.Tenant = false, string(t)
	return s.document.Covers(string(t)) && s.document.Decide(&r) == policy.Allowed
}

// Authorize says whether a caller may do something, after it has recorded the
// call. Its errors are *[alcove.Error]: AccessDeniedException in AWS's words, or
// that the call could not be recorded. What a caller sees of tenants is in the
// scope.
//
// The root key may do everything and costs no evaluation.
func (a *Auth) Authorize(caller alcove.Caller, o Operation) (*Scope, error) {
	if caller.AccessKeyID == a.root.ID || a.config.Mode == ModeNone && caller.AccessKeyID == "" {
		if o.Reported || o.Implied || o.Again {
			return nil, nil
		}
		if err := a.record(caller, &o, nil); err != nil {
			// Whoever mends a node whose disk is full is not locked out of it.
			a.config.Log.Error("call is not in the audit log", "action", o.Action, "requestId", o.RequestID, "error", err)
		}
		return nil, nil
	}
	p := a.find(caller.AccessKeyID)
	if p == nil {
		return nil, unrecognized() // deleted since it signed
	}
	r := a.request(p, caller, &o)
	scope, denied := a.decide(p, &r, &o)
	if denied == nil && (o.Reported || o.Implied) {
		return nil, nil
	}
	if denied == nil && o.Again {
		return scope, nil
	}
	if err := a.record(caller, &o, denied); err != nil && denied == nil {
		return nil, alcove.PlatformError(fmt.Errorf("auth: the call cannot be recorded: %w", err))
	}
	if denied != nil {
		return nil, denied
	}
	return scope, nil
}

// request is o as policies look at it.
func (a *Auth) request(p *principal, caller alcove.Caller, o *Operation) policy.Request {
	r := policy.Request{
		Action: o.Action, Resource: a.resourceOf(o), Tenant: string(o.Tenant), AnyTenant: o.PerTenant,
		Principal: policy.Principal{ARN: caller.ARN, Account: caller.Account, UserID: caller.UserID, Name: p.key.Name},
		Time:      a.config.Now(), Source: caller.Source, Region: a.config.Place.Region, Asked: o.Asked, Tags: o.Tags,
	}
	r.Secure = o.Request != nil && o.Request.TLS != nil
	if o.Function.Name != "" {
		r.FunctionARN = a.config.Place.FunctionARN(o.Function.Name)
		if a.config.Tags != nil {
			r.Tags = a.config.Tags(o.Function.Name)
		}
	}
	return r
}

// resourceOf is the ARN of what o is about.
func (a *Auth) resourceOf(o *Operation) string {
	switch {
	case o.Resource != "":
		return o.Resource
	case o.Function.Qualifier != "":
		return a.config.Place.FunctionARN(o.Function.Name) + ":" + o.Function.Qualifier
	}
	return a.config.Place.FunctionARN(o.Function.Name)
}

// decide gives what a request that is allowed sees of tenants, or the reason why it
// is not.
func (a *Auth) decide(p *principal, r *policy.Request, o *Operation) (*Scope, error) {
	if o.Free {
		return nil, nil
	}
	if p.session != nil {
		return a.decideSession(p, r, o)
	}
	var scope *Scope
	if p.policy.Scoped() {
		scope = &Scope{document: p.policy, request: *r}
	}
	identity := p.policy.Decide(r)
	if identity == policy.Denied {
		return nil, notAuthorized(r, "with an explicit deny in an identity-based policy"+forTenant(p.policy, o))
	}
	if o.Whole && p.policy.Scoped() {
		return nil, notAuthorized(r, "because the key is bound to tenants by lambda:TenantId, and this concerns all of them")
	}
	if o.Invocation || o.Policy != "" {
		switch a.policyOf(o).Decide(r) {
		case policy.Denied:
			return nil, notAuthorized(r, "with an explicit deny in a resource-based policy")
		case policy.Allowed:
			// A key that is bound to tenants stays bound.
			if p.policy.Covers(string(o.Tenant)) {
				return scope, nil
			}
		}
	}
	if identity != policy.Allowed {
		return nil, notAuthorized(r, "because no identity-based policy allows the "+r.Action+" action"+forTenant(p.policy, o))
	}
	if o.OfTenant && !p.policy.Covers(string(o.Tenant)) {
		return nil, notAuthorized(r, "because the key is bound to tenants by lambda:TenantId, and this is not theirs"+forTenant(p.policy, o))
	}
	return scope, nil
}

// forTenant says for which tenant something is not allowed, to a key that is bound to
// others: the ARN and the action would allow it. AWS has no such text.
func forTenant(d *policy.Document, o *Operation) string {
	switch {
	case !d.Scoped() || !o.Invocation && !o.OfTenant:
		return ""
	case o.Tenant == "":
		return " without a tenant id (lambda:TenantId)"
	}
	return fmt.Sprintf(" for the tenant id %q (lambda:TenantId)", string(o.Tenant))
}

func notAuthorized(r *policy.Request, why string) *alcove.Error {
	return alcove.ClientError(CodeAccessDenied, "User: %s is not authorized to perform: %s on resource: %s %s", r.Principal.ARN, r.Action, r.Resource, why)
}

// resourcePolicy is the policy of a function or a qualifier, compiled when its
// text changes.
type resourcePolicy struct {
	text     string
	document *policy.Document
}

// denyAll stands for a policy that cannot be read.
const denyAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`

// policyOf is the policy of what o is about.
func (a *Auth) policyOf(o *Operation) *policy.Document {
	if o.Invocation {
		return a.resourcePolicy(o.Function)
	}
	d, err := policy.ParseResource(o.Policy)
	if err != nil {
		a.config.Log.Error("policy of a resource cannot be read: it allows nothing", "resource", o.Resource, "error", err)
		return nil
	}
	return d
}

func (a *Auth) resourcePolicy(ref alcove.Ref) *policy.Document {
	if a.config.ResourcePolicy == nil {
		return nil
	}
	text := a.config.ResourcePolicy(ref)
	if text == "" {
		return nil
	}
	if known, ok := a.resource.Load(ref); ok && known.(*resourcePolicy).text == text {
		return known.(*resourcePolicy).document
	}
	d, err := policy.ParseResource(text)
	if err != nil {
		a.config.Log.Error("policy of a function cannot be read: nobody but the root key may invoke it", "function", ref.Name, "qualifier", ref.Qualifier, "error", err)
		if d, err = policy.ParseResource(denyAll); err != nil { // a constant
			panic(err)
		}
	}
	a.resource.Store(ref, &resourcePolicy{text, d})
	return d
}

// Failed records an invocation that was allowed and was not run: it has no
// report.
func (a *Auth) Failed(caller alcove.Caller, o Operation, why error) {
	r := a.recordOf(caller, &o)
	r.Allowed, r.Reason = true, alcove.AsError(why).Code
	if a.config.Record == nil {
		return
	}
	if err := a.config.Record(r); err != nil {
		a.config.Log.Error("call is not in the audit log", "action", o.Action, "requestId", o.RequestID, "error", err)
	}
}

// Note records an invocation that was allowed and that no report will stand for, and
// what becomes of it. What cannot be recorded is not to be done.
func (a *Auth) Note(caller alcove.Caller, o Operation, reason string) error {
	if a.config.Record == nil {
		return nil
	}
	r := a.recordOf(caller, &o)
	r.Reason = reason
	err := a.config.Record(r)
	if err != nil && caller.AccessKeyID == a.root.ID {
		a.config.Log.Error("call is not in the audit log", "action", o.Action, "requestId", o.RequestID, "error", err)
		return nil
	}
	if err != nil {
		return alcove.PlatformError(fmt.Errorf("auth: the call cannot be recorded: %w", err))
	}
	return nil
}

func (a *Auth) recordOf(caller alcove.Caller, o *Operation) Record {
	r := Record{Time: a.config.Now().UTC(), RequestID: o.RequestID, Caller: caller.ARN, AccessKeyID: caller.AccessKeyID,
		Action: o.Action, Resource: a.resourceOf(o), Tenant: o.Tenant, Allowed: true}
	if caller.Source.IsValid() {
		r.Source = caller.Source.String()
	}
	return r
}

// record keeps the record of a call, which was denied or not.
func (a *Auth) record(caller alcove.Caller, o *Operation, denied error) error {
	if a.config.Record == nil {
		return nil
	}
	r := a.recordOf(caller, o)
	if denied != nil {
		r.Allowed, r.Reason = false, alcove.AsError(denied).Message
	}
	return a.config.Record(r)
}
