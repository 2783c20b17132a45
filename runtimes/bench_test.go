package runtimes_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
)

// The benchmarks report medians beside the means of the framework, because
// one slow start on a busy machine spoils a mean.

var benchmarked = map[string]function{
	"python": python("def handler(event, context):\n return event\n"),
	"node":   node("exports.handler = async (event) => event;"),
}

// BenchmarkStart is from the start of the process to its first question.
func BenchmarkStart(b *testing.B) {
	for name, f := range benchmarked {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				p := start(b, f)
				p.ready()
				took = append(took, time.Since(p.started))
			}
			report(b, took)
		})
	}
}

// BenchmarkBlank is from the moment that a blank process is told its function to
// its first question.
func BenchmarkBlank(b *testing.B) {
	for name, f := range benchmarked {
		f.blank = true
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				p := start(b, f)
				<-p.env.Asked()
				began := time.Now()
				p.become()
				p.ready()
				took = append(took, time.Since(began))
				p.stop()
			}
			report(b, took)
		})
	}
}

// settling is how long a process is left alone, so that it has done what it does
// after its question or its answer.
const settling = 50 * time.Millisecond

// BenchmarkFirst is the first invocation of a process, which meets code that has
// not run before, and the processor time that the process uses for it.
func BenchmarkFirst(b *testing.B) {
	for name, f := range benchmarked {
		b.Run(name, func(b *testing.B) {
			var took, used []time.Duration
			for b.Loop() {
				p := start(b, f)
				p.ready()
				time.Sleep(settling)
				before := p.processor()
				began := time.Now()
				p.invoke(runtimeapi.Event{Payload: []byte(`{"key":"value"}`)})
				took = append(took, time.Since(began))
				time.Sleep(settling)
				used = append(used, p.processor()-before)
				p.stop()
			}
			report(b, took)
			slices.Sort(used)
			b.ReportMetric(float64(used[len(used)/2].Microseconds()), "p50-cpu-µs")
		})
	}
}

// processor is the processor time that all threads of the process have used.
func (p *process) processor() (sum time.Duration) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid))
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		ns, _, _ := strings.Cut(string(raw), " ")
		v, _ := strconv.ParseInt(ns, 10, 64)
		sum += time.Duration(v)
	}
	return sum
}

// BenchmarkRoundTrip is one invocation: the event out, the result in.
func BenchmarkRoundTrip(b *testing.B) {
	for name, f := range benchmarked {
		b.Run(name, func(b *testing.B) {
			p := start(b, f)
			p.ready()
			ev := runtimeapi.Event{Payload: []byte(`{"key":"value"}`)}
			for range 500 { // until the code is hot
				p.invoke(ev)
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				p.invoke(ev)
				took = append(took, time.Since(began))
			}
			report(b, took)
		})
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[0].Microseconds()), "min-µs")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
