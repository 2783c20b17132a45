package catalog

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/store"
)

// When the storage engine was replaced the bucket is read anew: what is not
// there any more is gone, what changed has changed, all else is left alone.
func TestRoundsReplaceEachOther(t *testing.T) {
	c := &Catalog{cfg: Config{Place: place, Concurrency: 1000}}
	c.view.Store(&view{})
	c.follower.init(c)
	var h heard
	c.Subscribe(h.change)
	put := func(revision uint64, key string, value any) {
		b, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		c.follower.event(store.Event{Kind: store.Put, Entry: store.Entry{Key: key, Value: b, Revision: revision}})
	}
	function := func(name string, generation int64, last int) *record {
		r := &record{Schema: recordSchema, Function: alcove.Function{ID: "id-" + name, Name: name, LastVersion: last}}
		r.Latest = alcove.Version{FunctionID: "id-" + name, Name: name, Number: alcove.Latest, Generation: generation,
			State: alcove.StateActive, Code: alcove.Code{Size: 10}}
		return r
	}
	version := func(name, number string) *alcove.Version {
		return &alcove.Version{FunctionID: "id-" + name, Name: name, Number: number, State: alcove.StateActive, Code: alcove.Code{Size: 1}}
	}
	mark := func(kind store.EventKind) { c.follower.event(store.Event{Kind: kind}) }
	check := func(what string, bytes int64, functions int) {
		t.Helper()
		if b, f := c.Totals(); b != bytes || f != functions {
			t.Errorf("%s: %d bytes of %d functions, want %d of %d", what, b, f, bytes, functions)
		}
	}

	mark(store.Begin)
	put(1, versionKey("id-a", "1"), version("a", "1"))
	put(2, versionKey("id-a", "2"), version("a", "2")) // not counted by its function
	put(3, functionKey("a"), function("a", 1, 1))
	put(4, functionKey("b"), function("b", 1, 0))
	put(5, functionKey("c"), function("c", 1, 0))
	check("before the first round is complete", 0, 0)
	mark(store.Current)
	check("first round", 31, 3)
	if o := c.follower.orphans; len(o) != 1 || o[0].Key != "version/id-a/2" || o[0].Revision != 2 {
		t.Errorf("orphans are %+v", o)
	}
	kept := c.view.Load().functions["b"]

	mark(store.Begin)
	put(4, functionKey("b"), function("b", 1, 0))
	check("within the second round", 31, 3)
	put(6, functionKey("a"), function("a", 2, 1))
	mark(store.Current)
	check("second round", 20, 2)
	if c.view.Load().functions["b"] != kept {
		t.Error("what did not change was made anew")
	}
	if _, err := c.Resolve(alcove.Ref{Name: "a", Qualifier: "1"}); err == nil {
		t.Error("a version that is gone is resolved")
	}
	heardAll := map[string]bool{}
	for _, s := range h.take() {
		heardAll[s] = true
	}
	for _, s := range []string{"a:$LATEST g2", "a:1 g0 deleted", "c:$LATEST g1 deleted"} {
		if !heardAll[s] {
			t.Errorf("nobody heard %q", s)
		}
	}
	if len(heardAll) != 3 {
		t.Errorf("heard %v", heardAll)
	}
}

// Records of a later program are left alone, and so is all that they may need.
func TestUnreadableRecordsAreLeftAlone(t *testing.T) {
	n := begin(t, Config{})
	ctx := t.Context()
	v := n.made(t, "f")
	if _, err := n.Publish(ctx, caller, "f", PublishInput{}); err != nil {
		t.Fatal(err)
	}
	later := []byte(`{"schema":2,"function":{"id":"` + v.FunctionID + `","name":"f"}}`)
	if _, err := n.bucket.Put(ctx, functionKey("f"), later); err != nil {
		t.Fatal(err)
	}
	n.again(t, Config{})
	_, err := n.Resolve(alcove.Ref{Name: "f"})
	want(t, err, alcove.CodeResourceNotFound, "Function not found: "+arnF)
	_, err = n.Create(ctx, caller, CreateInput{Name: "f", Config: config(""), Zip: makeZip("other")})
	want(t, err, conflict, "Function already exist: f")
	n.made(t, "g") // the rest works

	n.sweep(func(string) bool { return false })
	if !n.stored(v.Code.SHA256) {
		t.Error("its package was removed")
	}
	for _, key := range []string{functionKey("f"), versionKey(v.FunctionID, "1")} {
		if _, err := n.bucket.Get(ctx, key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// What cannot be written is nobody's fault but the platform's, and leaves nothing.
func TestWriteThatIsRefused(t *testing.T) {
	n := begin(t, Config{})
	v := n.made(t, "f")
	if err := n.stopAll(); err != nil {
		t.Fatal(err)
	}
	full, err := startReserve(n.dir, Config{}, time.Millisecond, 1<<60)
	if err != nil {
		t.Fatal(err)
	}
	*n = *full
	for what, err := range map[string]error{
		"Create": func() error {
			_, err := n.Create(t.Context(), caller, CreateInput{Name: "g", Config: config(""), Zip: makeZip("g"), Publish: true})
			return err
		}(),
		"UpdateCode": func() error {
			_, err := n.UpdateCode(t.Context(), caller, "f", UpdateCodeInput{Zip: makeZip("g")})
			return err
		}(),
		"Delete": n.Delete(t.Context(), caller, alcove.Ref{Name: "f"}),
	} {
		e, ok := errors.AsType[*alcove.Error](err)
		if !ok || e.Fault != alcove.FaultPlatform || !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now := n.resolve(t, "f", ""); now.RevisionID != v.RevisionID || now.Code != v.Code {
		t.Errorf("f became %+v", now)
	}
	if _, functions := n.Totals(); functions != 1 {
		t.Errorf("there are %d functions", functions)
	}
	poll(t, "the package is removed", func() bool { return !n.stored(makeZip("g").Code().SHA256) })
}
