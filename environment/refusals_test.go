package environment

import (
	"fmt"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox/egress"
)

// TestRefusalsAreFewOfEach: the same counts up, others of the same tenant go, those
// of another tenant stay, and so many tenants are kept.
func TestRefusalsAreFewOfEach(t *testing.T) {
	var r Refusals
	at := time.Unix(1e9, 0)
	add := func(tenant, name string, more int64) {
		at = at.Add(time.Second)
		r.add(&alcove.Version{FunctionID: "id", Name: "f"}, alcove.Tenant(tenant), egress.Refusal{Proto: "dns", Name: name, Rule: "tenant: no network", More: more}, at)
	}
	all := func(alcove.Tenant) bool { return true }
	only := func(one alcove.Tenant) func(alcove.Tenant) bool {
		return func(t alcove.Tenant) bool { return t == one }
	}
	add("ann", "a.example", 0)
	add("", "of nobody", 0)
	add("ann", "b.example", 0)
	add("ann", "a.example", 5)
	list := r.List(only("ann"))
	if len(list) != 2 || list[0].Destination != "a.example" || list[0].Count != 2 || list[0].NotLogged != 5 || !list[0].Last.After(list[0].First) || list[1].Count != 1 {
		t.Errorf("ann's are %+v", list)
	}
	for i := range 3 * refusalsOfOne {
		add("bob", fmt.Sprint(i), 0)
	}
	if list := r.List(only("bob")); len(list) != refusalsOfOne || list[0].Destination != fmt.Sprint(3*refusalsOfOne-1) {
		t.Errorf("bob's are %d, the first %+v", len(list), list[0])
	}
	if n := len(r.List(all)); n != refusalsOfOne+3 {
		t.Errorf("there are %d", n)
	}
	r.Forget("bob")
	for i := range refusalOwners {
		add(fmt.Sprint("tenant ", i), "x", 0)
	}
	if n := len(r.List(all)); n != refusalOwners {
		t.Errorf("there are %d of %d", n, refusalOwners)
	}
	if len(r.List(only("ann"))) != 0 || len(r.List(only("bob"))) != 0 {
		t.Error("those of long ago are kept before later ones, or what was to be forgotten")
	}
}
