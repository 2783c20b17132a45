package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"
)

// trace is a file of arrivals.
type trace struct {
	Source    string     `json:"source"`
	Functions []function `json:"functions"`
}

// function is one function of a trace, used by one tenant: its owner.
type function struct {
	ID      int            `json:"fn"`
	Owner   int            `json:"owner"`
	Trigger string         `json:"trigger"`
	Counts  map[string]int `json:"counts"` // invocations by minute of the day
	Took    struct {
		Average float64 `json:"avg"` // ms
	} `json:"dur_ms"`
	Memory struct {
		Average float64 `json:"avg"` // MB
	} `json:"mem_mb"`
}

func readTrace(path string) (*trace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var t trace
	if err := json.NewDecoder(io.LimitReader(z, 1<<30)).Decode(&t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, f := range t.Functions {
		for m, n := range f.Counts {
			if minute, err := strconv.Atoi(m); err != nil || minute < 0 || n < 0 {
				return nil, fmt.Errorf("%s: function %d has %d invocations in minute %q", path, f.ID, n, m)
			}
		}
	}
	return &t, nil
}

// end is when the trace is over: after its last minute.
func (t *trace) end() time.Duration {
	last := 0
	for _, f := range t.Functions {
		for m := range f.Counts {
			minute, _ := strconv.Atoi(m)
			last = max(last, minute+1)
		}
	}
	return time.Duration(last) * time.Minute
}

// arrivals are the times of f's invocations, in order. The trace counts by the
// minute; within it a timer's come evenly, from the same second on each time, and
// all others at random, the same in every run.
func (f *function) arrivals() []time.Duration {
	rng := rand.New(rand.NewPCG(uint64(f.ID), 2019))
	phase := rng.Float64()
	var all []time.Duration
	for m, n := range f.Counts {
		minute, _ := strconv.Atoi(m)
		rng := rand.New(rand.NewPCG(uint64(f.ID), uint64(minute)))
		for i := range n {
			at := rng.Float64()
			if f.Trigger == "timer" {
				at = (float64(i) + phase) / float64(n)
			}
			all = append(all, time.Duration((float64(minute)+at)*float64(time.Minute)))
		}
	}
	slices.Sort(all)
	return all
}
