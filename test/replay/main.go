// Command replay runs a trace of a day's arrivals through the rules by which idle
// environments are kept, and tells what each rule costs: the share of invocations
// that find no warm environment, and for how long environments are held that do
// nothing. Nothing is started, no time passes.
//
//	go run ./test/replay test/replay/testdata/azure2019-500.json.gz
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/alcove-run/alcove/pool/policy"
)

func main() {
	price := flag.Duration("price", policy.DefaultKeepAlive, "for how long an environment may be held for the sake of one restart")
	memory := flag.Float64("memory", 0, "GB of the node that all functions share; without, they have all they need")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: replay [-price 10m] TRACE.json.gz")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	t, err := readTrace(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n\n", t.Source)
	if *memory > 0 {
		onBudget(t, *memory)
		return
	}
	fmt.Println("| keep-alive | cold starts | of all invocations | of a function's, median / 75th percentile | environments idle | memory idle |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, r := range rules(*price) {
		o := replay(t, r)
		fmt.Printf("| %s | %d | %.3f %% | %.1f %% / %.1f %% | %.0f h | %.1f GB h |\n", r.name, o.cold, 100*o.share(),
			100*o.quantile(0.5), 100*o.quantile(0.75), o.idle.Hours(), o.idleMemory/1000)
	}
}

// onBudget compares what goes when memory is short.
func onBudget(t *trace, gb float64) {
	fmt.Printf("| %.0f GB: keep-alive; eviction | cold starts | of all invocations | of a function's, median | evicted | refused |\n|---|---|---|---|---|---|\n", gb)
	arrivals := t.merged()
	for _, e := range evictions() {
		o := replayOn(t, arrivals, int64(gb*1e9), e.eviction)
		fmt.Printf("| %s | %d | %.3f %% | %.1f %% | %d | %d |\n", e.name, o.cold, 100*float64(o.cold)/float64(o.invocations),
			100*o.median(), o.evicted, o.refused)
	}
}

// rules are what is compared.
func rules(price time.Duration) []rule {
	out := []rule{{"by habit, " + price.String(), byHabit(price)}}
	for _, keep := range []time.Duration{10 * time.Minute, 5 * time.Minute, 20 * time.Minute, time.Hour} {
		out = append(out, rule{"fixed, " + keep.String(), fixed(keep)})
	}
	return out
}

// byHabit is alcove's rule.
func byHabit(price time.Duration) func(policy.Habit, time.Duration) bool {
	return policy.Keeping(price).Holds
}

// fixed is the rule that knows nobody.
func fixed(keep time.Duration) func(policy.Habit, time.Duration) bool {
	return func(_ policy.Habit, idle time.Duration) bool { return idle <= keep }
}
