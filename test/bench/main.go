// Command bench measures a node from outside, as its users meet it: the real
// binary, both drivers, limits and SigV4 on, on this machine. It prints the
// tables of docs/benchmarks.md. `make bench` runs it.
//
// Every figure is the median of several rounds. Load is bounded in count, goes to
// loopback, and stops by itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	binary  string
	drivers string
	rounds  int
	calls   int
	tenants int
	idle    int
}

func main() {
	var o options
	flag.StringVar(&o.binary, "alcove", "bin/alcove", "the program to measure")
	flag.StringVar(&o.drivers, "drivers", "namespace,gvisor", "which drivers")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds, of which the median is taken")
	flag.IntVar(&o.calls, "calls", 2000, "warm calls in a round")
	flag.IntVar(&o.tenants, "tenants", 20, "new tenants in a round")
	flag.IntVar(&o.idle, "idle", 50, "idle environments to weigh")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options) error {
	fmt.Printf("%s, %d CPUs, %s/%s; %d rounds; load average at start %s\n\n", time.Now().UTC().Format("2006-01-02"),
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, o.rounds, loadAverage())
	drivers := strings.Split(o.drivers, ",")
	rows := map[string][]string{}
	var order []string
	for i, driver := range drivers {
		results, err := measure(ctx, o, driver)
		if err != nil {
			return fmt.Errorf("%s: %w", driver, err)
		}
		for _, r := range results {
			if rows[r.what] == nil {
				order = append(order, r.what)
				rows[r.what] = make([]string, len(drivers))
			}
			rows[r.what][i] = r.value
		}
	}
	fmt.Printf("| | %s |\n|---|%s\n", strings.Join(drivers, " | "), strings.Repeat("---|", len(drivers)))
	for _, what := range order {
		fmt.Printf("| %s | %s |\n", what, strings.Join(rows[what], " | "))
	}
	return nil
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

// result is one row of the table.
type result struct{ what, value string }

// measure runs everything against one driver.
func measure(ctx context.Context, o options, driver string) ([]result, error) {
	var out []result
	starts := []time.Duration{}
	idleMB := []float64{}
	for range o.rounds {
		n, err := startNode(ctx, o.binary, driver)
		if err != nil {
			return nil, err
		}
		starts = append(starts, n.ready)
		idleMB = append(idleMB, n.memoryMB())
		if err := n.stop(); err != nil {
			return nil, err
		}
	}
	out = append(out,
		result{"start to ready", millis(median(starts))},
		result{"node idle, PSS", fmt.Sprintf("%.0f MiB", median(idleMB))})

	n, err := startNode(ctx, o.binary, driver)
	if err != nil {
		return nil, err
	}
	defer n.stop()
	for _, rt := range []struct{ name, runtime, file, handler, code string }{
		{"Python", "python3.13", "main.py", "main.handler", "def handler(event, context):\n    return event\n"},
		{"Node", "nodejs22.x", "index.js", "index.handler", "exports.handler = async (event) => event\n"},
	} {
		f, err := n.createFunction(ctx, "bench-"+strings.ToLower(rt.name), rt.runtime, rt.handler, rt.file, rt.code)
		if err != nil {
			return nil, err
		}
		rows, err := f.measure(ctx, o, rt.name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rt.name, err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

// measure takes the figures of one function.
func (f *function) measure(ctx context.Context, o options, name string) ([]result, error) {
	var out []result
	for _, clients := range []int{1, 16} {
		var p50, p99 []time.Duration
		var rate []float64
		for range o.rounds {
			took, all, err := f.warm(ctx, clients, o.calls)
			if err != nil {
				return nil, err
			}
			p50 = append(p50, percentile(took, 50))
			p99 = append(p99, percentile(took, 99))
			rate = append(rate, float64(len(took))/all.Seconds())
		}
		out = append(out, result{fmt.Sprintf("warm %s, %d clients, p50 / p99", name, clients), millis(median(p50)) + " / " + millis(median(p99))})
		if clients > 1 {
			out = append(out, result{fmt.Sprintf("warm %s, %d clients, calls a second", name, clients), fmt.Sprintf("%.0f", median(rate))})
		}
	}
	if name == "Python" {
		sdk, err := f.warmSDK(ctx, o)
		if err != nil {
			return nil, err
		}
		out = append(out, result{"warm Python, 1 client, AWS SDK for Go, p50", millis(sdk)})
	}
	var p50, p99 []time.Duration
	for range o.rounds {
		took, err := f.newTenants(ctx, o.tenants, 1)
		if err != nil {
			return nil, err
		}
		p50 = append(p50, percentile(took, 50))
		p99 = append(p99, percentile(took, 99))
	}
	out = append(out, result{fmt.Sprintf("first call of a new tenant, %s, one after another, p50 / p99", name), millis(median(p50)) + " / " + millis(median(p99))})
	apart, err := f.newTenantsApart(ctx, 15, time.Second)
	if err != nil {
		return nil, err
	}
	out = append(out, result{fmt.Sprintf("first call of a new tenant, %s, one a second, p50 / max", name),
		millis(percentile(apart, 50)) + " / " + millis(percentile(apart, 100))})
	began, before := time.Now(), availableMB()
	if _, err := f.newTenants(ctx, o.idle, 4); err != nil {
		return nil, err
	}
	took := time.Since(began)
	// The kernel gives memory back a little later than processes end.
	time.Sleep(2 * time.Second)
	out = append(out,
		result{fmt.Sprintf("environments made a second, %s", name), fmt.Sprintf("%.1f", float64(o.idle)/took.Seconds())},
		result{fmt.Sprintf("memory of an idle environment, %s (MemAvailable)", name), fmt.Sprintf("%.1f MiB", (before-availableMB())/float64(o.idle))})
	return out, nil
}

func percentile(d []time.Duration, p int) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, len(s)*p/100)]
}

func median[T time.Duration | float64](d []T) T {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/1e6) }
