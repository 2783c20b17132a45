package catalog

import (
	"testing"

	"github.com/alcove-run/alcove"
)

// TestFindURL: a URL is found by its id for as long as it is there, after a
// restart too, and goes with what it belongs to.
func TestFindURL(t *testing.T) {
	n := begin(t, Config{})
	ctx := t.Context()
	n.made(t, "f")
	if _, err := n.Publish(ctx, caller, "f", PublishInput{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.CreateAlias(ctx, caller, "f", AliasInput{Name: "live", Version: "1"}); err != nil {
		t.Fatal(err)
	}
	own, err := n.CreateURL(ctx, caller, alcove.Ref{Name: "f"}, alcove.FunctionURL{AuthType: "NONE"})
	if err != nil {
		t.Fatal(err)
	}
	live, err := n.CreateURL(ctx, caller, alcove.Ref{Name: "f", Qualifier: "live"}, alcove.FunctionURL{AuthType: "AWS_IAM"})
	if err != nil {
		t.Fatal(err)
	}
	found := func(when string, e URLEntry, want alcove.Ref) {
		t.Helper()
		ref, url, ok := n.FindURL(e.URL.ID)
		if ok != (want.Name != "") || ok && (ref != want || url.AuthType != e.URL.AuthType) {
			t.Errorf("%s: %+v %+v %v", when, ref, url, ok)
		}
	}
	found("made", own, alcove.Ref{Name: "f"})
	found("made", live, alcove.Ref{Name: "f", Qualifier: "live"})
	n.again(t, Config{})
	found("after a restart", own, alcove.Ref{Name: "f"})
	found("after a restart", live, alcove.Ref{Name: "f", Qualifier: "live"})
	if err := n.DeleteAlias(ctx, caller, "f", "live"); err != nil {
		t.Fatal(err)
	}
	found("without its alias", live, alcove.Ref{})
	found("without its alias", own, alcove.Ref{Name: "f"})
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f"}); err != nil {
		t.Fatal(err)
	}
	found("without its function", own, alcove.Ref{})
	if _, _, ok := n.FindURL(""); ok {
		t.Error("no id is found")
	}
}
