package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"text/tabwriter"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/nodeapi"
)

// stockCmd shows how many environments of a function wait for new tenants, and
// sets how many should.
type stockCmd struct {
	clientFlags
	Function string `arg:"" help:"The function."`
	Min      *int   `help:"How many wait in any case." placeholder:"N" env:"-"`
	Max      *int   `help:"How many wait at most; 0 keeps none." placeholder:"N" env:"-"`
	Unset    bool   `help:"Leave it to the node again." env:"-"`
}

// Run implements the command.
func (c *stockCmd) Run(ctx context.Context) error {
	path := nodeapi.Prefix + "functions/" + nodeapi.Segment(c.Function) + "/stock"
	var answer nodeapi.Stock
	if err := c.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		return err
	}
	switch set := c.Min != nil || c.Max != nil; {
	case c.Unset && set:
		return errors.New("--unset takes --min and --max away: give it alone")
	case c.Unset:
		if err := c.call(ctx, http.MethodDelete, path, nil, &answer); err != nil {
			return err
		}
	case set:
		s := alcove.Stock{}
		if answer.Set != nil {
			s = *answer.Set // what is not given stays
		}
		if c.Min != nil {
			s.Min = *c.Min
		}
		if c.Max != nil {
			s.Max = c.Max
		}
		body, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if err := c.call(ctx, http.MethodPut, path, body, &answer); err != nil {
			return err
		}
	}
	return printStock(answer)
}

// printStock shows a function's stock.
func printStock(s nodeapi.Stock) error {
	if !s.Isolated {
		fmt.Printf("%s has no tenant isolation: there is nobody that an environment could wait for (provisioned concurrency keeps some ready)\n", printable(s.Function))
		return nil
	}
	whose := "the node's bounds"
	if s.Set != nil {
		whose = "set for the function"
	}
	fmt.Printf("%s: %d to %d environments of a version wait for new tenants (%s)\n", s.Function, s.Min, s.Max, whose)
	if len(s.Versions) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tWAITING\tMAKING\tWANTED")
	for _, v := range s.Versions {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", v.Version, v.Waiting, v.Making, v.Wanted)
	}
	return w.Flush()
}
