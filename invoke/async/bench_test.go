package async

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

// benchmark is a queue on a real disk whose functions do what run says.
func benchmark(b *testing.B, run func(caller alcove.Caller, req invoke.Request) (*alcove.Result, error)) *bench {
	n := newBench(b)
	n.limits.Events, n.limits.PartyEvents = 1<<30, 1<<30
	n.limits.Bytes, n.limits.PartyBytes = 1<<40, 1<<40
	n.run = run
	q, err := Open(n.config())
	if err != nil {
		b.Fatal(err)
	}
	n.q = q
	b.Cleanup(func() { _ = q.Close(context.Background()) })
	return n
}

func (n *bench) send(i int) error {
	_, _, err := n.q.Accept(context.Background(), alcove.Caller{ARN: "caller"}, invoke.Request{Ref: alcove.Ref{Name: "f"},
		Tenant: alcove.Tenant(fmt.Sprint("tenant ", i%1000)), Payload: []byte(`{"order": 12345, "items": ["a", "b"], "note": "about a hundred bytes of JSON, as events have them"}`)})
	return err
}

// Accepted and synced events, by how many send at once: nothing runs meanwhile.
func BenchmarkAccept(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			n := benchmark(b, nil)
			var senders sync.WaitGroup
			b.ResetTimer()
			for c := range clients {
				senders.Go(func() {
					for i := c; i < b.N; i += clients {
						if err := n.send(i); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			senders.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(n.q.spool.Stats().Syncs)/float64(b.N), "syncs/event")
		})
	}
}

// From the moment that an event is accepted to the one that its function gets it,
// on a node that does nothing else; and how fast a backlog drains whose functions
// take no time.
func BenchmarkStart(b *testing.B) {
	began := make(chan time.Time, 1)
	n := benchmark(b, func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
		req.Event.Begin()
		began <- time.Now()
		return &alcove.Result{}, nil
	})
	n.q.Start()
	var sum time.Duration
	count := 0
	for b.Loop() {
		if err := n.send(1); err != nil {
			b.Fatal(err)
		}
		accepted := time.Now()
		sum += max(0, (<-began).Sub(accepted))
		count++
	}
	b.ReportMetric(float64(sum.Microseconds())/float64(count), "µs-after-202")
}

func BenchmarkDrain(b *testing.B) {
	var ran sync.WaitGroup
	n := benchmark(b, func(_ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
		req.Event.Begin()
		ran.Done()
		return &alcove.Result{}, nil
	})
	ran.Add(b.N)
	var senders sync.WaitGroup
	for c := range 64 {
		senders.Go(func() {
			for i := c; i < b.N; i += 64 {
				if err := n.send(i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	senders.Wait()
	b.ResetTimer()
	n.q.Start()
	ran.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// Memory of an event that waits, of a million in ten thousand lanes.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		q := &Queue{items: newTable()}
		l := newList()
		const million = 1_000_000
		for range million {
			i := q.items.make()
			q.items.at(i).stage = stageReady
			l.push(&q.items, i)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/million, "B/event")
		runtime.KeepAlive(q)
	}
}
