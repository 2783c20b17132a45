package catalog

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

func fill(b testing.TB, n *node, functions int) {
	for i := range functions {
		_, err := n.Create(context.Background(), caller, CreateInput{Name: fmt.Sprint("function-", i), Config: config(""), Zip: makeZip("same")})
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := range functions {
		n.settled(b, fmt.Sprint("function-", i))
	}
}

// TestResolveAllocatesNothing holds the promise of the hot path.
func TestResolveAllocatesNothing(t *testing.T) {
	n := begin(t, Config{})
	n.made(t, "f")
	if _, err := n.Publish(t.Context(), caller, "f", PublishInput{}); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []alcove.Ref{{Name: "f"}, {Name: "f", Qualifier: alcove.Latest}, {Name: "f", Qualifier: "1"}} {
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := n.Resolve(ref); err != nil {
				t.Error(err)
			}
			if _, err := n.Function(ref.Name); err != nil {
				t.Error(err)
			}
			_ = n.Unreserved()
		})
		if allocs != 0 {
			t.Errorf("%+v: %v allocations", ref, allocs)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	n := begin(b, Config{})
	fill(b, n, 1000)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ref := alcove.Ref{Name: "function-500"}
		for pb.Next() {
			if _, err := n.Resolve(ref); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	n := begin(b, Config{})
	zip, i := makeZip("same"), 0
	for b.Loop() {
		i++
		_, err := n.Create(b.Context(), caller, CreateInput{Name: fmt.Sprint("f", i), Config: config(""), Zip: zip})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen1000(b *testing.B) {
	n := begin(b, Config{})
	fill(b, n, 1000)
	for b.Loop() {
		b.StopTimer()
		if err := n.stopAll(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		next, err := start(n.dir, Config{}, time.Millisecond)
		if err != nil {
			b.Fatal(err)
		}
		*n = *next
	}
}
