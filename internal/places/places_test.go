package places

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestNobodyIsKeptFromHisFew compares with a list of who has what, in order.
func TestNobodyIsKeptFromHisFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type taken struct {
			who   string
			place *Place
		}
		room := rapid.IntRange(1, 12).Draw(t, "room")
		p := New(room)
		var all []*taken
		count := func(who string) (n int) {
			for _, k := range all {
				if k.who == who {
					n++
				}
			}
			return n
		}
		remove := func(k *taken) { all = slices.DeleteFunc(all, func(o *taken) bool { return o == k }) }
		most := func() (n int) {
			for _, k := range all {
				n = max(n, count(k.who))
			}
			return n
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0: // one goes, or one that was lost
				if len(all) > 0 {
					k := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
					k.place.Leave()
					k.place.Leave()
					remove(k)
				}
			case 1:
				if len(all) > 0 {
					k := all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
					k.place.Touch()
					remove(k)
					all = append(all, k)
				}
			default:
				who := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "who")
				k := &taken{who: who}
				before, had, largest := len(all), count(who), most()
				k.place = p.Take(who, func() {})
				switch {
				case before < room && k.place == nil:
					t.Fatalf("%s has none of %d, of which %d are taken", who, room, before)
				case before == room && (k.place != nil) != (largest >= had+2):
					t.Fatalf("%s with %d is given %v, where somebody has %d", who, had, k.place != nil, largest)
				}
				if k.place == nil {
					continue
				}
				if before == room { // somebody with most has lost his oldest
					i := slices.IndexFunc(all, func(o *taken) bool { return o.place.at == nil })
					if i < 0 || count(all[i].who) != largest {
						t.Fatalf("the one that was lost is not of somebody with %d", largest)
					}
					if first := slices.IndexFunc(all, func(o *taken) bool { return o.who == all[i].who }); first != i {
						t.Fatal("the one that was lost is not the oldest")
					}
					remove(all[i])
				}
				all = append(all, k)
			}
			if p.Taken() != len(all) || len(all) > room {
				t.Fatalf("%d are taken, of %d; want %d", p.Taken(), room, len(all))
			}
		}
		for _, k := range all {
			k.place.Leave()
		}
		if p.Taken() != 0 || len(p.have) != 0 {
			t.Fatalf("left: %d, %v", p.Taken(), p.have)
		}
	})
}

// TestWhoeverLosesIsTold, once, and his leaving takes nothing of anybody.
func TestWhoeverLosesIsTold(t *testing.T) {
	p := New(2)
	told := 0
	a := p.Take("a", func() { told++ })
	p.Take("a", func() { t.Error("the newer one is lost") })
	b := p.Take("b", nil)
	if told != 1 || b == nil {
		t.Fatalf("told %d times; %v", told, b)
	}
	a.Touch()
	a.Leave()
	if p.Take("c", nil) != nil || p.Take("a", nil) != nil {
		t.Error("what was lost is given back")
	}
}
