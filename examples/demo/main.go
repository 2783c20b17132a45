// Command demo is what `make demo` runs: a node with throw-away data, one
// function, two tenants. It does with the alcove program what a newcomer would
// type, shows what each tenant saw, and checks every promise that it prints.
//
// It ends with exit status 0 only if all of them were kept, and leaves nothing
// behind, also when it is interrupted.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	// The node is told to end if this thread does (see startNode).
	runtime.LockOSThread()
	var d demo
	flag.StringVar(&d.program, "alcove", "bin/alcove", "the alcove program")
	flag.StringVar(&d.isolation, "isolation", "gvisor", "what confines functions: gvisor or namespace")
	flag.StringVar(&d.code, "code", "examples/counter-python", "the function's directory")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := d.run(ctx)
	switch {
	case ctx.Err() != nil && d.endErr == nil:
		fmt.Fprintln(os.Stderr, "\ninterrupted; nothing was left behind")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// demo is one showing.
type demo struct {
	program, isolation, code string

	dir    string // throw-away
	node   *node
	endErr error // of end
}

const function = "counter"

// turns is who invokes, in this order.
var turns = []string{"blue", "green", "blue", "green", "blue"}

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "alcove-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	fmt.Println("One function, two tenants, nothing shared.")
	for _, step := range []func(context.Context) error{
		d.start, d.deploy, d.invokeInTurns, d.showLog, d.showEnvironments, d.stop,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Println("\nEverything was as promised.")
	return nil
}

// end ends the node and removes its directory, whatever happened before. What the
// node left behind is an error.
func (d *demo) end() error {
	if d.node != nil {
		d.endErr = d.node.stop()
	}
	left, err := leftovers(d.dir)
	if len(left) > 0 {
		err = fmt.Errorf("the node left behind: %s", strings.Join(left, ", "))
	}
	d.endErr = errors.Join(d.endErr, err, os.RemoveAll(d.dir))
	return d.endErr
}

func (d *demo) start(ctx context.Context) (err error) {
	say("A node, on a free port, with throw-away data", "alcove serve --isolation "+d.isolation)
	began := time.Now()
	if d.node, err = startNode(ctx, d.program, d.dir, d.isolation); err != nil {
		return err
	}
	fmt.Printf("     ready on %s after %d ms\n", d.node.url, time.Since(began).Milliseconds())
	return nil
}

func (d *demo) deploy(ctx context.Context) error {
	say("A function whose tenants are kept apart", "alcove deploy "+d.code+" --name "+function+" --tenant-isolation")
	out, err := d.alcove(ctx, "deploy", d.code, "--name", function, "--tenant-isolation")
	if err != nil {
		return err
	}
	show(out)
	return nil
}

// answer is what the example function answers.
type answer struct {
	Tenant string   `json:"tenant"`
	Count  int      `json:"count"`
	Notes  []string `json:"notes"`
}

// invokeInTurns invokes for both tenants: each must find its own counter and its
// own notes, and nothing of the other.
func (d *demo) invokeInTurns(ctx context.Context) error {
	say("Two tenants call it in turns; it counts in a global and writes to /tmp", "alcove invoke "+function+" --tenant blue")
	calls := map[string]int{}
	for _, tenant := range turns {
		out, err := d.alcove(ctx, "invoke", function, "--tenant", tenant)
		if err != nil {
			return err
		}
		var a answer
		if err := json.Unmarshal([]byte(out), &a); err != nil {
			return fmt.Errorf("the function answered %q: %w", out, err)
		}
		calls[tenant]++
		fmt.Printf("     %-5s  counter %d   /tmp/notes.txt: %s\n", tenant, a.Count, strings.Join(a.Notes, " | "))
		if a.Tenant != tenant || a.Count != calls[tenant] {
			return fmt.Errorf("tenant %s on its call %d saw tenant %q and counter %d", tenant, calls[tenant], a.Tenant, a.Count)
		}
		if len(a.Notes) != calls[tenant] || !all(a.Notes, func(n string) bool { return strings.HasPrefix(n, tenant+" ") }) {
			return fmt.Errorf("tenant %s found other notes than its own %d: %q", tenant, calls[tenant], a.Notes)
		}
	}
	if out, err := d.alcove(ctx, "invoke", function); err == nil {
		return fmt.Errorf("an invocation without a tenant was answered with %s", out)
	}
	fmt.Println("     no tenant: refused, as AWS does")
	return nil
}

// logTime is how long lines may take to get from a function to the log store.
const logTime = 10 * time.Second

// showLog asks for one tenant's lines until all of them are there.
func (d *demo) showLog(ctx context.Context) error {
	say("The log lines of one tenant alone", "alcove logs "+function+" --tenant blue")
	want := 0
	for _, tenant := range turns {
		if tenant == "blue" {
			want++
		}
	}
	var out string
	for deadline := time.Now().Add(logTime); ; {
		var err error
		if out, err = d.alcove(ctx, "logs", function, "--tenant", "blue"); err != nil {
			return err
		}
		if strings.Count(out, "for tenant blue") == want && strings.Count(out, "REPORT RequestId") == want || time.Now().After(deadline) {
			break
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	show(out)
	switch {
	case strings.Contains(out, "green"):
		return errors.New("the log of tenant blue has lines of tenant green")
	case strings.Count(out, "for tenant blue") != want:
		return fmt.Errorf("the log of tenant blue has not its %d lines", want)
	}
	return nil
}

func (d *demo) showEnvironments(ctx context.Context) error {
	say("The environments: one for each tenant, frozen while idle; those of no tenant wait for the next new one", "alcove envs")
	out, err := d.alcove(ctx, "envs", function)
	if err != nil {
		return err
	}
	show(out)
	for _, tenant := range []string{"blue", "green"} {
		rows := slices.DeleteFunc(strings.Split(out, "\n"), func(line string) bool {
			return !slices.Contains(strings.Fields(line), tenant)
		})
		if len(rows) != 1 {
			return fmt.Errorf("tenant %s has %d environments, not one", tenant, len(rows))
		}
		if !strings.Contains(rows[0], d.isolation) {
			return fmt.Errorf("the environment of %s was not confined by %s", tenant, d.isolation)
		}
	}
	return nil
}

// stop ends the node as an operator would and looks for what it left.
func (d *demo) stop(context.Context) error {
	say("The node is told to stop", "kill -TERM")
	if err := d.node.stop(); err != nil {
		return err
	}
	left, err := leftovers(d.dir)
	if len(left) > 0 || err != nil {
		return errors.Join(err, errors.New("something of the node is left"))
	}
	fmt.Println("     exit status 0; no process, mount or cgroup of it is left")
	return nil
}

// step counts what say has said.
var step int

// say explains the next step in one line, and shows the command.
func say(what, command string) {
	step++
	fmt.Printf("\n%d. %s\n   $ %s\n", step, what, command)
}

// show prints what a command printed.
func show(out string) {
	for line := range strings.Lines(strings.TrimRight(out, "\n")) {
		fmt.Printf("     %s\n", strings.TrimRight(line, "\n"))
	}
}

func all(list []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !ok(s) })
}

// pause waits a moment before something is asked again.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}

// dataDir is where the node keeps what it keeps.
func dataDir(dir string) string { return filepath.Join(dir, "data") }
