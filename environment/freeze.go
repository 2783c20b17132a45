package environment

import "time"

// freeze stops the environment's processes: nobody pays for what they would do
// between two invocations, and on AWS they would not run either. It happens
// FreezeAfter the runtime's last /next, or later if rest says so, and never on
// the way of an invocation.
func (e *Environment) freeze() {
	if e.State() != Idle || e.frozen.Load() {
		return
	}
	now := time.Now()
	if e.memory.stale(now) {
		e.sample(now)
	}
	if more := e.rest.patience(now); more > 0 {
		e.freezeAt.Reset(more)
		return
	}
	if err := e.box.Freeze(); err != nil {
		// The driver's Findings tell the operator; here it would be said for
		// every invocation.
		e.cfg.Log.Debug("environment cannot be frozen", "environment", e.cfg.ID, "error", err)
		return
	}
	e.frozen.Store(true)
}

// sample looks at what the sandbox uses.
func (e *Environment) sample(now time.Time) {
	e.rest.used(now, e.memory.take(e.box, now).CPU)
}

// thaw lets the processes run again. An environment that cannot be thawed
// reports the error and must end.
func (e *Environment) thaw() error {
	if !e.frozen.Load() {
		return nil
	}
	if err := e.box.Thaw(); err != nil {
		return err
	}
	e.frozen.Store(false)
	return nil
}

const (
	// shortRest is the usual time between two invocations up to which an
	// environment is not frozen between them, because to freeze and thaw it
	// costs more than a wait at /next does; it is frozen when four times that
	// time, or longRest, has passed and no invocation came.
	shortRest = 250 * time.Millisecond
	longRest  = 500 * time.Millisecond
	// restWeight is how much of the usual rest is the last one's.
	restWeight = 8
	// A runtime that waits at /next uses no processor. These are what its
	// garbage collector, and the sandbox around it, may use beyond the duration
	// of invocations, before it is taken for one that works on unpaid.
	idleWork      = 10 * time.Millisecond
	idleWorkShare = 20 // one part in
)

// rest learns how long an environment rests between invocations, and whether it
// does. It has no clock of its own.
type rest struct {
	usual   time.Duration // moving average, zero before the first rest
	rests   int
	since   time.Time     // when the runtime came to /next; zero while it is not there
	busy    time.Duration // of invocations since checked
	cpu     int64         // nanoseconds, at checked
	checked time.Time
	// restless says that the processes were seen to work while they should
	// wait: they are frozen at once ever after.
	restless bool
}

// begins is the runtime at /next.
func (r *rest) begins(now time.Time) { r.since = now }

// ends is an invocation that begins.
func (r *rest) ends(now time.Time) {
	if r.since.IsZero() {
		return
	}
	// One long rest makes it strict again for a while.
	took := min(now.Sub(r.since), 4*shortRest)
	r.since = time.Time{}
	if r.rests++; r.rests == 1 {
		r.usual = took
		return
	}
	r.usual += (took - r.usual) / restWeight
}

// worked is an invocation that took so long.
func (r *rest) worked(took time.Duration) { r.busy += took }

// used is told what processor time, in nanoseconds, the processes have used in
// all.
func (r *rest) used(now time.Time, cpu int64) {
	if !r.checked.IsZero() {
		allowed := r.busy + idleWork + now.Sub(r.checked)/idleWorkShare
		if time.Duration(cpu-r.cpu) > allowed {
			r.restless = true
		}
	}
	r.cpu, r.checked, r.busy = cpu, now, 0
}

// patience is how much longer the processes may stay as they are.
func (r *rest) patience(now time.Time) time.Duration {
	if r.restless || r.rests < restWeight || r.usual > shortRest || r.checked.IsZero() {
		return 0
	}
	return max(0, min(4*r.usual, longRest)-now.Sub(r.since))
}
