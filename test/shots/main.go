// Command shots writes a picture of each page of the console, in both themes, on a
// laptop and on a phone. It starts a node with throw-away data and functions that
// tenants call.
//
//	make console-shots
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/test/browser"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "shots:", err)
		os.Exit(1)
	}
}

var (
	program = flag.String("alcove", "bin/alcove", "the program")
	out     = flag.String("out", "bin/console-shots", "directory for the pictures")
	tenants = flag.Int("tenants", 12, "how many tenants call")
	floor   = flag.Int("floor", 0, "only look at a floor of so many environments that change all the time")
	only    = flag.String("only", "", "of these pages alone, their names with commas between them")
	driver  = flag.String("isolation", "namespace", "the node's driver")
)

// names of tenants that people could have, and one that only a machine would.
var names = []string{"blue", "green", "acme.example", "globex", "initech", "umbrella", "tenant-0007", "a@b.example", "hooli", "stark", "wayne", "wonka:eu/1"}

func run() error {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	data, err := os.MkdirTemp("", "alcove-shots-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	if *floor > 0 {
		return shootFloor(ctx, *floor)
	}
	url, end, err := serve(ctx, data)
	if err != nil {
		return err
	}
	defer end()
	if err := fill(ctx, url); err != nil {
		return err
	}
	for _, size := range []struct {
		name          string
		width, height int
	}{{"laptop", 1280, 800}, {"phone", 390, 844}} {
		if err := shoot(ctx, url, size.name, size.width, size.height); err != nil {
			return err
		}
	}
	fmt.Println("pictures are in", *out)
	return nil
}

// serve starts a node and gives its address.
func serve(ctx context.Context, data string) (url string, end func(), err error) {
	cmd := exec.CommandContext(ctx, *program, "serve", "--listen", "127.0.0.1:0", "--data", data, "--auth", "none", "--isolation", *driver, "--log-level", "error")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	lines, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
	scan := bufio.NewScanner(lines)
	for scan.Scan() {
		if _, url, ok := strings.Cut(scan.Text(), "ready on "); ok {
			return url, end, nil
		}
	}
	end()
	return "", nil, fmt.Errorf("the node did not start")
}

// fill deploys functions and calls them.
func fill(ctx context.Context, url string) error {
	alcove := func(args ...string) error {
		cmd := exec.CommandContext(ctx, *program, append(args, "--endpoint", url)...)
		if b, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("alcove %s: %w: %s", strings.Join(args, " "), err, b)
		}
		return nil
	}
	if err := alcove("deploy", "examples/counter-python", "--name", "counter", "--tenant-isolation", "--log-format", "JSON"); err != nil {
		return err
	}
	if err := alcove("deploy", "examples/counter-node", "--name", "greeter", "--tenant-isolation"); err != nil {
		return err
	}
	policy := filepath.Join(*out, "blue.json")
	defer os.Remove(policy)
	const blue = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}}]}`
	if err := os.WriteFile(policy, []byte(blue), 0o600); err != nil {
		return err
	}
	if err := alcove("keys", "create", "blue", "--policy", policy); err != nil {
		return err
	}
	if err := alcove("egress", "--tenant", "blue", "--allow", "tcp://api.example.com:443", "--allow", "*.blue.example"); err != nil {
		return err
	}
	for i := range *tenants {
		name := fmt.Sprintf("customer-%04d", i)
		if i < len(names) {
			name = names[i]
		}
		for range 1 + i%3 {
			if err := alcove("invoke", "counter", "--tenant", name, "--payload", `{"order": 1234}`); err != nil {
				return err
			}
		}
		if i%4 == 0 {
			if err := alcove("invoke", "greeter", "--tenant", name); err != nil {
				return err
			}
		}
	}
	return nil
}

// pages are what pictures are taken of.
var pages = []struct{ name, path string }{
	{"floor", "floor"}, {"functions", "functions"}, {"create", "functions/new"}, {"function-test", "functions/counter?tenant=blue"},
	{"function-code", "functions/counter/code"}, {"function-configuration", "functions/counter/configuration"},
	{"function-versions", "functions/counter/versions"}, {"tenants", "tenants"}, {"tenant", "tenant?tenant=blue"}, {"logs", "logs?function=counter"},
	{"usage", "usage?by=tenant"}, {"metrics", "metrics?function=counter"}, {"egress", "egress?function=counter&tenant=blue&to=example.com:443"},
	{"access", "access/keys?name=blue"}, {"audit", "access/audit"},
}

func shoot(ctx context.Context, url, size string, width, height int) error {
	page, end, err := browser.Open(ctx, width, height)
	if err != nil {
		return err
	}
	defer end()
	for _, theme := range []string{"light", "dark"} {
		for _, p := range pages {
			if *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) {
				continue
			}
			var png []byte
			actions := []chromedp.Action{
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}),
				chromedp.EmulateViewport(int64(width), int64(height)),
				chromedp.Navigate(url + "/console/" + p.path), chromedp.WaitReady("main"),
			}
			switch p.name {
			case "floor":
				actions = append(actions, chromedp.WaitVisible(".floor .tile"), chromedp.Sleep(300*time.Millisecond))
			case "function-test":
				actions = append(actions, chromedp.Click("form[data-fragment] button.primary"), chromedp.WaitVisible("#result .result"))
			}
			actions = append(actions, chromedp.FullScreenshot(&png, 100))
			if err := page.Run(actions...); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			file := filepath.Join(*out, fmt.Sprintf("%s-%s-%s.png", p.name, size, theme))
			if err := os.WriteFile(file, png, 0o644); err != nil {
				return err
			}
		}
		for _, e := range page.Errors() {
			fmt.Fprintln(os.Stderr, "the page complains:", e)
		}
	}
	return nil
}
