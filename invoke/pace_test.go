package invoke

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
)

// once is an invocation that is answered at once.
func once(_ int, answered func()) { answered() }

// TestHereCounts: how many a tenant has is told with each, those that wait included,
// and forgotten with the last.
func TestHereCounts(t *testing.T) {
	p := newPace()
	one, other := paced{tenant: "one"}, paced{tenant: "other"}
	var answered []func()
	for want := 1; want <= 3; want++ {
		here, a := p.begin(one)
		if answered = append(answered, a); here != want {
			t.Errorf("%d, want %d", here, want)
		}
	}
	if here, a := p.begin(other); here != 1 {
		t.Errorf("another tenant has %d", here)
	} else {
		a()
	}
	answered[0]()
	if here, a := p.begin(one); here != 3 {
		t.Errorf("after an answer: %d", here)
	} else {
		a()
	}
	answered[1]()
	answered[2]()
	if len(p.lanes) != 0 {
		t.Errorf("%d lanes are left", len(p.lanes))
	}
}

// TestABurstBeginsFewAtATime: while others are about, a tenant that sends many at
// once has few beginning, and another's begins at once.
func TestABurstBeginsFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		p.abreast = 4
		flood, quiet := paced{tenant: "flood"}, paced{tenant: "quiet"}
		once(p.begin(quiet))
		began := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		for range 10 { // never answered
			go func() {
				p.begin(flood)
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Since(began))
			}()
		}
		synctest.Wait()
		if len(at) != 4 {
			t.Errorf("%d have begun at once, want 4", len(at))
		}
		once(p.begin(quiet))
		if waited := time.Since(began); waited != 0 {
			t.Errorf("another tenant's waited for %v", waited)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(at) != 10 || at[4] != beginTime || at[7] != beginTime || at[9] != 2*beginTime {
			t.Errorf("begun at %v", at)
		}
	})
}

// TestAnAnswerLetsTheNextBegin: in the order of their arrival.
func TestAnAnswerLetsTheNextBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		p.abreast = 1
		flood := paced{tenant: "flood"}
		once(p.begin(paced{tenant: "quiet"}))
		began := time.Now()
		var order []int
		for i := range 5 {
			go func() {
				_, answered := p.begin(flood)
				order = append(order, i)
				time.Sleep(100 * time.Microsecond)
				answered()
			}()
			synctest.Wait()
		}
		time.Sleep(5 * 100 * time.Microsecond)
		synctest.Wait()
		for i, n := range order {
			if i != n {
				t.Fatalf("begun in the order %v", order)
			}
		}
		if len(order) != 5 || len(p.lanes) != 0 {
			t.Errorf("%d have begun after %v, %d lanes are left", len(order), time.Since(began), len(p.lanes))
		}
	})
}

// TestWhoIsAloneWaitsForNothing, and so does who comes when others have gone.
func TestWhoIsAloneWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		p.abreast = 1
		began := time.Now()
		for range 10 {
			p.begin(paced{tenant: "alone"})
		}
		once(p.begin(paced{function: "f-1"}))
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited for %v", waited)
		}
		time.Sleep(about)
		began = time.Now()
		for range 10 {
			p.begin(paced{tenant: "alone"})
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited for %v when others had gone", waited)
		}
	})
}

// TestPaceAtRandom: whatever comes, each begins once, no more of a tenant are
// beginning than may while others are about, and nothing is left.
func TestPaceAtRandom(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			p := newPace()
			p.abreast = 1 + r.IntN(4)
			var all sync.WaitGroup
			for range 300 {
				who := paced{tenant: alcove.Tenant(rune('a' + r.IntN(1+r.IntN(4))))}
				pause, takes := time.Duration(r.IntN(400))*time.Microsecond, time.Duration(r.IntN(6000))*time.Microsecond
				all.Go(func() {
					_, answered := p.begin(who)
					time.Sleep(takes)
					answered()
				})
				time.Sleep(pause)
				synctest.Wait()
				p.mu.Lock()
				for who, l := range p.lanes {
					if now := time.Now(); len(l.waiting) > 0 {
						l.expire(now)
						if len(l.beginning) < p.abreast {
							t.Errorf("%v: %d wait though only %d are beginning", who, len(l.waiting), len(l.beginning))
						}
					}
				}
				p.mu.Unlock()
			}
			all.Wait()
			if len(p.lanes) != 0 {
				t.Errorf("seed %d: %d lanes are left", seed, len(p.lanes))
			}
		})
	}
}
