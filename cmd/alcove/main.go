// Command alcove is the one program: a node that serves tenant-isolated
// functions, and the commands that talk to one.
//
// A subcommand is a file. All wiring of a node is in serve.go and node.go,
// explicit and in order.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/alcove-run/alcove/sandbox/egress/relay"
	"github.com/alcove-run/alcove/sandbox/gvisor"
	"github.com/alcove-run/alcove/sandbox/namespace"
)

// commands is the command line.
type commands struct {
	Config kong.ConfigFlag `help:"Read flags from a YAML file, with the flags' names as keys." placeholder:"FILE" type:"existingfile"`

	Serve    serveCmd    `cmd:"" help:"Run a node."`
	Dev      devCmd      `cmd:"" help:"Run a node with throw-away data, deploy a directory, and deploy it again whenever it changes."`
	Deploy   deployCmd   `cmd:"" help:"Create a function from a directory, or update it: then what is not given stays as it is."`
	Invoke   invokeCmd   `cmd:"" help:"Invoke a function once and show what came of it."`
	Logs     logsCmd     `cmd:"" help:"Show a function's log, or one tenant's part of it."`
	Envs     envsCmd     `cmd:"" help:"List the execution environments of a node."`
	Tenants  tenantsCmd  `cmd:"" help:"List the tenants that a function has environments for, or take everything of a tenant off the node."`
	Queue    queueCmd    `cmd:"" help:"Show the events of a function that wait to run, by tenant; purge one tenant's, or replay its dead letters."`
	Stock    stockCmd    `cmd:"" help:"Show or set how many environments of a function wait for new tenants."`
	Egress   egressCmd   `cmd:"" help:"Show or set what functions may reach."`
	Keys     keysCmd     `cmd:"" help:"Make, list and remove access keys, each with a policy."`
	Roles    rolesCmd    `cmd:"" help:"Say what the code of functions may do, by their role."`
	Usage    usageCmd    `cmd:"" help:"Show what tenants used of which functions on which days, and what it costs."`
	Audit    auditCmd    `cmd:"" help:"Show who asked for what, and whether it was allowed."`
	Doctor   doctorCmd   `cmd:"" help:"Tell what isolation this machine can give, and how to get what is missing."`
	Leaktest leaktestCmd `cmd:"" help:"Test whether a Lambda-compatible service keeps tenants apart."`
	Version  versionCmd  `cmd:"" help:"Tell what this program is made from."`
}

func main() {
	// The sandboxes' helpers are this program again; that has to be found out
	// before anything else runs.
	if gvisor.Main() || namespace.Main() || relay.Main() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "alcove:", printable(err.Error()))
		var wrong *usageError
		if errors.As(err, &wrong) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// run executes one command line.
func run(ctx context.Context, args []string) error {
	var c commands
	parser, err := newParser(ctx, &c)
	if err != nil {
		return err
	}
	k, err := parser.Parse(args)
	if err != nil {
		return asUsageError(err)
	}
	return k.Run()
}

// usageError is a command line that cannot be understood.
type usageError struct {
	command string // as far as it was understood
	err     error
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%v\n(`%s --help` tells what there is)", e.err, e.command)
}

func (e *usageError) Unwrap() error { return e.err }

func asUsageError(err error) error {
	var p *kong.ParseError
	if !errors.As(err, &p) {
		return err
	}
	command := "alcove"
	if p.Context != nil && p.Context.Selected() != nil {
		command = p.Context.Selected().FullPath()
	}
	return &usageError{command, err}
}

// newParser is the command line's, which fills c in.
func newParser(ctx context.Context, c *commands) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("alcove"),
		kong.Description("A self-hosted, AWS-Lambda-compatible function service that keeps tenants apart."),
		kong.DefaultEnvars("ALCOVE"),
		kong.Configuration(loadConfig),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
}
