package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// firstCost is how many new tenants the row stock has come.
	firstCost = 12
	// idleCost is more than an environment uses that nobody calls.
	idleCost = 20 * time.Microsecond
)

// stockRow has new tenants come to environments that have waited, and tells what
// those environments use of the processors for the first call, in the middle. It says more than
// the times of steady do on a machine that has other work; the environments that
// are made meanwhile are not in it.
func (b *bench) stockRow(ctx context.Context) (out []figure, err error) {
	n, err := startNode(ctx, b.binary, b.driver)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	for _, l := range languages {
		f, err := n.function(ctx, "stock-"+l.name, l, nil)
		if err != nil {
			return nil, err
		}
		if err := n.fill(ctx, f.name, firstCost); err != nil {
			return nil, err
		}
		before := n.each()
		if err := b.paced(f, firstCost, 100*time.Millisecond, nil); err != nil {
			return nil, err
		}
		// A blank environment may get ready meanwhile: that is one among many.
		after, used := n.each(), []time.Duration(nil)
		for name, was := range before {
			if u := after[name] - was; u > idleCost {
				used = append(used, u)
			}
		}
		out = append(out, inMicros(fmt.Sprintf("CPU of the first call of a new tenant, from stock, %s: sandbox", l.name), percentile(used, 50)))
		if _, err := n.alcove(ctx, "stock", f.name, "--min", "0", "--max", "0"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// fill has a function keep so many environments in stock, and waits until they
// are there and have come to rest.
func (n *node) fill(ctx context.Context, function string, size int) error {
	if _, err := n.alcove(ctx, "stock", function, "--min", strconv.Itoa(size), "--max", strconv.Itoa(size)); err != nil {
		return err
	}
	for began := time.Now(); ; {
		said, err := n.alcove(ctx, "stock", function)
		if err != nil {
			return err
		}
		// The last line has the version, and how many wait.
		if f := strings.Fields(said); len(f) > 3 && f[len(f)-3] == strconv.Itoa(size) {
			break
		}
		if time.Since(began) > 2*time.Minute {
			return fmt.Errorf("a stock of %d is not there after two minutes", size)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settle / 5):
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(2 * settle):
		return nil
	}
}

// alcove runs a command of the program against the node.
func (n *node) alcove(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, n.cmd.Path, append(args, "--endpoint", n.url)...)
	c.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+n.creds.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+n.creds.SecretAccessKey, "AWS_REGION="+region)
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("alcove %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// each is the processor time of every sandbox that there is, by its group;
// templates are none.
func (n *node) each() map[string]time.Duration {
	all := make(map[string]time.Duration)
	defer func() {
		maps.DeleteFunc(all, func(name string, _ time.Duration) bool { return strings.HasPrefix(filepath.Base(name), "template-") })
	}()
	groups, _ := filepath.Glob(filepath.Join(n.group, "*", "cpuacct.usage"))
	for _, name := range groups {
		if raw, err := os.ReadFile(name); err == nil {
			ns, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
			all[filepath.Dir(name)] = time.Duration(ns)
		}
	}
	groups, _ = filepath.Glob(filepath.Join(n.group, "*", "cpu.stat"))
	for _, name := range groups {
		if raw, err := os.ReadFile(name); err == nil && all[filepath.Dir(name)] == 0 {
			all[filepath.Dir(name)] = time.Duration(number(string(raw), "usage_usec")) * time.Microsecond
		}
	}
	return all
}
