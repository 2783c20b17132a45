package catalog

import (
	"testing"

	"github.com/alcove-run/alcove"
)

func TestRolesSurviveARestart(t *testing.T) {
	n := begin(t, Config{})
	for _, r := range [][2]string{{"a", "first"}, {"b", "gone"}, {"a", "second"}} {
		if _, err := n.PutRole(t.Context(), caller, r[0], r[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.DeleteRole(t.Context(), caller, "b"); err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteRole(t.Context(), caller, "b"); alcove.AsError(err).Code != "NoSuchEntity" {
		t.Errorf("deleted twice: %v", err)
	}
	n.again(t, Config{})
	if r, err := n.Role("a"); err != nil || r.Policy != "second" || r.Created.IsZero() || r.Changed.Before(r.Created) {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := n.Role("b"); alcove.AsError(err).Code != "NoSuchEntity" {
		t.Errorf("the deleted one: %v", err)
	}
	if list := n.Roles(); len(list) != 1 || list[0].Name != "a" {
		t.Errorf("%v", list)
	}
}
