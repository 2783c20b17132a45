package catalog

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
)

const (
	conflict = alcove.CodeResourceConflict
	arnF     = "arn:aws:lambda:us-east-1:000000000000:function:f"
	busyText = "The operation cannot be performed at this time. An update is in progress for resource: " + arnF
	pendText = "The operation cannot be performed at this time. The function is currently in the following state: Pending"
	revText  = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
)

// The answers of AWS from creation to the second update (recorded).
func TestLifeCycle(t *testing.T) {
	g := newGate()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := begin(t, Config{Prepare: g.prepare, Now: func() time.Time { return now }})
	ctx := t.Context()
	var h heard
	defer n.Subscribe(h.change)()

	v := n.create(t, "f")
	if got := states(v); got != "$LATEST Pending Creating  " || v.StateReason != "The function is being created." {
		t.Errorf("Create answers %q, %q", got, v.StateReason)
	}
	if v.ARN != arnF || v.Generation != 1 || v.LastModified != now || v.RevisionID == "" || v.FunctionID == "" {
		t.Errorf("Create answers %+v", v)
	}
	if got := n.resolve(t, "f", ""); got.State != alcove.StatePending {
		t.Errorf("before it is ready it is %s", got.State)
	}
	_, err := n.UpdateConfiguration(ctx, caller, "f", "", remember(256))
	want(t, err, conflict, pendText)
	_, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("new")})
	want(t, err, conflict, pendText)
	_, err = n.Publish(ctx, caller, "f", PublishInput{})
	want(t, err, conflict, pendText)
	_, err = n.Create(ctx, caller, CreateInput{Name: "f", Config: config(""), Zip: makeZip("f")})
	want(t, err, conflict, "Function already exist: f")

	if asked := <-g.asked; asked.RevisionID != v.RevisionID {
		t.Errorf("Prepare got revision %s, want %s", asked.RevisionID, v.RevisionID)
	}
	g.let <- nil
	active := n.settled(t, "f")
	if got := states(active); got != "$LATEST Active  Successful " || active.RevisionID == v.RevisionID || active.Generation != 1 {
		t.Errorf("then it is %q, revision %s after %s", got, active.RevisionID, v.RevisionID)
	}

	_, err = n.UpdateConfiguration(ctx, caller, "f", v.RevisionID, remember(256))
	want(t, err, alcove.CodePreconditionFailed, revText)
	_, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("new"), RevisionID: "x"})
	want(t, err, alcove.CodePreconditionFailed, revText)

	now = now.Add(time.Hour)
	up, err := n.UpdateConfiguration(ctx, caller, "f", active.RevisionID, remember(256))
	if err != nil {
		t.Fatal(err)
	}
	if got := states(up); got != "$LATEST Active  InProgress Creating" || up.UpdateReason != "The function is being created." ||
		up.Config.MemorySize != 256 || up.Generation != 2 || up.LastModified != now || up.RevisionID == active.RevisionID {
		t.Errorf("UpdateConfiguration answers %q: %+v", got, up)
	}
	// Invocations keep what they had; who asks sees what is to come.
	if run := n.resolve(t, "f", ""); run.Config.MemorySize != 128 || run.Generation != 1 || states(run) != states(up) || run.RevisionID != up.RevisionID {
		t.Errorf("during the update runs %q with %d MB, generation %d", states(run), run.Config.MemorySize, run.Generation)
	}
	if seen, err := n.Describe(alcove.Ref{Name: "f", Qualifier: alcove.Latest}); err != nil || seen.Config.MemorySize != 256 {
		t.Errorf("during the update is described %+v, %v", seen, err)
	}
	_, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("new")})
	want(t, err, conflict, busyText)
	_, err = n.UpdateConfiguration(ctx, caller, "f", "", remember(512))
	want(t, err, conflict, busyText)
	_, err = n.Publish(ctx, caller, "f", PublishInput{})
	want(t, err, conflict, busyText)
	// What is not of a version goes on.
	if err := n.SetTags(ctx, caller, "f", map[string]string{"a": "b"}, nil); err != nil {
		t.Error(err)
	}
	<-g.asked
	g.let <- nil
	done := n.settled(t, "f")
	if run := n.resolve(t, "f", ""); states(done) != "$LATEST Active  Successful " || run != done || run.Config.MemorySize != 256 {
		t.Errorf("after the update: %q, runs %d MB", states(done), run.Config.MemorySize)
	}
	if got := h.take(); !slices.Equal(got, []string{"f:$LATEST g1", "f:$LATEST g1", "f:$LATEST g2"}) {
		t.Errorf("heard %q", got)
	}
}

