package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/nodeapi"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/sandbox/egress/relay"
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
	To       string   `help:"With --function, and --tenant if there is one: whether a destination may be reached, [tcp://|udp://]NAME:PORT or ADDRESS:PORT, and what refuses it." placeholder:"DEST" env:"-"`
	Refused  bool     `help:"Show what was refused of late, of all or of a --function or a --tenant." env:"-"`
}

// Run implements the command.
func (c *egressCmd) Run(ctx context.Context) error {
	show, err := c.look(ctx)
	if show || err != nil {
		return err
	}
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
		n, scope, path = n+1, policy.Function, "functions/"+nodeapi.Segment(c.Function)
	}
	if c.Tenant != nil {
		n, scope, path = n+1, policy.Tenant, "tenants/"+nodeapi.Segment(*c.Tenant)
	}
	if n > 1 {
		return "", "", errors.New("--node, --function and --tenant are three policies: give one of them")
	}
	return scope, nodeapi.Prefix + "egress/" + path, nil
}

// sets tells whether there is anything to be set.
func (c *egressCmd) sets() bool {
	return c.Mode != "" || len(c.Allow) > 0 || len(c.Private) > 0 || c.Widen
}

// look shows what holds for a function and a tenant together, or what was refused,
// if one of them is asked for.
func (c *egressCmd) look(ctx context.Context) (is bool, err error) {
	effective := c.To != "" || c.Function != "" && c.Tenant != nil
	if !effective && !c.Refused {
		return false, nil
	}
	switch {
	case c.sets() || c.Unset:
		return true, errors.New("a policy is that of the node, of a function or of a tenant: give one of them to set it, without --to and --refused")
	case c.To != "" && c.Refused, c.Node:
		return true, errors.New("give --function and --tenant with --to, or with --refused, and not --node")
	case c.To != "" && c.Function == "":
		return true, errors.New("--to asks for a function's network: give --function")
	}
	q := url.Values{}
	if c.Function != "" {
		q.Set("function", c.Function)
	}
	if c.Tenant != nil {
		q.Set("tenant", *c.Tenant)
	}
	if c.Refused {
		var answer struct {
			Refusals []nodeapi.EgressRefusal `json:"refusals"`
		}
		if err := c.call(ctx, http.MethodGet, nodeapi.Prefix+"egress/refusals?"+q.Encode(), nil, &answer); err != nil {
			return true, err
		}
		return true, printRefusals(answer.Refusals)
	}
	if c.To != "" {
		q.Set("to", c.To)
	}
	var answer nodeapi.Effective
	if err := c.call(ctx, http.MethodGet, nodeapi.Prefix+"egress/effective?"+q.Encode(), nil, &answer); err != nil {
		return true, err
	}
	return true, printEffective(&answer)
}

// policy is what is to be set, or nil.
func (c *egressCmd) policy(scope policy.Scope) (*policy.Policy, error) {
	if !c.sets() {
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

func printEffective(e *nodeapi.Effective) error {
	if err := printEgress(e.Policies); err != nil {
		return err
	}
	names := make([]string, len(e.Deciding))
	for i, s := range e.Deciding {
		names[i] = string(s)
	}
	fmt.Printf("decides: %s\n", cmp.Or(strings.Join(names, ", then "), "none, so that everything but private and special addresses is open"))
	if e.Unavailable != "" {
		fmt.Printf("no network on this node: %s\n", printable(e.Unavailable))
	}
	if k := e.Check; k != nil && k.Allowed {
		fmt.Printf("%s: allowed\n", k.To)
	} else if k != nil {
		fmt.Printf("%s: refused, %s\n", k.To, k.Rule)
	}
	return nil
}

func printRefusals(list []nodeapi.EgressRefusal) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LAST\tTENANT\tFUNCTION\tPROTOCOL\tDESTINATION\tRULE\tCOUNT")
	for _, e := range list {
		more := ""
		if e.NotLogged > 0 {
			more = fmt.Sprintf(" and %d of others", e.NotLogged)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d%s\n", e.Last.UTC().Format(time.RFC3339), printable(e.Tenant), printable(e.Function), e.Protocol,
			printable(e.Destination), printable(e.Rule), e.Count, more)
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

// relayMemory is what the relay may take on a machine with so much memory.
func relayMemory(total int64) int64 { return min(max(total/8, 128<<20), relay.DefaultMemory) }

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
		Making: n.files.making, Memory: relayMemory(int64(machineMemory())),
	}})
	if err != nil {
		return err
	}
	n.opened(closes(n.egress))
	n.factory.Network = n.egress
	n.factory.Refusals = &n.refusals
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

// ownAddress tells whether an address is this machine's.
func (n *node) ownAddress(a netip.Addr) bool { return n.egress != nil && n.egress.Own(a) }

// functionName is a function's name by its id, or the id if it has gone.
func (n *node) functionName(id string) string {
	for _, v := range n.catalog.All() {
		if v.FunctionID == id {
			return v.Name
		}
	}
	return id
}
