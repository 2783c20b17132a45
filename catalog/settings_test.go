package catalog

import (
	"fmt"
	"maps"
	"testing"

	"github.com/alcove-run/alcove"
)

func TestReservedConcurrency(t *testing.T) {
	for _, tt := range []struct{ account, ok, refused, least int }{
		{1000, 900, 901, 100},
		{100, 90, 91, 10},
		{10, 9, 10, 1},
		{2000, 1900, 1901, 100},
	} {
		t.Run(fmt.Sprint(tt.account), func(t *testing.T) {
			n := begin(t, Config{Concurrency: tt.account})
			ctx := t.Context()
			n.made(t, "f")
			before := n.made(t, "g")
			text := fmt.Sprintf("Specified ReservedConcurrentExecutions for function decreases account's "+
				"UnreservedConcurrentExecution below its minimum value of [%d].", tt.least)
			want(t, n.SetReserved(ctx, caller, "f", &tt.refused), alcove.CodeInvalidParameterValue, text)
			if err := n.SetReserved(ctx, caller, "f", &tt.ok); err != nil {
				t.Fatal(err)
			}
			if n.Unreserved() != tt.least {
				t.Errorf("unreserved is %d, want %d", n.Unreserved(), tt.least)
			}
			one, zero := 1, 0
			want(t, n.SetReserved(ctx, caller, "g", &one), alcove.CodeInvalidParameterValue, text)
			if err := n.SetReserved(ctx, caller, "g", &zero); err != nil {
				t.Errorf("none for a function: %v", err)
			}
			if f, err := n.Function("g"); err != nil || f.Reserved == nil || *f.Reserved != 0 {
				t.Errorf("reserved is %+v, %v", f, err)
			}
			// The limit was lowered meanwhile: less is right, more is not.
			n.again(t, Config{Concurrency: tt.account / 2})
			if n.Unreserved() != 0 {
				t.Errorf("unreserved of a lower limit is %d", n.Unreserved())
			}
			less := tt.ok - 1
			if err := n.SetReserved(ctx, caller, "f", &less); err != nil {
				t.Errorf("less than before: %v", err)
			}
			if err := n.SetReserved(ctx, caller, "f", nil); err != nil {
				t.Fatal(err)
			}
			if f, err := n.Function("f"); err != nil || f.Reserved != nil || n.Unreserved() != tt.account/2 {
				t.Errorf("taken away: %+v, %v, unreserved %d", f, err, n.Unreserved())
			}
			// It is the function's, not a version's.
			if v := n.settled(t, "g"); v.RevisionID != before.RevisionID {
				t.Error("reserving made a revision of $LATEST")
			}
		})
	}
}

func TestTags(t *testing.T) {
	n := begin(t, Config{})
	ctx := t.Context()
	many := make(map[string]string)
	for i := range alcove.MaxTags {
		many[fmt.Sprint("key", i)] = "value"
	}
	first := maps.Clone(many)
	if _, err := n.Create(ctx, caller, CreateInput{Name: "f", Config: config(""), Zip: makeZip("f"), Tags: first}); err != nil {
		t.Fatal(err)
	}
	clear(first) // the caller's own
	const text = "Number of tags exceeds resource tag limit."
	want(t, n.SetTags(ctx, caller, "f", map[string]string{"one": "more"}, nil), alcove.CodeInvalidParameterValue, text)
	if err := n.SetTags(ctx, caller, "f", map[string]string{"key1": "new", "one": "more"}, []string{"key0", "not there"}); err != nil {
		t.Fatal(err)
	}
	delete(many, "key0")
	many["key1"], many["one"] = "new", "more"
	n.again(t, Config{})
	if f, err := n.Function("f"); err != nil || !maps.Equal(f.Tags, many) {
		t.Errorf("tags are %v, %v", f.Tags, err)
	}
	many["too"] = "many"
	_, err := n.Create(ctx, caller, CreateInput{Name: "g", Config: config(""), Zip: makeZip("g"), Tags: many})
	want(t, err, alcove.CodeInvalidParameterValue, text)
	if err := n.SetTags(ctx, caller, "g", nil, nil); err == nil {
		t.Error("tags of a function that is not there were set")
	}
}

func TestCodeStorage(t *testing.T) {
	zip := makeZip("f")
	n := begin(t, Config{CodeStorage: 2*zip.Code().Size + 1})
	n.made(t, "f")
	n.made(t, "g")
	if bytes, functions := n.Totals(); bytes != 2*zip.Code().Size || functions != 2 {
		t.Errorf("totals are %d bytes of %d functions", bytes, functions)
	}
	_, err := n.Create(t.Context(), caller, CreateInput{Name: "h", Config: config(""), Zip: zip})
	want(t, err, alcove.CodeCodeStorageExceeded, "Code storage limit exceeded.")
}

