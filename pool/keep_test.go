package pool

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
)

// visit has tenant call v once.
func visit(t *testing.T, p *Pool, v *alcove.Version, tenant alcove.Tenant) *fake {
	t.Helper()
	env := lease(t, p, v, tenant)
	invoke(t, env, v, tenant)
	return env.(*fake)
}

func TestEnvironmentsAreKeptByTheirTenantsHabit(t *testing.T) {
	for _, c := range []struct {
		every       time.Duration
		least, most time.Duration // from the last visit to the end
	}{
		{24 * time.Hour, 10 * time.Minute, 10*time.Minute + 2*time.Second}, // too seldom to be known
		{12 * time.Minute, 12 * time.Minute, 16 * time.Minute},
		{45 * time.Minute, time.Minute, 2 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			fs := &fakes{t: t}
			p := newPool(fs, 10, nil)
			v := isolated("f")
			if c.every < 24*time.Hour {
				for range 12 {
					visit(t, p, v, "a")
					time.Sleep(c.every)
				}
			}
			visit(t, p, v, "other") // of whom nothing is known
			env := visit(t, p, v, "a")
			began := time.Now()
			<-env.Ended()
			if took := time.Since(began); took < c.least || took > c.most {
				t.Errorf("a tenant that comes every %s: kept for %s, want %s to %s", c.every, took, c.least, c.most)
			}
			closePool(t, p)
		})
	}
}

// Half of a tenant's visits come five minutes after the last, the others three
// quarters of an hour: it is worth waiting for the former, and no longer.
func TestWarmVisitsArePartOfAHabit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 10, nil)
		v := isolated("f")
		for range 20 {
			visit(t, p, v, "a")
			time.Sleep(5 * time.Minute)
			visit(t, p, v, "a")
			time.Sleep(45 * time.Minute)
		}
		known := fs.count()
		for range 20 {
			visit(t, p, v, "a")
			time.Sleep(5 * time.Minute)
			env := visit(t, p, v, "a")
			time.Sleep(7 * time.Minute)
			if !env.closed.Load() {
				t.Fatal("it is kept for longer than it ever paid")
			}
			time.Sleep(38 * time.Minute)
		}
		if n := fs.count() - known; n != 20 {
			t.Errorf("%d environments for 20 times two visits, want 20", n)
		}
		closePool(t, p)
	})
}

// A new version of the code does not make a tenant come otherwise.
func TestAHabitOutlivesItsEnvironmentsAndTheirCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 10, nil)
		v := *isolated("f")
		var env *fake
		for i := range 12 {
			v.Generation = int64(i)
			now := v
			env = visit(t, p, &now, "a")
			time.Sleep(45 * time.Minute)
		}
		if !env.closed.Load() {
			t.Fatal("it was kept for 45 minutes")
		}
		began := time.Now()
		<-visit(t, p, &v, "a").Ended()
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("kept for %s", took)
		}
		closePool(t, p)
	})
}

// TestHabitsAreBounded compares the memory for habits with a list in the order of
// the last use.
func TestHabitsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 5
		hs := newHabits(most)
		inUse := map[habitKey]*habit{}
		var order []habitKey // coldest first
		touched := func(k habitKey) {
			order = slices.DeleteFunc(order, func(o habitKey) bool { return o == k })
			if order = append(order, k); len(order) > most {
				order = order[1:]
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			k := habitKey{"f", "1", alcove.Tenant(fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "tenant")))}
			switch {
			case inUse[k] == nil:
				known := slices.Contains(order, k)
				h := hs.of(k)
				if h.key != k || known != !h.rested.IsZero() {
					t.Fatalf("the habit of %v is %+v, known before: %v", k, h, known)
				}
				inUse[k] = h
			default: // its last environment goes
				inUse[k].rested = time.Unix(1, 0)
				hs.touch(inUse[k])
				delete(inUse, k)
			}
			touched(k)
			var got []habitKey
			for h := hs.ring.prev; h != &hs.ring; h = h.prev {
				got = append(got, h.key)
				if hs.by[h.key] != h {
					t.Fatalf("%v is listed and not found", h.key)
				}
			}
			if !slices.Equal(got, order) || len(hs.by) != len(order) {
				t.Fatalf("remembered are %v (%d), want %v", got, len(hs.by), order)
			}
		}
	})
}

