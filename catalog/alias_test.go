package catalog

import (
	"testing"

	"github.com/alcove-run/alcove"
)

func TestAliasSurvivesARestart(t *testing.T) {
	n := begin(t, Config{})
	n.made(t, "f")
	if _, err := n.Publish(t.Context(), caller, "f", PublishInput{}); err != nil {
		t.Fatal(err)
	}
	made, err := n.CreateAlias(t.Context(), caller, "f", AliasInput{Name: "live", Version: "1", Description: "d"})
	if err != nil {
		t.Fatal(err)
	}
	n.again(t, Config{})
	got, err := n.Alias("f", "live")
	if err != nil || !got.Equal(*made) {
		t.Fatalf("%+v %v, want %+v", got, err, made)
	}
	ref := alcove.Ref{Name: "f", Qualifier: "live"}
	if v, err := n.Resolve(ref); err != nil || v.Number != "1" {
		t.Fatalf("%v %v", v, err)
	}
	if allocs := testing.AllocsPerRun(100, func() { _, _ = n.Resolve(ref) }); allocs != 0 {
		t.Errorf("resolving an alias allocates %v times", allocs)
	}
}

// TestAliasOfLatestFollowsIt sees that an alias of $LATEST runs what $LATEST
// runs, also while an update is under way.
func TestAliasOfLatestFollowsIt(t *testing.T) {
	n := begin(t, Config{})
	n.made(t, "f")
	if _, err := n.CreateAlias(t.Context(), caller, "f", AliasInput{Name: "live", Version: alcove.Latest}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := n.UpdateConfiguration(t.Context(), caller, "f", "", func(c *alcove.Config) error { c.Timeout++; return nil }); err != nil {
			t.Fatal(err)
		}
		n.settled(t, "f")
		plain, err1 := n.Resolve(alcove.Ref{Name: "f"})
		alias, err2 := n.Resolve(alcove.Ref{Name: "f", Qualifier: "live"})
		if err1 != nil || err2 != nil || plain.Generation != alias.Generation {
			t.Errorf("%v %v %v %v", plain, alias, err1, err2)
		}
	}
}
