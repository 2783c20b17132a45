package console

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// egressPage is the page of what functions may reach.
type egressPage struct {
	Functions            []string
	Function, Tenant, To string
	Policies             []egressPolicy
	Hidden               bool // the policies, from who looks
	All, From, Last      int
	Next, Back           string
	Effective            *effective
	Refusals             []refusal
	Problem              *problem
	Form                 egressForm
	Editing              bool // the form is open
}

// egressPolicy is a policy of alcove's own API.
type egressPolicy struct {
	Scope        string
	Function     string
	Tenant       string
	LastModified *time.Time
	Set, Default *reach
}

// reach is what a policy says.
type reach struct {
	Mode           string
	Allow, Private []string
	Widen          bool
}

// Says is the mode in words.
func (r *reach) Says() string {
	if r == nil {
		return "nothing set"
	}
	switch r.Mode {
	case "open":
		return "everything public"
	case "none":
		return "nothing"
	}
	return "what is listed"
}

// Counts is the policy in force of those two of the node.
func (p egressPolicy) Counts() *reach {
	if p.Set != nil {
		return p.Set
	}
	return p.Default
}

// effective is what holds for a function and a tenant together.
type effective struct {
	Policies    []egressPolicy
	Deciding    []string
	Private     []string
	Unavailable string
	Check       *struct {
		To, Rule string
		Allowed  bool
	}
}

// refusal is something that environments wanted and did not get.
type refusal struct {
	Tenant, Function, Protocol, Destination, Rule string
	Last                                          time.Time
	Count                                         int64
}

// showEgress shows the policies that are set, what they come to for a function and a
// tenant, and what was refused of late.
func (q *request) showEgress() error { return q.renderEgress(nil, nil) }

// renderEgress renders the page, with a form that was refused, if one was.
func (q *request) renderEgress(refused *egressForm, because error) error {
	v := q.URL.Query()
	p := egressPage{Function: v.Get("function"), Tenant: strings.TrimSpace(v.Get("tenant")), To: strings.TrimSpace(v.Get("to"))}
	var err error
	if p.Function != "" && !functionName.MatchString(p.Function) {
		p.Function = "" // it is a part of a command on the page
		because = cmp.Or(because, error(badInput("That is no function's name.")))
	}
	if p.Functions, _, err = q.functionNames(q.Context()); err != nil {
		return err
	}
	var all struct{ Policies []egressPolicy }
	err = q.api().node(q.Context(), "egress", nil, &all)
	if err != nil && !denied(err) {
		return err
	}
	p.Hidden = err != nil
	if len(all.Policies) > 0 { // the node's stands first
		slices.SortFunc(all.Policies[1:], func(a, b egressPolicy) int {
			return strings.Compare(a.Scope+"\x00"+a.Function+a.Tenant, b.Scope+"\x00"+b.Function+b.Tenant)
		})
	}
	p.Form, p.Editing = egressFormOf(v, all.Policies), v.Has("edit")
	if refused != nil {
		p.Form, p.Editing = *refused, true
	}
	p.All = len(all.Policies)
	p.From, p.Last, p.Next, p.Back = pages(v, p.All)
	p.Policies = all.Policies[p.From:p.Last]
	query := url.Values{}
	for name, value := range map[string]string{"function": p.Function, "tenant": p.Tenant} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var late struct{ Refusals []refusal }
	if err := q.api().node(q.Context(), "egress/refusals", query, &late); err != nil && !denied(err) {
		return q.render(refuse(&p.Problem, err), "egress", "Egress", "egress", p)
	}
	p.Refusals = late.Refusals
	status := refuse(&p.Problem, because)
	if p.Function != "" && !p.Hidden {
		if p.To != "" {
			query.Set("to", p.To)
		}
		p.Effective = &effective{}
		if err := q.api().node(q.Context(), "egress/effective", query, p.Effective); err != nil {
			p.Effective, status = nil, refuse(&p.Problem, err)
		}
	} else if p.To != "" && !p.Hidden {
		status = refuse(&p.Problem, badInput("Choose the function that is to reach "+p.To+"."))
	}
	return q.render(status, "egress", "Egress", "egress", p)
}