// Under pressure the tenant that holds most gives first, and of tenants that are
// alike the one that is expected last.
func TestTheHeaviestTenantsIdleEnvironmentsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 100, func(c *Config) { c.Memory = 11 * newEnvironmentMemory })
		v := isolated("f")
		var heavy []*fake
		for range 6 {
			heavy = append(heavy, lease(t, p, v, "heavy").(*fake))
		}
		for _, env := range heavy {
			invoke(t, env, v, "heavy")
		}
		time.Sleep(100 * time.Millisecond)
		old := visit(t, p, v, "old") // the least recently used of the light ones
		for i := range 4 {
			visit(t, p, v, alcove.Tenant(fmt.Sprint("light", i)))
		}
		gone := func() (heavies, lights int) {
			synctest.Wait()
			for _, f := range fs.all() {
				switch {
				case !f.closed.Load():
				case slices.Contains(heavy, f):
					heavies++
				default:
					lights++
				}
			}
			return heavies, lights
		}
		for i := range 4 {
			visit(t, p, v, alcove.Tenant(fmt.Sprint("new", i)))
		}
		if h, l := gone(); h != 4 || l != 0 {
			t.Errorf("%d of the heavy tenant's and %d of the others' went for four new tenants, want four and none", h, l)
		}
		visit(t, p, v, "one more")
		if h, l := gone(); h < 5 || !heavy[0].closed.Load() && !old.closed.Load() {
			t.Errorf("when all are alike, %d and %d went, and not what was used longest ago", h, l)
		}
		closePool(t, p)
	})
}

// What environments are measured to use counts, not what they were expected to.
func TestTheBudgetIsOfWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 1000, func(c *Config) { c.Memory = 4 * newEnvironmentMemory })
		v := isolated("f")
		for i := range 60 { // of a mebibyte each
			visit(t, p, v, alcove.Tenant(fmt.Sprint(i)))
			time.Sleep(1100 * time.Millisecond) // it is measured
		}
		if n := len(p.Status()); n != 60 {
			t.Errorf("%d environments of 1 MiB are left with room for 96 MiB, want 60", n)
		}
		for i, f := range fs.all() {
			f.memory.Store(int64(2+i%2) << 20)
		}
		time.Sleep(1100 * time.Millisecond)
		sum := int64(0)
		for _, s := range p.Status() {
			sum += s.Memory
		}
		if sum > 4*newEnvironmentMemory || sum < 3*newEnvironmentMemory {
			t.Errorf("when they had grown to 150 MiB together, %d MiB were left of a budget of 96", sum>>20)
		}
		closePool(t, p)
	})
}

// An environment is used no longer than its credentials are good for, however
// often its tenant comes.
func TestEnvironmentsAreUsedForAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &fakes{t: t}
		p := newPool(fs, 10, func(c *Config) { c.MaxAge = time.Hour })
		v := isolated("f")
		began := time.Now()
		first := visit(t, p, v, "a")
		for time.Since(began) < time.Hour-time.Minute {
			time.Sleep(time.Minute)
			if time.Since(began) < time.Hour && visit(t, p, v, "a") != first {
				t.Fatalf("another environment after %s", time.Since(began))
			}
		}
		<-first.Ended()
		if took := time.Since(began); took > time.Hour+2*sweepEvery {
			t.Errorf("it ended after %s", took)
		}
		if visit(t, p, v, "a") == first {
			t.Error("it is used still")
		}
		closePool(t, p)
	})
}
