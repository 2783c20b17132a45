package turns

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A party with many goroutines waits for itself: another one's turn comes after the
// slice that is under way and one more, whenever it comes.
func TestAPartysManyDoNotDelayAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := New(1)
		ctx, stop := context.WithCancel(t.Context())
		for range 100 {
			go func() {
				turn, err := turns.Begin(ctx, "many")
				for err == nil {
					time.Sleep(Slice / 2) // a piece of work
					err = turn.Pause(ctx)
				}
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
		}
		for range 20 {
			time.Sleep(3*Slice + time.Millisecond)
			began := time.Now()
			turn, err := turns.Begin(ctx, "few")
			if err != nil || time.Since(began) > 2*Slice {
				t.Fatalf("waited for %v, %v", time.Since(began), err)
			}
			turn.End()
		}
		stop()
		time.Sleep(2 * Slice)
		synctest.Wait()
		if turns.free != 1 || len(turns.next) != 0 || len(turns.waiting) != 0 {
			t.Errorf("%d free, %v wait", turns.free, turns.next)
		}
	})
}

// Whatever comes and goes: no more hold than there are processors, none is idle while
// somebody waits, and of parties that wait all the time none has two turns more than
// another.
func TestTurnsAreFair(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		processors := rapid.IntRange(1, 3).Draw(rt, "processors")
		turns := New(processors)
		type worker struct {
			turn *Turn
			wait *wait
		}
		parties := []string{"a", "b", "c", "d"}
		var holding, waiting []*worker
		served := map[string]int{}
		check := func() {
			for i := 0; i < len(waiting); i++ {
				w := waiting[i]
				select {
				case <-w.wait.ready:
					waiting = slices.Delete(waiting, i, i+1)
					holding = append(holding, w)
					served[w.turn.party]++
					i = -1
				default:
				}
			}
			if len(holding) > processors || len(holding)+turns.free != processors || turns.free > 0 && len(waiting) > 0 {
				rt.Fatalf("%d hold, %d are free, %d wait", len(holding), turns.free, len(waiting))
			}
		}
		begin := func(party string) {
			w := &worker{turn: &Turn{of: turns, party: party, held: true}}
			if w.wait = turns.take(party); w.wait == nil {
				holding = append(holding, w)
			} else {
				waiting = append(waiting, w)
			}
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				begin(rapid.SampledFrom(parties).Draw(rt, "party"))
			case 2:
				if len(holding) > 0 {
					i := rapid.IntRange(0, len(holding)-1).Draw(rt, "who")
					holding[i].turn.End()
					holding = slices.Delete(holding, i, i+1)
				}
			case 3:
				if len(waiting) > 0 {
					i := rapid.IntRange(0, len(waiting)-1).Draw(rt, "who")
					turns.leave(waiting[i].wait)
					waiting = slices.Delete(waiting, i, i+1)
				}
			}
			check()
		}
		for _, p := range parties { // from here on all of them wait all the time
			for range 30 {
				begin(p)
			}
		}
		check()
		clear(served)
		for range 40 {
			holding[0].turn.End()
			holding = holding[1:]
			check()
		}
		most, least := 0, 40
		for _, p := range parties {
			most, least = max(most, served[p]), min(least, served[p])
		}
		if most-least > 1 {
			rt.Fatalf("turns of parties that all wait: %v", served)
		}
	})
}