func TestMarkersArePlaces(t *testing.T) {
	n := begin(t, Config{})
	for _, name := range []string{"b", "a", "c", "B"} {
		n.made(t, name)
	}
	first, next, err := n.List("", 2, false)
	if err != nil || len(first) != 2 || first[0].Name != "B" || first[1].Name != "a" || next == "" {
		t.Fatalf("first page is %v, %q, %v", first, next, err)
	}
	// What it ended with goes; what comes is in its place.
	if err := n.Delete(t.Context(), caller, alcove.Ref{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	n.made(t, "A")
	n.made(t, "bb")
	rest, next, err := n.List(next, 10, false)
	if err != nil || len(rest) != 3 || rest[0].Name != "b" || rest[1].Name != "bb" || rest[2].Name != "c" || next != "" {
		t.Errorf("second page is %v, %q, %v", rest, next, err)
	}
	for _, bad := range []string{"x", "!", "YQ", makeMarker("a", 1) + "=", makeMarker("a", -2)} {
		_, _, err := n.List(bad, 10, false)
		want(t, err, alcove.CodeInvalidParameterValue, "The marker is not valid.")
	}
	_, _, err = n.ListVersions("b", makeMarker("c", 0), 10)
	want(t, err, alcove.CodeInvalidParameterValue, "The marker is not valid.")
	_, _, err = n.ListVersions("a", "", 10)
	want(t, err, alcove.CodeResourceNotFound, "Function not found: arn:aws:lambda:us-east-1:000000000000:function:a")
}

func FuzzMarker(f *testing.F) {
	for _, s := range []string{"", makeMarker("f", 0), makeMarker("f", 12), "YQ", "!", makeMarker("a/b", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, marker string) {
		name, at, err := parseMarker(marker)
		if err == nil && marker != "" && makeMarker(name, at) != marker {
			t.Errorf("%q and %q are one place", marker, makeMarker(name, at))
		}
	})
}

func TestStockIsKeptUntilItsFunctionGoes(t *testing.T) {
	n := begin(t, Config{})
	ctx := t.Context()
	n.made(t, "ordinary")
	want(t, n.SetStock(ctx, caller, "ordinary", &alcove.Stock{Min: 1}), alcove.CodeInvalidParameterValue,
		"Function ordinary is not enabled with tenancy configuration. A stock waits for tenants.")
	make := func() {
		t.Helper()
		c := config("")
		c.Tenancy = alcove.PerTenant
		if _, err := n.Create(ctx, caller, CreateInput{Name: "f", Config: c, Zip: makeZip("f")}); err != nil {
			t.Fatal(err)
		}
		n.settled(t, "f")
	}
	is := func(want *alcove.Stock) {
		t.Helper()
		if f, err := n.Function("f"); err != nil || !f.Stock.Same(want) {
			t.Errorf("the stock is %v, %v, want %v", f.Stock, err, want)
		}
	}
	make()
	var told []Change
	cancel := n.Subscribe(func(c Change) { told = append(told, c) })
	most := 4
	s := &alcove.Stock{Min: 2, Max: &most}
	if err := n.SetStock(ctx, caller, "f", s); err != nil {
		t.Fatal(err)
	}
	if err := n.SetStock(ctx, caller, "f", s); err != nil { // the same again
		t.Fatal(err)
	}
	most = 5 // the caller's own
	cancel()
	if len(told) != 1 || told[0].Name != "f" || told[0].Number != alcove.Latest || told[0].Deleted {
		t.Errorf("subscribers were told %+v, want one change of $LATEST", told)
	}
	most = 4
	is(s)
	n.again(t, Config{})
	is(s)
	five := -5
	want(t, n.SetStock(ctx, caller, "f", &alcove.Stock{Max: &five}), alcove.CodeInvalidParameterValue,
		"Value -5 at 'max' failed to satisfy constraint: Member must be between 0 and 1000")
	is(s)
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f"}); err != nil {
		t.Fatal(err)
	}
	make()
	is(nil)
	if err := n.SetStock(ctx, caller, "f", &alcove.Stock{Min: 1}); err != nil {
		t.Fatal(err)
	}
	if err := n.SetStock(ctx, caller, "f", nil); err != nil {
		t.Fatal(err)
	}
	is(nil)
}
