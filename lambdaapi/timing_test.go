package lambdaapi

import (
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// TestTiming has parts that do not overlap: together they are what the report says.
func TestTiming(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		queued, waited, init, made time.Duration
		start                      alcove.Start
		want                       string
	}{
		{queued: 3 * ms, waited: 1 * ms, start: alcove.StartWarm, want: "queue;dur=1.000, start;desc=warm;dur=2.000, handler;dur=7.000"},
		{queued: 100 * ms, waited: 10 * ms, init: 80 * ms, made: 30 * ms, start: alcove.StartCold,
			want: "queue;dur=10.000, start;desc=cold;dur=40.000, init;dur=50.000, handler;dur=7.000"},
		{queued: 81 * ms, init: 80 * ms, start: alcove.StartRuntimeStock, want: "queue;dur=0.000, start;desc=runtime-stock;dur=1.000, init;dur=80.000, handler;dur=7.000"},
		// Clocks are read at different places: nothing is below zero.
		{queued: 1 * ms, waited: 2 * ms, start: alcove.StartStock, want: "queue;dur=1.000, start;desc=stock;dur=0.000, handler;dur=7.000"},
		{queued: 1 * ms, init: 2 * ms, made: 5 * ms, start: alcove.StartCold, want: "queue;dur=0.000, start;desc=cold;dur=1.000, init;dur=0.000, handler;dur=7.000"},
	} {
		got := timing(&alcove.Result{Waited: c.waited, Made: c.made, Report: alcove.Report{Queued: c.queued, Init: c.init, Start: c.start, Duration: 7 * ms}})
		if got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
