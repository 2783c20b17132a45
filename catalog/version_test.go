package catalog

import (
	"errors"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
)

func TestPublish(t *testing.T) {
	n := begin(t, Config{})
	ctx := t.Context()
	latest := n.made(t, "f")
	words := "first version"

	_, err := n.Publish(ctx, caller, "f", PublishInput{RevisionID: "wrong"})
	want(t, err, alcove.CodePreconditionFailed, revText)
	_, err = n.Publish(ctx, caller, "f", PublishInput{CodeSHA256: "wrong"})
	want(t, err, alcove.CodeInvalidParameterValue, "CodeSHA256 (wrong) is different from current CodeSHA256 in $LATEST ("+
		latest.Code.Digest()+"). Please try again with the CodeSHA256 in $LATEST.")
	_, err = n.Publish(ctx, caller, "nothing", PublishInput{})
	want(t, err, alcove.CodeResourceNotFound, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nothing")

	one, err := n.Publish(ctx, caller, "f", PublishInput{Description: &words, CodeSHA256: latest.Code.Digest(), RevisionID: latest.RevisionID})
	if err != nil {
		t.Fatal(err)
	}
	if states(one) != "1 Active  Successful " || one.Config.Description != words || one.Code != latest.Code ||
		one.FunctionID != latest.FunctionID || one.RevisionID == latest.RevisionID {
		t.Errorf("version 1 is %q: %+v", states(one), one)
	}
	now := n.settled(t, "f")
	if now.RevisionID == latest.RevisionID || now.Config.Description != "" || now.Generation != latest.Generation {
		t.Errorf("$LATEST after publishing is %+v", now)
	}
	same, err := n.Publish(ctx, caller, "f", PublishInput{})
	if err != nil || same.Number != "1" || same.RevisionID != one.RevisionID {
		t.Errorf("publishing what is published: %+v, %v", same, err)
	}
	if _, err := n.UpdateConfiguration(ctx, caller, "f", "", describe("second")); err != nil {
		t.Fatal(err)
	}
	n.settled(t, "f")
	two, err := n.Publish(ctx, caller, "f", PublishInput{})
	if err != nil || two.Number != "2" || two.Config.Description != "second" {
		t.Errorf("version 2 is %+v, %v", two, err)
	}
	if v := n.resolve(t, "f", "1"); v.Config.Description != words || v.RevisionID != one.RevisionID {
		t.Errorf("version 1 became %+v", v)
	}

	// A number is never used again, be its version deleted or not.
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f", Qualifier: "2"}); err != nil {
		t.Fatal(err)
	}
	_, err = n.Resolve(alcove.Ref{Name: "f", Qualifier: "2"})
	want(t, err, alcove.CodeResourceNotFound, "Function not found: "+arnF+":2")
	three, err := n.Publish(ctx, caller, "f", PublishInput{})
	if err != nil || three.Number != "3" {
		t.Errorf("published after a deletion: %+v, %v", three, err)
	}
	n.again(t, Config{})
	if f, err := n.Function("f"); err != nil || f.LastVersion != 3 {
		t.Errorf("after a restart: %+v, %v", f, err)
	}
	if v := n.resolve(t, "f", "1"); v.Config.Description != words || v.RevisionID != one.RevisionID {
		t.Errorf("version 1 came back as %+v", v)
	}
}

func TestPublishWithCreateAndUpdate(t *testing.T) {
	g := newGate()
	n := begin(t, Config{Prepare: g.prepare})
	ctx := t.Context()
	v, err := n.Create(ctx, caller, CreateInput{Name: "f", Config: config(""), Zip: makeZip("1"), Publish: true})
	if err != nil || states(v) != "1 Pending Creating  " {
		t.Fatalf("Create with Publish answers %+v, %v", v, err)
	}
	if v := <-g.asked; v.Number != "1" {
		t.Errorf("Prepare is asked for %s first", v.Number)
	}
	n.again(t, Config{Prepare: g.prepare}) // it is driven on
	if v := n.resolve(t, "f", "1"); states(v) != "1 Pending Creating  " {
		t.Errorf("after a restart version 1 is %q", states(v))
	}
	for range 2 {
		<-g.asked
		g.let <- nil
	}
	n.settled(t, "f")
	if v := n.resolve(t, "f", "1"); states(v) != "1 Active  Successful " {
		t.Errorf("version 1 is %q", states(v))
	}

	v, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("2"), Publish: true})
	if err != nil || states(v) != "2 Pending Creating  " {
		t.Fatalf("UpdateCode with Publish answers %+v, %v", v, err)
	}
	if v, err := n.Describe(alcove.Ref{Name: "f"}); err != nil || states(v) != "$LATEST Active  InProgress Creating" {
		t.Errorf("$LATEST is then %q, %v", states(v), err)
	}
	<-g.asked
	g.let <- errors.New("no")
	<-g.asked
	g.let <- nil
	n.settled(t, "f")
	if v := n.resolve(t, "f", "2"); states(v) != "2 Failed InternalError Failed InternalError" {
		t.Errorf("version 2, which cannot run, is %q", states(v))
	}
	v, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("2"), Publish: true})
	if err != nil || v.Number != "2" {
		t.Errorf("UpdateCode with the code that is published answers %+v, %v", v, err)
	}
	<-g.asked // version 2 is as it is; $LATEST is asked for
	g.let <- nil
	n.settled(t, "f")
}

func TestDelete(t *testing.T) {
	n := begin(t, Config{})
	ctx := t.Context()
	n.made(t, "f")
	want(t, n.Delete(ctx, caller, alcove.Ref{Name: "f", Qualifier: alcove.Latest}), alcove.CodeInvalidParameterValue,
		"$LATEST version cannot be deleted without deleting the function.")
	want(t, n.Delete(ctx, caller, alcove.Ref{Name: "f", Qualifier: "live"}), alcove.CodeInvalidParameterValue,
		"Deletion of aliases is not currently supported.")
	want(t, n.Delete(ctx, caller, alcove.Ref{Name: "g", Qualifier: "7"}), alcove.CodeResourceNotFound,
		"Function not found: arn:aws:lambda:us-east-1:000000000000:function:g")
	for range 2 { // recorded
		if err := n.Delete(ctx, caller, alcove.Ref{Name: "f", Qualifier: "1233"}); err != nil {
			t.Errorf("a version that is not there: %v", err)
		}
	}
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f"}); err != nil {
		t.Fatal(err)
	}
	want(t, n.Delete(ctx, caller, alcove.Ref{Name: "f"}), alcove.CodeResourceNotFound, "Function not found: "+arnF)
	if bytes, functions := n.Totals(); bytes != 0 || functions != 0 {
		t.Errorf("left are %d bytes of %d functions", bytes, functions)
	}
}

func TestNotFound(t *testing.T) {
	n := begin(t, Config{})
	n.made(t, "f")
	for _, ref := range []alcove.Ref{{Name: "g"}, {Name: "g", Qualifier: "$LATEST"}, {Name: "f", Qualifier: "1"},
		{Name: "f", Qualifier: "01"}, {Name: "f", Qualifier: "live"}, {Name: "f", Qualifier: "$latest"}} {
		for _, get := range []func(alcove.Ref) (*alcove.Version, error){n.Resolve, n.Describe} {
			_, err := get(ref)
			arn := place.FunctionARN(ref.Name) + strings.TrimSuffix(":"+ref.Qualifier, ":")
			want(t, err, alcove.CodeResourceNotFound, "Function not found: "+arn)
		}
	}
	_, err := n.Function("g")
	want(t, err, alcove.CodeResourceNotFound, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:g")
}
