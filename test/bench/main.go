// Command bench measures a node from outside, as its users meet it: the real
// binary, both drivers, limits and SigV4 on, on this machine. It prints the
// tables of docs/benchmarks.md. `make bench` runs it.
//
// Every figure is the median of several rounds. Load is bounded in count and in
// time, goes to loopback, and stops by itself.
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
	only    string
	rounds  int
	calls   int
	steady  time.Duration
	tenants int
	idle    int
	live    int
	limit   time.Duration
	peer    string
}

func main() {
	var o options
	flag.StringVar(&o.binary, "alcove", "bin/alcove", "the program to measure")
	flag.StringVar(&o.drivers, "drivers", "namespace,gvisor", "which drivers")
	flag.StringVar(&o.only, "only", "", "which rows, by name, with commas; all but live if empty: "+strings.Join(names(), ", "))
	flag.IntVar(&o.rounds, "rounds", 5, "rounds, of which the median is taken")
	flag.IntVar(&o.calls, "calls", 4000, "warm calls in a round")
	flag.DurationVar(&o.steady, "steady", 5*time.Minute, "how long new tenants come, one a second")
	flag.IntVar(&o.tenants, "tenants", 50, "tenants in a round of the rows that make environments")
	flag.IntVar(&o.idle, "idle", 100, "tenants of the row memory")
	flag.IntVar(&o.live, "live", 0, "tenants of the row live; 0 is 3000 on namespace and 1000 on gvisor")
	flag.DurationVar(&o.limit, "limit", 90*time.Minute, "the whole run ends by then")
	flag.Parse()
	o.peer = os.Getenv("ALCOVE_BENCH_PEER")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	if err := run(ctx, o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options) error {
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	peer, err := findPeer(o.peer)
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d CPUs, %s/%s; %d rounds; load average at start %s\n\n", time.Now().UTC().Format("2006-01-02"),
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, o.rounds, loadAverage())
	columns := strings.Split(o.drivers, ",")
	t := &table{columns: columns}
	for _, driver := range columns {
		b := &bench{options: o, driver: driver, peer: peer}
		err := b.measure(ctx, chosen, t)
		if err != nil {
			fmt.Print(t.markdown()) // what there is
			return fmt.Errorf("%s: %w", driver, err)
		}
	}
	fmt.Print(t.markdown())
	return nil
}

// bench measures one driver.
type bench struct {
	options
	driver string
	peer   *peer // or nil
	node   *node // the one that most rows share; nil before it is needed
	odd    int   // makes names that nobody has used
}

// measure fills a column.
func (b *bench) measure(ctx context.Context, chosen []row, t *table) error {
	defer func() { b.node.stop() }()
	for _, r := range chosen {
		rounds := b.rounds
		if r.once {
			rounds = 1
		}
		for range rounds {
			began := time.Now()
			figures, err := r.run(b, ctx)
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			for _, f := range figures {
				t.add(b.driver, f)
				log.Printf("%s, %s: %s = %s (%.1f s)", b.driver, r.name, f.what, f.text(f.value), time.Since(began).Seconds())
			}
			if r.peer == nil || b.peer == nil {
				continue
			}
			figures, err = r.peer(b, b.peer)
			if err != nil {
				return fmt.Errorf("%s: the peer: %w", r.name, err)
			}
			for _, f := range figures {
				t.add(peerColumn, f)
			}
		}
	}
	return nil
}

// shared is the node that rows share which leave it as they found it.
func (b *bench) shared(ctx context.Context) (*node, error) {
	if b.node != nil {
		return b.node, nil
	}
	var err error
	b.node, err = startNode(ctx, b.binary, b.driver)
	return b.node, err
}

func choose(only string) ([]row, error) {
	if only == "" {
		return slices.DeleteFunc(rows(), func(r row) bool { return r.byName }), nil
	}
	all := rows()
	var chosen []row
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: the rows are %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func percentile(d []time.Duration, p int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, len(s)*p/100)]
}

func median(d []float64) float64 {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}
