// Command fuzzroutes runs every fuzz target of the APIs' routes for the same
// time, many of them at once, so that all have had it while little time goes by.
//
//	go run ./test/fuzzroutes -time 30s -at-once 12
//
// What a target has of its time depends on how many share the processors; the
// last lines say how many requests each had. Only this program's packages are
// instrumented, so that what guides the fuzzer is their code, and because all
// else would have to be compiled again. The exit status is 1 if a target failed.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// suites are the packages that have routes, and which of their targets are of
// routes.
var suites = []struct{ dir, targets string }{
	{"lambdaapi", "^FuzzRoute"},
	{"nodeapi", "^FuzzRequest$"},
	{"logsapi", "^FuzzHandler$"},
	{"logs/insights", "^FuzzQuery$"}, // what StartQuery takes
	{"metricsapi", "^FuzzRequest$"},
	{"stsapi", "^FuzzRequest$"},
	{"urlapi", "^FuzzRequest$"},
	{"gateway", "^FuzzRequest$"},
}

type target struct {
	dir, binary, name string
	requests          int
	failed            bool
}

func main() {
	each := flag.Duration("time", 30*time.Second, "what each target gets, by the clock")
	atOnce := flag.Int("at-once", 6*runtime.NumCPU(), "how many targets run at once")
	match := flag.String("run", ".", "regular expression of the targets that are run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *each, *atOnce, *match); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzroutes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, each time.Duration, atOnce int, match string) error {
	wanted, err := regexp.Compile(match)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(inMemory(), "alcove-fuzzroutes-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var targets []*target
	for _, s := range suites {
		found, err := build(ctx, dir, s.dir, s.targets)
		if err != nil {
			return err
		}
		targets = append(targets, found...)
	}
	targets = slices.DeleteFunc(targets, func(t *target) bool { return !wanted.MatchString(t.name) })
	if len(targets) == 0 {
		return errors.New("there is no such target")
	}
	fmt.Printf("%d fuzz targets of routes, %v each, %d at once on %d processors\n", len(targets), each, atOnce, runtime.NumCPU())
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for _, t := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t.fuzz(ctx, dir, each)
		})
	}
	wg.Wait()
	return report(ctx, targets)
}

// inMemory is a file system in memory, if there is one with room, or empty: the
// stores of targets sync what they write, and half of the time would be the
// disk's.
func inMemory() string {
	const dir, room = "/dev/shm", 512 << 20
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil || s.Bavail*uint64(s.Bsize) < room {
		return ""
	}
	return dir
}

// build compiles the tests of a package and gives its targets.
func build(ctx context.Context, dir, pkg, match string) ([]*target, error) {
	binary := filepath.Join(dir, pkg+".test")
	compile := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-gcflags=github.com/alcove-run/alcove/...=-d=libfuzzer", "-o", binary, "./"+pkg)
	compile.Stderr = os.Stderr
	if err := compile.Run(); err != nil {
		return nil, fmt.Errorf("compiling the tests of %s: %w", pkg, err)
	}
	list := exec.CommandContext(ctx, binary, "-test.list", match)
	list.Dir = pkg
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("listing the targets of %s: %w", pkg, err)
	}
	var targets []*target
	for name := range strings.FieldsSeq(string(out)) {
		targets = append(targets, &target{dir: pkg, binary: binary, name: name})
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%s has no target %s", pkg, match)
	}
	return targets, nil
}

var executed = regexp.MustCompile(`execs: (\d+)`)

// fuzz runs a target for its time, in one worker, from nothing but its seeds.
//
// The time is ended by an interrupt, as a person would: with -test.fuzztime, what
// tells the fuzzer of the end may be ahead of what tells it that this end is no
// error, and a good target then fails with "context deadline exceeded"
// (internal/fuzz.CoordinateFuzzing of Go 1.26).
func (t *target) fuzz(ctx context.Context, dir string, each time.Duration) {
	timed, stop := context.WithTimeout(ctx, each)
	defer stop()
	cmd := exec.CommandContext(timed, t.binary, "-test.run", "^$", "-test.fuzz", "^"+t.name+"$", "-test.parallel", "1",
		"-test.fuzzminimizetime", "10x", "-test.fuzzcachedir", filepath.Join(dir, "cache", t.dir, t.name))
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	// The worker is the target's child: it hears of an end that its parent is told of.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if all := executed.FindAllStringSubmatch(out.String(), -1); len(all) > 0 {
		t.requests, _ = strconv.Atoi(all[len(all)-1][1]) // digits
	}
	if ctx.Err() != nil {
		return
	}
	// Run tells of the interrupt, which was meant, even if the target ended well.
	if s := cmd.ProcessState; s == nil || !s.Success() || timed.Err() == nil {
		t.failed = true
		fmt.Printf("--- FAILED %s %s: %v\n%s", t.dir, t.name, err, &out)
	}
}

// report says what every target had, fewest first, and whether all is well.
func report(ctx context.Context, targets []*target) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	slices.SortFunc(targets, func(a, b *target) int { return a.requests - b.requests })
	sum, failed := 0, 0
	var names []string
	for _, t := range targets {
		sum += t.requests
		if t.failed {
			failed++
			names = append(names, t.dir+" "+t.name)
		}
	}
	line := "fewest requests:"
	for _, t := range targets[:min(5, len(targets))] {
		line += fmt.Sprintf(" %s %d", t.name, t.requests)
	}
	fmt.Println(line)
	fmt.Printf("%d routes and services fuzzed, %d failed; %d requests in all, %d for the one in the middle\n", len(targets), failed, sum, targets[len(targets)/2].requests)
	switch {
	case failed > 0:
		return fmt.Errorf("%d targets failed, whose output is above: %s", failed, strings.Join(names, ", "))
	case targets[0].requests == 0:
		return fmt.Errorf("%s had no request: fewer at once, or more time", targets[0].name)
	}
	return nil
}
