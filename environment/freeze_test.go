package environment

import (
	"testing"
	"time"
)

// rests has a rest of each length, with an invocation of a millisecond before it
// and used processor time in it.
func (r *rest) lives(now time.Time, used time.Duration, lengths ...time.Duration) time.Time {
	for _, length := range lengths {
		r.worked(time.Millisecond)
		r.begins(now)
		r.used(now, r.cpu+int64(time.Millisecond+used))
		now = now.Add(length)
		r.ends(now)
		now = now.Add(time.Millisecond)
	}
	return now
}

func many(length time.Duration, n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = length
	}
	return all
}

// TestPatience: only an environment that is known to rest shortly, and to rest,
// is left unfrozen, and then for no more than four times its usual rest.
func TestPatience(t *testing.T) {
	const short, long = 20 * time.Millisecond, 2 * time.Second
	for _, tt := range []struct {
		name  string
		rests []time.Duration
		used  time.Duration // between invocations
		want  time.Duration // at the beginning of the next rest
	}{
		{"new", nil, 0, 0},
		{"too few", many(short, 7), 0, 0},
		{"short rests", many(short, 20), 0, 4 * short},
		{"long rests", many(long, 20), 0, 0},
		{"at the limit", many(shortRest, 20), 0, longRest},
		{"beyond the limit", many(shortRest+time.Millisecond, 20), 0, 0},
		{"one long rest among short ones", append(many(short, 20), long), 0, longRest},
		{"several long rests after short ones", append(many(short, 20), many(long, 3)...), 0, 0},
		{"works while it should rest", many(short, 20), 15 * time.Millisecond, 0},
		{"a garbage collector", many(short, 20), 3 * time.Millisecond, 4 * short},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r rest
			now := r.lives(time.Unix(1700000000, 0), tt.used, tt.rests...)
			r.begins(now)
			if got := r.patience(now); got != tt.want {
				t.Errorf("patience %v, want %v", got, tt.want)
			}
			if got := r.patience(now.Add(tt.want)); got != 0 {
				t.Errorf("after it: %v more", got)
			}
		})
	}
}

// TestRestlessForLife: what has worked unpaid once is frozen at once ever after.
func TestRestlessForLife(t *testing.T) {
	const short = 20 * time.Millisecond
	var r rest
	now := r.lives(time.Unix(1700000000, 0), 0, many(short, 20)...)
	now = r.lives(now, 18*time.Millisecond, short)
	now = r.lives(now, 0, many(short, 100)...)
	r.begins(now)
	if got := r.patience(now); got != 0 {
		t.Errorf("patience %v", got)
	}
}

// TestBusyEnvironmentIsLookedAt: an environment that has never rested long enough
// to be looked at for it has been looked at all the same, so that it is not taken
// for one of which nothing is known.
func TestBusyEnvironmentIsLookedAt(t *testing.T) {
	b := start(t, echo, func(c *Config) { c.FreezeAfter = time.Hour })
	for range restWeight + 1 {
		b.mustInvoke(t, "blue", "x")
	}
	got := make(chan rest, 1)
	if err := b.env.send(t.Context(), func() { got <- b.env.rest }); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.checked.IsZero() || r.rests < restWeight || r.restless {
		t.Errorf("%+v", r)
	}
}
