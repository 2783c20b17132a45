package main

import (
	"reflect"
	"testing"

	"github.com/alecthomas/kong"
)

// The node of `alcove dev` is one that `alcove serve` without flags would be, but
// for what dev decides: a new flag of serve needs no change there.
func TestDevRunsANodeWithServesDefaults(t *testing.T) {
	dev := devCmd{Listen: "127.0.0.1:0", Isolation: "namespace"}
	got, err := dev.node("somewhere")
	if err != nil {
		t.Fatal(err)
	}
	var want serveCmd
	if err := kong.ApplyDefaults(&want); err != nil {
		t.Fatal(err)
	}
	want.Listen, want.Data, want.Isolation, want.Auth = "127.0.0.1:0", "somewhere", "namespace", "none"
	if err := want.validate(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
