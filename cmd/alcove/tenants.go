package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"

	"github.com/alcove-run/alcove/nodeapi"
)

// tenantsCmd looks at tenants, and takes one off the node.
type tenantsCmd struct {
	List  tenantsListCmd  `cmd:"" default:"withargs" help:"List the tenants that a function has environments for; 'alcove tenants FUNCTION' does the same."`
	Purge tenantsPurgeCmd `cmd:"" help:"Take everything of a tenant off the node: environments, /tmp, logs, events and dead letters, records of invocations. Its sums of usage stay."`
}

// tenantsListCmd lists a function's tenants.
type tenantsListCmd struct {
	clientFlags
	Function string `arg:"" help:"The function."`
}

// Run implements the command.
func (c *tenantsListCmd) Run(ctx context.Context) error {
	var answer nodeapi.Tenants
	if err := c.getJSON(ctx, nodeapi.Prefix+"tenants", url.Values{"function": {c.Function}}, &answer); err != nil {
		return err
	}
	if answer.Isolated != nil && !*answer.Isolated {
		fmt.Printf("%s has no tenant isolation: its environments are nobody's (alcove envs %[1]s)\n", printable(c.Function))
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TENANT\tENVIRONMENTS\tBUSY\tINVOCATIONS\tMEMORY")
	for _, t := range answer.Tenants {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", printable(t.Tenant), t.Environments, t.Busy, t.Invocations, megabytes(t.MemoryBytes))
	}
	return w.Flush()
}

// tenantsPurgeCmd takes a tenant off the node.
type tenantsPurgeCmd struct {
	clientFlags
	Tenant string `arg:"" help:"The tenant's id."`
}

// Run implements the command.
func (c *tenantsPurgeCmd) Run(ctx context.Context) error {
	if err := checkTenant(c.Tenant); err != nil {
		return err
	}
	var answer nodeapi.Purged
	if err := c.call(ctx, http.MethodDelete, nodeapi.Prefix+"tenants/"+nodeapi.Segment(c.Tenant), nil, &answer); err != nil {
		return err
	}
	fmt.Printf("purged %s in %.1f s; sums of its usage stay (`alcove usage`)\n", printable(answer.Tenant), answer.Seconds)
	return nil
}
