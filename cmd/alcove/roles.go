package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/lambdaapi"
	"github.com/alcove-run/alcove/logsapi"
	"github.com/alcove-run/alcove/metricsapi"
	"github.com/alcove-run/alcove/nodeapi"
)

// rolesCmd keeps the policies of execution roles.
type rolesCmd struct {
	Put    rolesPutCmd    `cmd:"" help:"Say what the code of functions may do that have this role; in force at once."`
	List   rolesListCmd   `cmd:"" help:"List the roles."`
	Show   rolesShowCmd   `cmd:"" help:"Show the policy of a role."`
	Delete rolesDeleteCmd `cmd:"" help:"Remove a role: code that has it may do nothing from then on."`
}

// roleFlags name a role.
type roleFlags struct {
	clientFlags
	Name string `arg:"" help:"The role's name, or a function's Role, which it is the end of: arn:aws:iam::000000000000:role/NAME."`
}

func (r roleFlags) path() string {
	name := r.Name
	if strings.HasPrefix(name, "arn:") {
		name = auth.RoleName(name)
	}
	return nodeapi.Prefix + "roles/" + nodeapi.Segment(name)
}

type rolesPutCmd struct {
	roleFlags
	Policy string `help:"File with the policy document; - is standard input." required:"" placeholder:"FILE" env:"-"`
}

// Run implements the command.
func (c *rolesPutCmd) Run(ctx context.Context) error {
	document, err := readPolicy(c.Policy)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"policy": string(document)})
	if err != nil {
		return err
	}
	var r nodeapi.Role
	if err := c.call(ctx, http.MethodPut, c.path(), body, &r); err != nil {
		return err
	}
	fmt.Println(printable(r.ARN))
	warn(r.Warnings)
	return nil
}

// warn tells of what a policy is about that is not there.
func warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(os.Stderr, "warning: the policy matches nothing in part: %s\n", printable(w))
	}
}

// actions are those that policies can be about on this node, but for its own API's.
func actions() []string {
	return slices.Concat(lambdaapi.Actions(), logsapi.Actions(), metricsapi.Actions(), []string{"s3:", "sts:"})
}

type rolesListCmd struct{ clientFlags }

// Run implements the command.
func (c *rolesListCmd) Run(ctx context.Context) error {
	var answer struct{ Roles []nodeapi.Role }
	if err := c.getJSON(ctx, nodeapi.Prefix+"roles", nil, &answer); err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tARN\tCHANGED")
	for _, r := range answer.Roles {
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(r.Name), printable(r.ARN), r.Changed.Format(time.RFC3339))
	}
	return w.Flush()
}

type rolesShowCmd struct{ roleFlags }

// Run implements the command.
func (c *rolesShowCmd) Run(ctx context.Context) error {
	var r nodeapi.Role
	if err := c.call(ctx, http.MethodGet, c.path(), nil, &r); err != nil {
		return err
	}
	var document bytes.Buffer
	if err := json.Indent(&document, r.Policy, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Println(printable(document.String()))
	return err
}

type rolesDeleteCmd struct{ roleFlags }

// Run implements the command.
func (c *rolesDeleteCmd) Run(ctx context.Context) error {
	var r nodeapi.Role
	if err := c.call(ctx, http.MethodDelete, c.path(), nil, &r); err != nil {
		return err
	}
	fmt.Printf("%s is deleted\n", printable(r.Name))
	return nil
}
