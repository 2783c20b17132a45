package catalog

import (
	"testing"

	"github.com/alcove-run/alcove"
)

// TestProvisionedConcurrencyIsTold sees that who keeps environments hears of it,
// and finds it again after a restart.
func TestProvisionedConcurrencyIsTold(t *testing.T) {
	n := begin(t, Config{})
	n.made(t, "f")
	v, err := n.Publish(t.Context(), caller, "f", PublishInput{})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan Change, 10)
	defer n.Subscribe(func(c Change) { told <- c })()
	ref := alcove.Ref{Name: "f", Qualifier: "1"}
	if _, err := n.SetProvisioned(t.Context(), caller, ref, 3, func(*alcove.Version) error { return nil }); err != nil {
		t.Fatal(err)
	}
	select {
	case c := <-told:
		if c.Number != "1" || c.FunctionID != v.FunctionID || c.Deleted {
			t.Errorf("told %+v", c)
		}
	default:
		t.Error("nobody was told") // the view has it, and is told of first
	}
	n.again(t, Config{})
	found := false
	for _, v := range n.All() {
		found = found || v.Number == "1" && n.Provisioned(v) == 3
	}
	if !found {
		t.Error("it is forgotten")
	}
	if err := n.DeleteProvisioned(t.Context(), caller, ref); err != nil || n.Provisioned(v) != 0 {
		t.Errorf("%v, %d are kept", err, n.Provisioned(v))
	}
}
