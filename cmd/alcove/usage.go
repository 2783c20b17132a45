package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/alcove-run/alcove/nodeapi"
	"github.com/alcove-run/alcove/usage"
)

// usageCmd shows what was used, and what it costs.
type usageCmd struct {
	clientFlags
	Tenant   *string `help:"Only this tenant's; empty is what is used without a tenant." placeholder:"ID" env:"-"`
	Function string  `help:"Only this function's." placeholder:"F" env:"-"`
	By       string  `help:"What to sum by: tenant, function or day, or several with commas between them." default:"tenant" env:"-"`
	From     string  `help:"The first day, of UTC; this month's if not given." placeholder:"2026-11-01" env:"-"`
	To       string  `help:"The day after the last; a month after the first if not given." placeholder:"2026-12-01" env:"-"`
	Format   string  `help:"For a reader, or for a program: ${enum}." enum:"table,csv,json" default:"table" env:"-"`
	Entries  bool    `help:"Single entries instead of sums, a JSON object a line." env:"-"`
}

// Run implements the command.
func (c *usageCmd) Run(ctx context.Context) error {
	q := url.Values{}
	for name, value := range map[string]string{"function": c.Function, "from": c.From, "to": c.To} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.Tenant != nil {
		q.Set("tenant", *c.Tenant)
	}
	if c.Entries {
		return c.entries(ctx, q)
	}
	q.Set("by", c.By)
	if c.Format == "csv" {
		q.Set("format", "csv")
	}
	body, err := c.get(ctx, nodeapi.Prefix+"usage", q)
	if err != nil {
		return err
	}
	defer body.Close()
	switch c.Format {
	case "csv":
		// Cells are escaped by the node; tenants' names have no control characters.
		_, err = io.Copy(os.Stdout, body)
		return err
	case "json":
		var answer json.RawMessage
		if err := json.NewDecoder(body).Decode(&answer); err != nil {
			return cutShort(err)
		}
		return writeJSON(os.Stdout, answer)
	}
	var answer nodeapi.Usage
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return cutShort(err)
	}
	return c.table(&answer)
}

func cutShort(err error) error { return fmt.Errorf("the answer is not whole: %w", err) }

func (c *usageCmd) table(a *nodeapi.Usage) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	var head []string
	by := map[usage.By]bool{}
	for _, b := range a.By {
		by[b] = true
	}
	for _, b := range []usage.By{usage.ByDay, usage.ByTenant, usage.ByFunction} {
		if by[b] {
			head = append(head, strings.ToUpper(string(b)))
		}
	}
	fmt.Fprintln(w, strings.Join(append(head, "INVOCATIONS", "ERRORS", "GB-SECONDS", "ENVIRONMENTS", "/TMP GB-SECONDS", "LOG", "QUEUE", "NETWORK", "CONNECTIONS", "COST ("+cell(a.Prices.Currency)+")"), "\t"))
	row := func(r *usage.Row, names []string) {
		cells := append(names, fmt.Sprint(r.Invocations), fmt.Sprint(r.Errors), r.GBSeconds.String(), fmt.Sprint(r.Environments), r.EphemeralGBSeconds.String(),
			megabytes(r.LogBytes), megabytes(r.QueueBytes), megabytes(r.NetworkIn+r.NetworkOut), fmt.Sprint(r.Connections), r.Cost.String())
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	for i := range a.Rows {
		r := &a.Rows[i]
		var names []string
		if by[usage.ByDay] {
			names = append(names, cell(r.Day))
		}
		if by[usage.ByTenant] {
			name := ""
			if r.Tenant != nil {
				name = string(*r.Tenant)
			}
			names = append(names, cell(name))
		}
		if by[usage.ByFunction] {
			names = append(names, cell(r.Function))
		}
		row(r, names)
	}
	if len(head) > 0 {
		names := make([]string, len(head))
		names[0] = "(all)"
		row(&a.Total, names)
	} else if len(a.Rows) == 0 {
		row(&a.Total, nil)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("\nFrom %s to before %s, UTC.\n", cell(a.From), cell(a.To))
	return nil
}

// entries shows all single entries that there are.
func (c *usageCmd) entries(ctx context.Context, q url.Values) error {
	for {
		n, last, err := c.someEntries(ctx, q)
		if err != nil || n == 0 {
			return err
		}
		q.Set("after", fmt.Sprint(last))
	}
}

func (c *usageCmd) someEntries(ctx context.Context, q url.Values) (n int, last int64, err error) {
	body, err := c.get(ctx, nodeapi.Prefix+"usage/entries", q)
	if err != nil {
		return 0, 0, err
	}
	defer body.Close()
	for lines := json.NewDecoder(body); ; n++ {
		var e usage.Entry
		switch err := lines.Decode(&e); {
		case err == io.EOF:
			return n, last, nil
		case err != nil:
			return n, last, cutShort(err)
		}
		last = e.ID
		if err := writeJSON(os.Stdout, &e); err != nil {
			return n, last, err
		}
	}
}
