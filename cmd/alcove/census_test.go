package main

import (
	"maps"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
)

func TestCensus(t *testing.T) {
	f := &alcove.Version{Name: "f"}
	list := []environment.Status{
		{State: environment.Blank},
		{State: environment.Creating, Version: f},
		{State: environment.Idle, Version: f},
		{State: environment.Idle, Version: f, Bound: true, Tenant: "blue", Frozen: true},
		{State: environment.Busy, Version: f, Bound: true, Tenant: "blue"},
		{State: environment.Settling, Version: f, Bound: true, Tenant: "blue"},
		{State: environment.Idle, Version: f, Bound: true, Tenant: "rests", Frozen: true},
		{State: environment.Idle, Version: f, Invocations: 1}, // of a function without tenants
		{State: environment.Ended, Version: f, Bound: true, Tenant: "gone"},
	}
	want := map[counted]int{
		{state: "initialising"}: 1, {state: "blank"}: 1, {state: "stock"}: 1, {state: "busy"}: 2, {state: "idle"}: 1, {state: "frozen"}: 2,
		{"f", "initialising", ""}: 1, {"f", "stock", ""}: 1, {"f", "busy", ""}: 2, {"f", "idle", ""}: 1, {"f", "frozen", ""}: 2,
		{"f", "busy", "blue"}: 2, {"f", "frozen", "blue"}: 1,
	}
	if got := count(list); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := count(nil); len(got) != len(standings) {
		t.Errorf("of nothing: %v", got)
	}
}
