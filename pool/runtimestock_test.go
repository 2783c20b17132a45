package pool

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
)

const (
	coldInit  = 100 * time.Millisecond
	blankInit = 2 * time.Millisecond
)

// blanks makes the fakes of a runtime stock, and knows what became of them.
type blanks struct {
	fs        *fakes
	made      atomic.Int32
	startErr  error
	failing   atomic.Bool // of Specialise
	whyNot    func(*alcove.Version) string
	holds     bool   // of those for which whyNot has a reason
	becoming  func() // called by Specialise
	neverGood bool   // blanks end before they are ready
}

func (b *blanks) shape(v *alcove.Version) (environment.Shape, string, error) {
	if b.whyNot != nil {
		if why := b.whyNot(v); why != "" {
			if b.holds {
				return environment.Shape{Root: "sandbox", Held: true}, why, nil
			}
			return environment.Shape{}, why, nil
		}
	}
	return environment.Shape{Root: v.Config.Runtime}, "", nil
}

func (b *blanks) start(_ *alcove.Version, h BlankHooks) (Environment, error) {
	if b.startErr != nil {
		return nil, b.startErr
	}
	fs := b.fs
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := &fake{t: fs.t, id: fmt.Sprintf("blank-%d", b.made.Add(1)), hooks: Hooks{OnEnd: h.OnEnd}, ended: make(chan struct{}), end: fs.end}
	fs.alive++
	go func() {
		time.Sleep(coldInit)
		if b.neverGood {
			f.Close()
			return
		}
		h.OnBlank()
	}()
	return f, nil
}

func (b *blanks) specialise(env Environment, v *alcove.Version, h Hooks) error {
	f := env.(*fake)
	if f.version != nil {
		f.t.Errorf("%s was specialised twice", f.id)
	}
	if b.becoming != nil {
		b.becoming()
	}
	if b.failing.Load() || f.closed.Load() {
		f.Close()
		return errors.New("no")
	}
	f.version, f.hooks = v, h
	go func() {
		time.Sleep(blankInit)
		h.OnInit(nil)
		h.OnFree()
	}()
	return nil
}

// runtimeStocked is a pool with a runtime stock of up to limit of a shape.
func runtimeStocked(t *testing.T, limit int, change func(*Config)) (*Pool, *blanks) {
	b := &blanks{fs: &fakes{t: t, initTook: coldInit}}
	p := newPool(b.fs, 100, func(c *Config) {
		c.RuntimeStock = RuntimeStock{Shape: b.shape, Start: b.start, Specialise: b.specialise, Max: limit}
		if change != nil {
			change(c)
		}
	})
	return p, b
}

// timedLease leases, and tells how long that took.
func timedLease(t *testing.T, p *Pool, v *alcove.Version, tenant alcove.Tenant) (Lease, time.Duration) {
	t.Helper()
	began := time.Now()
	l, err := p.Lease(t.Context(), v, tenant, StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l, time.Since(began)
}

func isBlank(l Lease) bool { return strings.HasPrefix(l.Environment.ID(), "blank-") }

func TestTheFirstCallOfAFunctionIsServedFromTheRuntimeStock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := runtimeStocked(t, 1, nil)
		f, g := isolated("f"), isolated("g")
		shared := isolated("h")
		shared.Config.Tenancy = ""
		p.Expect(f)
		time.Sleep(time.Second)
		seen := map[Environment]bool{}
		for _, c := range []struct {
			v   *alcove.Version
			why string
		}{{f, whyStockOff}, {g, whyStockOff}, {shared, whyNoTenants}} {
			l, took := timedLease(t, p, c.v, "a")
			if !isBlank(l) || took != blankInit || !l.Waited || l.Why != c.why {
				t.Errorf("%s: %s after %s, waited %v, because %q", c.v.Name, l.Environment.ID(), took, l.Waited, l.Why)
			}
			if seen[l.Environment] {
				t.Errorf("%s serves two functions", l.Environment.ID())
			}
			seen[l.Environment] = true
			invoke(t, l.Environment, c.v, "a")
			if again := lease(t, p, c.v, "a"); again != l.Environment {
				t.Errorf("%s: its second call is served by %s", c.v.Name, again.ID())
			}
			time.Sleep(time.Second) // for the next blank
		}
		if b.fs.count() != 0 {
			t.Errorf("%d environments were made from the start", b.fs.count())
		}
		closePool(t, p)
	})
}

func TestWhatTheRuntimeStockCannotServeSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := runtimeStocked(t, 1, stocked)
		own, ordinary := isolated("own"), isolated("ordinary")
		b.whyNot = func(v *alcove.Version) string {
			if v == own {
				return "start-time variable NODE_OPTIONS"
			}
			return ""
		}
		p.Expect(own)
		p.Expect(ordinary)
		time.Sleep(time.Second)
		if l, took := timedLease(t, p, own, "a"); isBlank(l) || took != coldInit || l.Why != "start-time variable NODE_OPTIONS" {
			t.Errorf("%s after %s because %q", l.Environment.ID(), took, l.Why)
		}
		if l, _ := timedLease(t, p, ordinary, "a"); !isBlank(l) || l.Why != whyFirstOfVersion {
			t.Errorf("%s because %q", l.Environment.ID(), l.Why)
		}
		if l, _ := timedLease(t, p, ordinary, "b"); isBlank(l) || l.Why != whyRuntimeEmpty {
			t.Errorf("the second at once: %s because %q", l.Environment.ID(), l.Why)
		}
		time.Sleep(time.Second)
		if l, took := timedLease(t, p, ordinary, "c"); isBlank(l) || took != 0 || l.Waited || l.Why != whyFirstOfTenant {
			t.Errorf("from stock: %s after %s because %q", l.Environment.ID(), took, l.Why)
		}
		l, err := p.Lease(t.Context(), ordinary, "d", StartOptions{Suppressed: true})
		if err != nil || isBlank(l) || l.Why != whyInitFailed {
			t.Errorf("after an Init that failed: %v because %q, %v", l.Environment, l.Why, err)
		}
		closePool(t, p)
	})
}

func TestAFunctionWithItsOwnProcessIsServedByASandboxMadeAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const why = "start-time variable NODE_OPTIONS"
		p, b := runtimeStocked(t, 1, stocked)
		b.holds, b.whyNot = true, func(v *alcove.Version) string {
			if v.Name == "ordinary" {
				return ""
			}
			return why
		}
		own, ordinary := isolated("own"), isolated("ordinary")
		p.Expect(own)
		time.Sleep(time.Second)
		if l, _ := timedLease(t, p, ordinary, "a"); isBlank(l) {
			t.Errorf("a function of another shape has %s", l.Environment.ID())
		}
		if l, took := timedLease(t, p, own, "a"); !isBlank(l) || took != blankInit || !l.Waited || l.Why != why {
			t.Errorf("%s after %s because %q", l.Environment.ID(), took, l.Why)
		}
		if l, took := timedLease(t, p, own, "b"); isBlank(l) || took != coldInit || l.Why != why {
			t.Errorf("the second at once: %s after %s because %q", l.Environment.ID(), took, l.Why)
		}
		closePool(t, p)
	})
}

func TestABlankThatCannotBeSpecialisedCostsNothingButTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := runtimeStocked(t, 1, nil)
		v := isolated("f")
		p.Expect(v)
		time.Sleep(time.Second)
		b.failing.Store(true)
		l, took := timedLease(t, p, v, "a")
		if isBlank(l) || took != coldInit || l.Why != whyNotSpecialised {
			t.Errorf("%s after %s because %q", l.Environment.ID(), took, l.Why)
		}
		invoke(t, l.Environment, v, "a")
		b.failing.Store(false)
		time.Sleep(time.Minute) // the next blank is made when it has backed off
		if l, _ := timedLease(t, p, v, "b"); !isBlank(l) {
			t.Errorf("afterwards: %s because %q", l.Environment.ID(), l.Why)
		}
		if n := p.existing; n != len(p.Status()) {
			t.Errorf("%d environments are counted, %d exist", n, len(p.Status()))
		}
		closePool(t, p)
		if p.existing != 0 || p.memory != 0 || p.stocking != 0 {
			t.Errorf("left: %d environments, %d bytes, %d being made", p.existing, p.memory, p.stocking)
		}
	})
}

