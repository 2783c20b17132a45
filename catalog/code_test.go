package catalog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alcove-run/alcove"
)

// stored says whether a package is on the disk.
func (n *node) stored(sha string) bool {
	f, err := n.art.OpenZip(sha)
	if err == nil {
		_ = f.Close()
	}
	return err == nil
}

func TestPackagesGoWithTheirVersions(t *testing.T) {
	var inUse sync.Map
	n := begin(t, Config{CodeInUse: func(sha string) bool { _, ok := inUse.Load(sha); return ok }})
	ctx := t.Context()
	one := n.made(t, "f").Code.SHA256
	shared := n.made(t, "g") // its own
	if _, err := n.Create(ctx, caller, CreateInput{Name: "h", Config: config(""), Zip: makeZip("g")}); err != nil {
		t.Fatal(err)
	}
	n.settled(t, "h")
	if _, err := n.Publish(ctx, caller, "f", PublishInput{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("two")}); err != nil {
		t.Fatal(err)
	}
	two := n.settled(t, "f").Code.SHA256
	if _, err := n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("three")}); err != nil {
		t.Fatal(err)
	}
	three := n.settled(t, "f").Code.SHA256
	poll(t, "the package between is removed", func() bool { return !n.stored(two) })
	if !n.stored(one) || !n.stored(three) {
		t.Fatal("a package of a version is removed")
	}
	inUse.Store(one, true)
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f", Qualifier: "1"}); err != nil {
		t.Fatal(err)
	}
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	// A sweep that has come by removes this one.
	marker := n.made(t, "marker").Code.SHA256
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "marker"}); err != nil {
		t.Fatal(err)
	}
	poll(t, "a sweep", func() bool { return !n.stored(marker) })
	if !n.stored(one) {
		t.Error("a package was removed under an environment")
	}
	if !n.stored(shared.Code.SHA256) {
		t.Error("a package that another function has was removed")
	}
	inUse.Delete(one)
	poll(t, "the package is removed once its environments are gone", func() bool { return !n.stored(one) })
}

func TestPackagesOfNobodyGoAtStart(t *testing.T) {
	n := begin(t, Config{})
	kept := n.made(t, "f").Code
	lost, err := n.art.Put(t.Context(), makeZip("of a process that was killed"))
	if err != nil {
		t.Fatal(err)
	}
	n.again(t, Config{CodeInUse: func(string) bool { t.Error("asked what is in use before anything runs"); return true }})
	poll(t, "the package of nobody is removed", func() bool { return !n.stored(lost.SHA256) })
	if !n.stored(kept.SHA256) {
		t.Error("a package of a version is removed")
	}
}

// Functions come and go with the same packages while sweeps run.
func TestPackagesStayWhileTheyComeAndGo(t *testing.T) {
	n := begin(t, Config{})
	var failed atomic.Int32
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 15 {
				name := fmt.Sprintf("f%d-%d", w, i)
				_, err := n.Create(t.Context(), caller, CreateInput{Name: name, Config: config(""), Zip: makeZip(fmt.Sprint(i % 2))})
				if err != nil {
					t.Error(err)
					return
				}
				v := n.resolve(t, name, "")
				if _, err := n.art.Tree(t.Context(), v.Code); err != nil || !n.stored(v.Code.SHA256) {
					failed.Add(1)
				}
				if err := n.Delete(t.Context(), caller, alcove.Ref{Name: name}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d functions had no package", failed.Load())
	}
}
