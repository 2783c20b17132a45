package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/nodeapi"
)

// auditCmd shows who asked for what, and whether it was allowed.
type auditCmd struct {
	clientFlags
	Since    time.Duration `help:"How far back to begin, as 90s, 30m or 24h." default:"1h" env:"-"`
	Caller   string        `help:"Only this user's calls, or this key's: a name, an ARN or an access key id." placeholder:"WHO" env:"-"`
	Action   string        `help:"Only this action, as lambda:InvokeFunction or InvokeFunction." env:"-"`
	Function string        `help:"Only what was about this function." placeholder:"F" env:"-"`
	Tenant   *string       `help:"Only calls for this tenant; empty is those for none." placeholder:"ID" env:"-"`
	Denied   bool          `help:"Only what was not allowed." env:"-"`
	Limit    int           `help:"How many, the newest." default:"1000" env:"-"`
	JSON     bool          `name:"json" help:"For programs: a JSON object a line." env:"-"`
}

// Run implements the command.
func (c *auditCmd) Run(ctx context.Context) error {
	q := url.Values{"since": {time.Now().Add(-c.Since).UTC().Format(time.RFC3339)}, "limit": {strconv.Itoa(c.Limit)}}
	for name, value := range map[string]string{"caller": c.Caller, "action": c.Action, "function": c.Function} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.Tenant != nil {
		q.Set("tenant", *c.Tenant)
	}
	if c.Denied {
		q.Set("denied", "true")
	}
	body, err := c.get(ctx, nodeapi.Prefix+"audit", q)
	if err != nil {
		return err
	}
	defer body.Close()
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(w, "TIME\tCALLER\tFROM\tACTION\tRESOURCE\tTENANT\tALLOWED\tREASON")
	}
	for d := json.NewDecoder(body); ; {
		var r auth.Record
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return w.Flush()
		} else if err != nil {
			return err
		}
		if c.JSON {
			if err := writeJSON(os.Stdout, r); err != nil {
				return err
			}
			continue
		}
		allowed := "yes"
		if !r.Allowed {
			allowed = "no"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Time.Format(time.RFC3339), cell(r.Caller), cell(r.Source), cell(r.Action), cell(r.Resource),
			cell(string(r.Tenant)), allowed, cell(reason(r.Reason)))
	}
}

// reason is the part of a denial's text that the other columns do not have; --json
// has all of it.
func reason(text string) string {
	if !strings.HasPrefix(text, "User: ") {
		return text
	}
	for _, word := range []string{" because ", " with an explicit deny "} {
		if i := strings.Index(text, word); i >= 0 {
			return strings.TrimPrefix(text[i+1:], "because ")
		}
	}
	return text
}

// cell is text that stays in its place of a table.
func cell(text string) string {
	if text == "" {
		return "-"
	}
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(printable(text))
}