func TestBlanksThatFailBackOff(t *testing.T) {
	for name, set := range map[string]func(*blanks){
		"not started": func(b *blanks) { b.startErr = errors.New("no root tree") },
		"not ready":   func(b *blanks) { b.neverGood = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b := runtimeStocked(t, 2, nil)
				set(b)
				var tries atomic.Int64
				start := p.cfg.RuntimeStock.Start
				p.cfg.RuntimeStock.Start = func(v *alcove.Version, h BlankHooks) (Environment, error) { tries.Add(1); return start(v, h) }
				p.Expect(isolated("f"))
				time.Sleep(5 * time.Minute)
				if n := tries.Load(); n < 3 || n > 20 {
					t.Errorf("%d tries in five minutes", n)
				}
				closePool(t, p)
				if p.existing != 0 || p.memory != 0 || p.stocking != 0 {
					t.Errorf("left: %d environments, %d bytes, %d being made", p.existing, p.memory, p.stocking)
				}
			})
		})
	}
}

func TestBlanksGoBeforeStockWhenMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := runtimeStocked(t, 1, func(c *Config) {
			stocked(c)
			c.Memory = 4 * newEnvironmentMemory
		})
		v := isolated("f")
		invoke(t, lease(t, p, v, "a"), v, "a")
		time.Sleep(5 * time.Second)
		blank, stock := 0, 0
		count := func() {
			blank, stock = 0, 0
			for _, s := range p.Status() {
				if strings.HasPrefix(s.ID, "blank-") {
					blank++
				}
			}
			stock = p.stocked
		}
		if count(); blank != 1 || stock < 1 {
			t.Fatalf("%d blank, %d in stock", blank, stock)
		}
		p.mu.Lock()
		freed := p.giveBackStock(1)
		p.mu.Unlock()
		synctest.Wait()
		kept := stock
		if count(); freed <= 0 || blank != 0 || stock != kept {
			t.Errorf("%d bytes freed, then %d blank, %d of %d in stock", freed, blank, stock, kept)
		}
		closePool(t, p)
		_ = b
	})
}

func TestAShapeNoFunctionHasIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Bool
		p, b := runtimeStocked(t, 1, nil)
		b.fs.current = func(*alcove.Version) bool { return !gone.Load() }
		p.Expect(isolated("f"))
		time.Sleep(24 * time.Hour)
		if n := len(p.Status()); n != 1 {
			t.Errorf("%d blank environments while a function may need one", n)
		}
		gone.Store(true)
		time.Sleep(time.Hour)
		if n := len(p.Status()); n != 0 {
			t.Errorf("%d blank environments that nobody needs", n)
		}
		closePool(t, p)
	})
}

func TestShapesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := runtimeStocked(t, 1, nil)
		for i := range 2 * maxShapes {
			v := isolated(fmt.Sprint(i))
			v.Config.Runtime = fmt.Sprint(i)
			p.Expect(v)
			invoke(t, lease(t, p, v, "a"), v, "a")
			time.Sleep(2 * shapeStay / maxShapes)
		}
		made := b.made.Load()
		for range 20 { // more shapes than places, all in use: no use in making room
			for i := range 2 * maxShapes {
				v := isolated(fmt.Sprint("again", i))
				v.Config.Runtime = fmt.Sprint("other", i)
				lease(t, p, v, "a")
			}
		}
		if more := b.made.Load() - made; more > 2*maxShapes {
			t.Errorf("%d blank environments for calls that came too fast", more)
		}
		n := 0
		for _, s := range p.Status() {
			if strings.HasPrefix(s.ID, "blank-") {
				n++
			}
		}
		if n > 2*maxShapes || len(p.shelves) != maxShapes {
			t.Errorf("%d shapes", len(p.shelves))
		}
		last := isolated("last")
		last.Config.Runtime = fmt.Sprint(2*maxShapes - 1)
		if l, _ := timedLease(t, p, last, "a"); !isBlank(l) {
			t.Errorf("the shape used last has nothing: %q", l.Why)
		}
		closePool(t, p)
	})
}

func TestAPoolThatClosesEndsItsBlanks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := runtimeStocked(t, 4, nil)
		v := isolated("f")
		p.Expect(v)
		time.Sleep(time.Second)
		// It closes while one is being specialised.
		b.becoming = func() { time.Sleep(time.Second) }
		done := make(chan error, 1)
		go func() { _, err := p.Lease(t.Context(), v, "a", StartOptions{}); done <- err }()
		time.Sleep(time.Millisecond)
		closePool(t, p)
		if err := <-done; err == nil {
			t.Log("the call was served")
		}
		if b.fs.alive != 0 {
			t.Errorf("%d environments are left", b.fs.alive)
		}
	})
}
