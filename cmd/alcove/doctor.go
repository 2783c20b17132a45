package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/gvisor"
	"github.com/alcove-run/alcove/sandbox/namespace"
)

// doctorCmd tells what this machine can give. It asks the machine, not a node.
type doctorCmd struct {
	Data string `help:"The data directory of the node that is to run here." type:"path" placeholder:"DIR"`
}

// Run implements the command.
func (c *doctorCmd) Run(ctx context.Context) error {
	log := slog.New(slog.DiscardHandler)
	dir, err := os.MkdirTemp("", "alcove-doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	usable := 0
	for _, d := range []struct {
		name string
		open func(*cgroup.Root) (sandbox.Driver, error)
	}{
		{"gvisor", func(g *cgroup.Root) (sandbox.Driver, error) {
			return gvisor.New(ctx, gvisor.Config{Dir: dir + "/gvisor", Cgroups: g, Log: log})
		}},
		{"namespace", func(g *cgroup.Root) (sandbox.Driver, error) {
			return namespace.New(ctx, namespace.Config{Dir: dir + "/namespace", Cgroups: g, Log: log})
		}},
	} {
		fmt.Printf("--isolation %s\n", d.name)
		groups, err := cgroup.Open(fmt.Sprintf("doctor-%d", os.Getpid()), log)
		if err != nil {
			return err
		}
		driver, err := d.open(groups)
		if err != nil {
			show(sandbox.Finding{Name: "driver", State: sandbox.Missing, Detail: err.Error()})
		} else {
			usable++
			for _, f := range driver.Findings() {
				show(f)
			}
			if err := driver.Close(); err != nil {
				return err
			}
		}
		if err := groups.Close(); err != nil {
			return err
		}
		fmt.Println()
	}
	files, err := raiseOpenFiles()
	if err != nil {
		return err
	}
	fmt.Println("node")
	show(filesFinding(files, ofEnvironment("namespace"), ofEnvironment("gvisor")))
	fmt.Println()
	if c.Data == "" {
		c.Data = defaultDataDir()
	}
	fmt.Println("data directory")
	show(findDisk(c.Data))
	fmt.Println("\nruntimes")
	set := runtimes.Discover(log)
	for _, of := range []struct{ name, fix string }{
		{"python3.13", "apt-get install python3"}, {"nodejs22.x", "apt-get install nodejs"}, {"provided.al2023", ""},
	} {
		r, err := set.Resolve(of.name)
		if err != nil {
			show(sandbox.Finding{Name: of.name, State: sandbox.Missing, Detail: whyNot(err), Fix: of.fix})
			continue
		}
		show(sandbox.Finding{Name: string(r.Family), State: sandbox.OK, Detail: runsOn(r)})
	}
	if usable == 0 {
		return fmt.Errorf("no isolation driver works on this machine")
	}
	return nil
}

// whyNot tells the operator what a caller is not told.
func whyNot(err error) string {
	if e := alcove.AsError(err); e.Fault != alcove.FaultPlatform {
		return e.Message
	} else if e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}

func runsOn(r runtimes.Runtime) string {
	if r.Version == "" {
		return "brings its own bootstrap"
	}
	return "runs on version " + r.Version
}

func show(f sandbox.Finding) {
	fmt.Printf("  %-9s %-18s %s\n", f.State, f.Name, strings.ReplaceAll(f.Detail, "\n", "; "))
	if f.State != sandbox.OK && f.Fix != "" {
		fmt.Printf("  %-9s %-18s fix: %s\n", "", "", f.Fix)
	}
}
