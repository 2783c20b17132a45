package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/nodeapi"
)

// logsCmd shows a function's log.
type logsCmd struct {
	clientFlags
	Function string        `arg:"" help:"Name or ARN of the function."`
	Tenant   string        `help:"Only this tenant's records." placeholder:"ID"`
	Follow   bool          `short:"f" help:"Go on with what is written from now on."`
	Since    time.Duration `help:"How far back to begin." default:"1h"`
}

// Run implements the command.
func (c *logsCmd) Run(ctx context.Context) error {
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
	for dec := json.NewDecoder(body); ; {
		var r nodeapi.Record
		switch err := dec.Decode(&r); {
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		tenant := alcove.Tenant(r.Tenant)
		if c.Tenant != "" {
			tenant = "" // every line is this tenant's
		}
		printRecord(tenant, []byte(r.Message))
	}
}
