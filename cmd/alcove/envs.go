package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/alcove-run/alcove/nodeapi"
	"github.com/alcove-run/alcove/sandbox"
)

// envsCmd lists execution environments.
type envsCmd struct {
	clientFlags
	Function string `arg:"" optional:"" help:"Only this function's."`
	Tenant   string `help:"Only this tenant's." placeholder:"ID" env:"-"`
}

// Run implements the command.
func (c *envsCmd) Run(ctx context.Context) error {
	if err := checkTenant(c.Tenant); err != nil {
		return err
	}
	q := url.Values{}
	if c.Function != "" {
		q.Set("function", c.Function)
	}
	if c.Tenant != "" {
		q.Set("tenant", c.Tenant)
	}
	var answer struct {
		Environments []nodeapi.Environment
		NotEnforced  []sandbox.Finding
	}
	if err := c.getJSON(ctx, nodeapi.Prefix+"environments", q, &answer); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ENVIRONMENT\tFUNCTION\tVERSION\tTENANT\tSTATE\tINVOCATIONS\tMEMORY\tAGE\tISOLATION\tSTART")
	for _, e := range answer.Environments {
		state := e.State
		if e.Frozen {
			state = "frozen"
		}
		if e.Function == "" {
			e.Function = "(" + e.Shape + ")"
		}
		fmt.Fprintf(w, "%.12s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", e.ID, e.Function, e.Version, printable(e.Tenant), state,
			e.Invocations, megabytes(e.MemoryBytes), time.Since(e.Created).Round(time.Second), e.Isolation, startOf(e))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, f := range answer.NotEnforced {
		if f.Name == sandbox.LeftoversFinding {
			fmt.Printf("\n%s\n", f.Detail)
			answer.NotEnforced = slices.Delete(answer.NotEnforced, i, i+1)
			break
		}
	}
	if len(answer.NotEnforced) > 0 {
		fmt.Println("\nNot fully enforced on this machine (alcove doctor tells how to mend it):")
		for _, f := range answer.NotEnforced {
			fmt.Printf("  %s: %s\n", f.Name, f.Detail)
		}
	}
	return nil
}

// startOf is how the environment's first invocation found it.
func startOf(e nodeapi.Environment) string {
	switch {
	case e.Start == "":
		return "-"
	case e.StartReason == "":
		return e.Start
	}
	return fmt.Sprintf("%s (%s)", e.Start, printable(e.StartReason))
}

func megabytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
}
