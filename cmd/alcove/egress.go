package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/nodeapi"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// egressCmd shows and sets what functions may reach.
type egressCmd struct {
	clientFlags
	Node     bool     `help:"Of the node: what counts where a function has no policy." env:"-"`
	Function string   `help:"Of a function." placeholder:"NAME" env:"-"`
	Tenant   *string  `help:"Of a tenant: it takes away from what the function may, and adds nothing unless the node's policy says so." placeholder:"ID" env:"-"`
	Mode     string   `help:"Set it: open (all but private and special addresses), none, or list (what --allow says)." placeholder:"open|none|list" enum:"open,none,list," default:"" env:"-"`
	Allow    []string `help:"Set a list of what may be reached: [tcp://|udp://]NAME, *.NAME, ADDRESS or CIDR, and :PORT or :PORT-PORT if not all ports. May be repeated." placeholder:"RULE" env:"-"`
	Private  []string `help:"With --node: private and special addresses that may be reached all the same. May be repeated." placeholder:"RULE" env:"-"`
	Widen    bool     `help:"With --node: a tenant's policy counts alone, even where its function's allows less." env:"-"`
	Unset    bool     `help:"Take it away." env:"-"`
}

// Run implements the command.
func (c *egressCmd) Run(ctx context.Context) error {
	scope, path, err := c.scope()
	if err != nil {
		return err
	}
	p, err := c.policy(scope)
	if err != nil {
		return err
	}
	var list []nodeapi.Egress
	switch {
	case scope == "" && (p != nil || c.Unset):
		return errors.New("say whose: --node, --function NAME or --tenant ID")
	case scope == "":
		var answer struct {
			Policies []nodeapi.Egress `json:"policies"`
		}
		err = c.call(ctx, http.MethodGet, nodeapi.Prefix+"egress", nil, &answer)
		list = answer.Policies
	default:
		method := http.MethodGet
		var body []byte
		switch {
		case p != nil && c.Unset:
			return errors.New("--unset takes a policy away: give it without what would be set")
		case c.Unset:
			method = http.MethodDelete
		case p != nil:
			method = http.MethodPut
			if body, err = json.Marshal(p); err != nil {
				return err
			}
		}
		list = make([]nodeapi.Egress, 1)
		err = c.call(ctx, method, path, body, &list[0])
	}
	if err != nil {
		return err
	}
	return printEgress(list)
}

// scope is whose policy is meant, and where it is.
func (c *egressCmd) scope() (scope policy.Scope, path string, err error) {
	n := 0
	if c.Node {
		n, scope, path = n+1, policy.Node, "node"
	}
	if c.Function != "" {
		n, scope, path = n+1, policy.Function, "functions/"+url.PathEscape(c.Function)
	}
	if c.Tenant != nil {
		n, scope, path = n+1, policy.Tenant, "tenants/"+url.PathEscape(*c.Tenant)
	}
	if n > 1 {
		return "", "", errors.New("--node, --function and --tenant are three policies: give one of them")
	}
	return scope, nodeapi.Prefix + "egress/" + path, nil
}

// policy is what is to be set, or nil.
func (c *egressCmd) policy(scope policy.Scope) (*policy.Policy, error) {
	if c.Mode == "" && len(c.Allow) == 0 && len(c.Private) == 0 && !c.Widen {
		return nil, nil
	}
	p := &policy.Policy{Mode: policy.Mode(c.Mode), Widen: c.Widen}
	if p.Mode == "" {
		p.Mode = policy.Open
		if len(c.Allow) > 0 {
			p.Mode = policy.List
		}
	}
	var err error
	if p.Allow, err = parseRules(c.Allow); err != nil {
		return nil, fmt.Errorf("--allow: %w", err)
	}
	if p.Private, err = parseRules(c.Private); err != nil {
		return nil, fmt.Errorf("--private: %w", err)
	}
	if scope == "" {
		return p, nil
	}
	return p, p.Check(scope)
}

func parseRules(texts []string) (rules []policy.Rule, err error) {
	for _, text := range texts {
		r, err := policy.ParseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func printEgress(list []nodeapi.Egress) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SCOPE\tOF\tMODE\tALLOW\tPRIVATE")
	for _, e := range list {
		of, p, note := printable(e.Function+e.Tenant), e.Set, ""
		if p == nil && e.Default != nil {
			p, note = e.Default, " (default)"
		}
		if p == nil {
			fmt.Fprintf(w, "%s\t%s\tnot set\t\t\n", e.Scope, of)
			continue
		}
		if p.Widen {
			note += ", tenants may widen"
		}
		fmt.Fprintf(w, "%s\t%s\t%s%s\t%s\t%s\n", e.Scope, of, p.Mode, note, joinRules(p.Allow), joinRules(p.Private))
	}
	return w.Flush()
}

func joinRules(rules []policy.Rule) string {
	var texts []string
	for _, r := range rules {
		texts = append(texts, r.String())
	}
	return strings.Join(texts, " ")
}

// Limits of what environments take of the network, besides rates.
const (
	connectionsOfEnvironment = 1024
	connectionsOfTenant      = 4 * connectionsOfEnvironment
	// ratesOfTenant is how many times what one environment may carry all of a
	// tenant's may together.
	ratesOfTenant = 4
)

// nodePolicy is the node's policy where none is set: what --egress says.
func (c *serveCmd) nodePolicy() (*policy.Policy, error) {
	p := &policy.Policy{Mode: policy.Mode(c.Egress)}
	var err error
	if p.Private, err = parseRules(c.EgressPrivate); err == nil {
		err = p.Check(policy.Node)
	}
	if err != nil {
		return nil, fmt.Errorf("--egress-private: %w", err)
	}
	return p, nil
}

// openEgress opens the outside, before there are environments.
func (n *node) openEgress(context.Context) (err error) {
	for _, f := range n.driver.Findings() {
		if f.Name == sandbox.LinkFinding && f.State == sandbox.Missing {
			return nil // the finding has been told
		}
	}
	if n.nodeEgress, err = n.cfg.nodePolicy(); err != nil {
		return err
	}
	rate := uint64(n.cfg.EgressRate)
	n.openInside()
	n.egress, err = egress.Open(egress.Config{Log: n.log, Inside: n.inside.Dial, Limits: egress.Limits{
		Rate: rate, LabelRate: ratesOfTenant * rate,
		Connections: connectionsOfEnvironment, LabelConnections: min(connectionsOfTenant, n.files.egress/2), AllConnections: n.files.egress,
	}})
	if err != nil {
		return err
	}
	n.opened(closes(n.egress))
	n.factory.Network = n.egress
	n.factory.Rules = func(v *alcove.Version, t alcove.Tenant) policy.Rules {
		return n.catalog.EgressRules(n.nodeEgress, v.FunctionID, t)
	}
	n.watchEgress()
	return nil
}

// watchEgress has changes of policies hold for connections that there are.
func (n *node) watchEgress() {
	changed := make(chan struct{}, 1)
	n.catalog.OnEgress(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-changed:
				n.egress.Recheck()
			case <-done:
				return
			}
		}
	}()
	n.opened(func(context.Context) error { close(done); <-stopped; return nil })
}

// functionName is a function's name by its id, or the id if it has gone.
func (n *node) functionName(id string) string {
	for _, v := range n.catalog.All() {
		if v.FunctionID == id {
			return v.Name
		}
	}
	return id
}
