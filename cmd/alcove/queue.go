package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/alcove-run/alcove/nodeapi"
)

// queueCmd shows the events of a function that wait, by tenant, and changes one
// tenant's.
type queueCmd struct {
	clientFlags
	Function string  `arg:"" help:"The function."`
	Tenant   *string `help:"Only this tenant's." placeholder:"ID" env:"-"`
	Purge    bool    `help:"Take the tenant's events and dead letters away, but for those that run." env:"-"`
	Replay   bool    `help:"Have the tenant's dead letters run again." env:"-"`
	JSON     bool    `help:"Print JSON." env:"-"`
}

// Run implements the command.
func (c *queueCmd) Run(ctx context.Context) error {
	if c.Purge && c.Replay {
		return errors.New("--purge takes away what --replay would run again: give one of them")
	}
	path := nodeapi.Prefix + "functions/" + nodeapi.Segment(c.Function) + "/queue"
	query := ""
	if c.Tenant != nil {
		if err := checkTenant(*c.Tenant); err != nil {
			return err
		}
		query = "?" + url.Values{"tenant": {*c.Tenant}}.Encode()
	}
	var n struct{ Purged, Replayed int }
	switch {
	case c.Purge:
		if err := c.call(ctx, http.MethodDelete, path+query, nil, &n); err != nil {
			return err
		}
		fmt.Printf("%d events are gone\n", n.Purged)
		return nil
	case c.Replay:
		if err := c.call(ctx, http.MethodPost, path+"/replay"+query, nil, &n); err != nil {
			return err
		}
		fmt.Printf("%d dead letters go on\n", n.Replayed)
		return nil
	}
	var answer json.RawMessage
	if err := c.call(ctx, http.MethodGet, path+query, nil, &answer); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(os.Stdout, answer)
	}
	var q nodeapi.Queue
	if err := json.Unmarshal(answer, &q); err != nil {
		return err
	}
	return printQueue(q)
}

func printQueue(q nodeapi.Queue) error {
	fmt.Printf("%s: %d events, the oldest %s old, and %d dead letters\n", q.Function, q.Events, seconds(q.OldestAge), q.DeadLetters)
	if len(q.Tenants) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TENANT\tWAITING\tDELAYED\tRUNNING\tDELIVERING\tDEAD\tOLDEST\tBYTES")
	for _, d := range q.Tenants {
		name := printable(d.Tenant)
		if name == "" {
			name = "-"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\n", name, d.Waiting, d.Delayed, d.Running, d.Delivering, d.DeadLetters, seconds(d.OldestAge), d.Bytes)
	}
	return w.Flush()
}

func seconds(s float64) time.Duration {
	return (time.Duration(s * float64(time.Second))).Round(time.Second / 10)
}
