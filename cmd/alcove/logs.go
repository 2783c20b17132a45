package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/alcove-run/alcove/nodeapi"
)

// logsCmd shows a function's log.
type logsCmd struct {
	clientFlags
	Function string        `arg:"" help:"Name or ARN of the function."`
	Tenant   string        `help:"Only this tenant's records." placeholder:"ID" env:"-"`
	Follow   bool          `short:"f" help:"Go on with what is written from now on." env:"-"`
	Since    time.Duration `help:"How far back to begin, as 90s, 30m or 24h." default:"1h" env:"-"`
	JSON     bool          `name:"json" help:"For programs: a JSON object a line, with time, stream, tenant and message." env:"-"`
}

// Run implements the command.
func (c *logsCmd) Run(ctx context.Context) error {
	if err := checkTenant(c.Tenant); err != nil {
		return err
	}
	q := url.Values{
		"function": {c.Function},
		"since":    {time.Now().Add(-c.Since).UTC().Format(time.RFC3339)},
	}
	if c.Tenant != "" {
		q.Set("tenant", c.Tenant)
	}
	if c.Follow {
		q.Set("follow", "true")
	}
	body, err := c.get(ctx, nodeapi.Prefix+"logs", q)
	if err != nil {
		return err
	}
	defer body.Close()
	none := true
	for dec := json.NewDecoder(body); ; {
		var r nodeapi.Record
		switch err := dec.Decode(&r); {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			if none && !c.Follow && !c.JSON {
				fmt.Fprintf(os.Stderr, "--- nothing was written in the last %s (--since goes further back)\n", c.Since)
			}
			return nil
		case err != nil:
			return err
		}
		none = false
		if err := c.write(r); err != nil {
			return err
		}
	}
}

func (c *logsCmd) write(r nodeapi.Record) error {
	if c.JSON {
		return writeRecordJSON(os.Stdout, r)
	}
	return writeRecord(os.Stdout, r, c.Tenant == "")
}