func TestGenerationCountsWhatRuns(t *testing.T) {
	n := begin(t, Config{})
	ctx := t.Context()
	v := n.made(t, "f")
	step := func(what string, generation int64, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		now := n.settled(t, "f")
		if now.Generation != generation || now.RevisionID == v.RevisionID {
			t.Errorf("%s: generation %d, want %d; revision %s after %s", what, now.Generation, generation, now.RevisionID, v.RevisionID)
		}
		v = now
	}
	_, err := n.UpdateConfiguration(ctx, caller, "f", "", describe("other words"))
	step("description", 1, err)
	_, err = n.UpdateConfiguration(ctx, caller, "f", "", func(*alcove.Config) error { return nil })
	step("nothing", 1, err)
	_, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("f")})
	step("the same code", 1, err)
	_, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("other")})
	step("other code", 2, err)
	_, err = n.UpdateConfiguration(ctx, caller, "f", "", func(c *alcove.Config) error {
		c.Environment = map[string]string{"A": "1"}
		return nil
	})
	step("environment", 3, err)
	_, err = n.UpdateConfiguration(ctx, caller, "f", "", func(c *alcove.Config) error { c.Environment["A"] = "2"; return nil })
	step("a variable", 4, err)
	_, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("other"), Architecture: "arm64"})
	step("architecture", 5, err)

	_, err = n.UpdateConfiguration(ctx, caller, "f", "", func(c *alcove.Config) error { c.Tenancy = alcove.PerTenant; return nil })
	want(t, err, alcove.CodeInvalidParameterValue, "The tenancy configuration of a function cannot be changed.")
	mine := errors.New("refused by the caller")
	if _, err = n.UpdateConfiguration(ctx, caller, "f", "", func(c *alcove.Config) error { c.Environment["A"] = "3"; return mine }); err != mine {
		t.Errorf("error of the change: %v", err)
	}
	if now := n.settled(t, "f"); now != v || now.Config.Environment["A"] != "2" {
		t.Errorf("refused updates left %+v", now)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	n := begin(t, Config{})
	before := n.made(t, "f")
	v, err := n.UpdateCode(t.Context(), caller, "f", UpdateCodeInput{Zip: makeZip("other"), DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if v.Code == before.Code || v.RevisionID != before.RevisionID {
		t.Errorf("a dry run answers %+v", v)
	}
	if now := n.settled(t, "f"); now != before {
		t.Errorf("a dry run left %+v", now)
	}
	_, err = n.UpdateCode(t.Context(), caller, "f", UpdateCodeInput{Zip: artifact.Sent([]byte("no zip")), DryRun: true})
	want(t, err, alcove.CodeInvalidParameterValue, "Could not unzip uploaded file. Please check your file, then try to upload again.")
	poll(t, "the package of the dry run is removed", func() bool { return !n.stored(v.Code.SHA256) })
}

func TestFailure(t *testing.T) {
	g := newGate()
	n := begin(t, Config{Prepare: g.prepare})
	ctx := t.Context()
	n.create(t, "f")
	<-g.asked
	g.let <- alcove.InvalidParameter("no interpreter for python3.13")
	v := n.settled(t, "f")
	if states(v) != "$LATEST Failed InvalidConfiguration Failed InvalidConfiguration" || v.StateReason != "no interpreter for python3.13" {
		t.Errorf("a function that cannot run: %q, %q", states(v), v.StateReason)
	}
	_, err := n.Publish(ctx, caller, "f", PublishInput{})
	want(t, err, conflict, "The operation cannot be performed at this time. The function is currently in the following state: Failed")

	// It may be mended.
	if v, err = n.UpdateConfiguration(ctx, caller, "f", "", remember(256)); err != nil {
		t.Fatal(err)
	}
	if states(v) != "$LATEST Pending Creating InProgress Creating" || n.resolve(t, "f", "").State != alcove.StatePending {
		t.Errorf("an update of a function that failed: %q", states(v))
	}
	<-g.asked
	g.let <- nil
	good := n.settled(t, "f")
	if states(good) != "$LATEST Active  Successful " || good.Config.MemorySize != 256 {
		t.Errorf("mended: %q", states(good))
	}

	// An update that fails leaves what ran before it, and says nothing of the platform.
	if _, err = n.UpdateConfiguration(ctx, caller, "f", "", remember(512)); err != nil {
		t.Fatal(err)
	}
	<-g.asked
	g.let <- errors.New("/var/lib/alcove is full")
	v = n.settled(t, "f")
	if states(v) != "$LATEST Active  Failed InternalError" || v.UpdateReason != "The function could not be made ready to run because of an internal error." {
		t.Errorf("a failed update: %q, %q", states(v), v.UpdateReason)
	}
	if run := n.resolve(t, "f", ""); run.Config.MemorySize != 256 || run.Generation != good.Generation || run.Update != alcove.UpdateFailed {
		t.Errorf("after a failed update runs %+v", run)
	}
	_, err = n.Publish(ctx, caller, "f", PublishInput{})
	want(t, err, conflict, "The operation cannot be performed at this time. The last update failed for resource: "+arnF)

	// So does the next one, which begins where the failed one ended.
	if _, err = n.UpdateConfiguration(ctx, caller, "f", "", describe("next")); err != nil {
		t.Fatal(err)
	}
	if run := n.resolve(t, "f", ""); run.Config.MemorySize != 256 {
		t.Errorf("during the next update runs %d MB", run.Config.MemorySize)
	}
	<-g.asked
	n.again(t, Config{Prepare: g.prepare}) // and a restart changes nothing
	if run := n.resolve(t, "f", ""); run.Config.MemorySize != 256 || run.Update != alcove.UpdateInProgress {
		t.Errorf("after a restart during the update runs %d MB, %s", run.Config.MemorySize, run.Update)
	}
	<-g.asked
	g.let <- nil
	v = n.settled(t, "f")
	if run := n.resolve(t, "f", ""); run != v || v.Config.MemorySize != 512 || v.Generation <= good.Generation {
		t.Errorf("after the next update runs %d MB, generation %d", run.Config.MemorySize, v.Generation)
	}
}

// A function that is gone while it is made ready stays gone, and another one of
// its name has nothing of it.
func TestNameMadeAgain(t *testing.T) {
	g := newGate()
	n := begin(t, Config{Prepare: g.prepare})
	ctx := t.Context()
	var h heard
	defer n.Subscribe(h.change)()
	one, err := n.Create(ctx, caller, CreateInput{Name: "f", Config: config("first"), Zip: makeZip("1"),
		Tags: map[string]string{"of": "first"}, Publish: true})
	if err != nil {
		t.Fatal(err)
	}
	reserved := 10
	if err := n.SetReserved(ctx, caller, "f", &reserved); err != nil {
		t.Fatal(err)
	}
	<-g.asked
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f"}); err != nil {
		t.Fatal(err)
	}
	_, err = n.Resolve(alcove.Ref{Name: "f", Qualifier: "1"})
	want(t, err, alcove.CodeResourceNotFound, "Function not found: "+arnF+":1")
	if n.Unreserved() != 1000 {
		t.Errorf("unreserved is %d", n.Unreserved())
	}
	two, err := n.Create(ctx, caller, CreateInput{Name: "f", Config: config("second"), Zip: makeZip("2")})
	if err != nil {
		t.Fatal(err)
	}
	// That of the first has ended.
	if v := <-g.asked; v.FunctionID != two.FunctionID {
		t.Errorf("Prepare is asked for %s, want %s", v.FunctionID, two.FunctionID)
	}
	g.let <- nil
	v := n.settled(t, "f")
	f, err := n.Function("f")
	if err != nil {
		t.Fatal(err)
	}
	if two.FunctionID == one.FunctionID || v.FunctionID != two.FunctionID || v.Config.Description != "second" ||
		f.ID != two.FunctionID || len(f.Tags) != 0 || f.Reserved != nil || f.LastVersion != 0 {
		t.Errorf("the second function is %+v, %+v", f, v)
	}
	if vs, _, err := n.ListVersions("f", "", 10); err != nil || len(vs) != 1 {
		t.Errorf("the second function has versions %v, %v", vs, err)
	}
	wantHeard := []string{"f:$LATEST g1", "f:1 g1", "f:$LATEST g1 deleted", "f:1 g1 deleted", "f:$LATEST g1", "f:$LATEST g1"}
	if got := h.take(); !slices.Equal(got, wantHeard) {
		t.Errorf("heard %q, want %q", got, wantHeard)
	}
}

// TestNamesThatAreNumbers has a function and a layer whose keys end as those of
// versions do.
func TestNamesThatAreNumbers(t *testing.T) {
	n := begin(t, Config{})
	n.made(t, "7")
	if _, err := n.Publish(t.Context(), caller, "7", PublishInput{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.PublishLayer(t.Context(), caller, LayerVersion{Name: "12"}, makeZip("layer")); err != nil {
		t.Fatal(err)
	}
	n.again(t, Config{})
	n.resolve(t, "7", "1")
	if l, err := n.Layer("12", 1); err != nil || l.Name != "12" {
		t.Errorf("after a restart: %+v, %v", l, err)
	}
	if err := n.Delete(t.Context(), caller, alcove.Ref{Name: "7"}); err != nil {
		t.Fatal(err)
	}
	if n.unreadable.Load() {
		t.Error("a record could not be read")
	}
}
