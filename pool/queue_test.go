package pool

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
)

// TestCreationQueueAgainstNaive compares the queue with one that looks through
// everything each time: whose turn it is, who has none, and what fits a stock.
func TestCreationQueueAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		versions := []*alcove.Version{isolated("f"), isolated("g"), isolated("h")}
		versions[1].Generation = 2
		var holders []*holder
		for i := range 4 {
			holders = append(holders, &holder{key: fmt.Sprint(i), entries: rapid.IntRange(0, 1).Draw(t, "entries")})
		}
		var q creationQueue
		n := &naiveQueue{}
		var all []*waiter
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"push", "push", "push", "pop", "popFor", "leave"}).Draw(t, "step") {
			case "push":
				w := &waiter{
					group: &group{holder: rapid.SampledFrom(holders).Draw(t, "holder"), version: rapid.SampledFrom(versions).Draw(t, "version")},
					opts:  StartOptions{Suppressed: rapid.IntRange(0, 4).Draw(t, "suppressed") == 0},
				}
				all = append(all, w)
				q.push(w)
				n.push(w)
			case "pop":
				got, want := q.pop(), n.take(func(*waiter) bool { return true })
				if got != want {
					t.Fatalf("pop gave call %d, want %d", slices.Index(all, got), slices.Index(all, want))
				}
			case "popFor":
				v := rapid.SampledFrom(versions).Draw(t, "of")
				got := q.popFor(v)
				want := n.take(func(w *waiter) bool { return w.group.version == v && !w.opts.Suppressed })
				if got != want {
					t.Fatalf("popFor gave call %d, want %d", slices.Index(all, got), slices.Index(all, want))
				}
			case "leave":
				if len(n.calls) > 0 {
					w := n.calls[rapid.IntRange(0, len(n.calls)-1).Draw(t, "who")]
					q.remove(w)
					n.remove(w)
				}
			}
			if got, want := q.waiting, len(n.calls); got != want {
				t.Fatalf("%d wait, want %d", got, want)
			}
		}
		for want := n.take(func(*waiter) bool { return true }); want != nil; want = n.take(func(*waiter) bool { return true }) {
			if got := q.pop(); got != want {
				t.Fatalf("at the end pop gave call %d, want %d", slices.Index(all, got), slices.Index(all, want))
			}
		}
		if w := q.pop(); w != nil || len(q.lines) != 0 {
			t.Fatalf("call %d and %d lines are left", slices.Index(all, w), len(q.lines))
		}
	})
}

// naiveQueue keeps every call in order of arrival, and the order of turns apart.
type naiveQueue struct {
	calls []*waiter
	// order is whose turn comes when; those in first come before the others.
	order []*holder
	first map[*holder]bool
}

func (n *naiveQueue) push(w *waiter) {
	n.calls = append(n.calls, w)
	if h := w.group.holder; !slices.Contains(n.order, h) {
		n.order = append(n.order, h)
		if n.first == nil {
			n.first = map[*holder]bool{}
		}
		n.first[h] = h.entries == 0
	}
}

func (n *naiveQueue) remove(w *waiter) {
	n.calls = slices.DeleteFunc(n.calls, func(o *waiter) bool { return o == w })
	if !n.has(w.group.holder) {
		n.order = slices.DeleteFunc(n.order, func(h *holder) bool { return h == w.group.holder })
	}
}

func (n *naiveQueue) has(h *holder) bool {
	return slices.ContainsFunc(n.calls, func(w *waiter) bool { return w.group.holder == h })
}

// take gives the first call that fits of the holder whose turn is next.
func (n *naiveQueue) take(fits func(*waiter) bool) *waiter {
	for _, first := range []bool{true, false} {
		for i, h := range n.order {
			if n.first[h] != first {
				continue
			}
			at := slices.IndexFunc(n.calls, func(w *waiter) bool { return w.group.holder == h && fits(w) })
			if at < 0 {
				continue
			}
			w := n.calls[at]
			n.calls = slices.Delete(n.calls, at, at+1)
			n.order = slices.Delete(n.order, i, i+1)
			n.first[h] = false
			if n.has(h) {
				n.order = append(n.order, h)
			}
			return w
		}
	}
	return nil
}

// Runs that nobody waits for come after calls, and are not starved.
func TestCallsComeBeforeEvents(t *testing.T) {
	var q creationQueue
	for i := range 8 {
		for _, background := range []bool{true, false} {
			q.push(&waiter{group: &group{holder: &holder{key: fmt.Sprint(i)}, version: isolated("f")}, opts: StartOptions{Background: background}})
		}
	}
	order := ""
	for w := q.pop(); w != nil; w = q.pop() {
		if w.opts.Background {
			order += "e"
		} else {
			order += "c"
		}
	}
	if order != "cccecccecceeeeee" {
		t.Errorf("order %s", order)
	}
	if len(q.lines) != 0 || q.waiting != 0 {
		t.Errorf("%d lines and %d calls are left", len(q.lines), q.waiting)
	}
}
