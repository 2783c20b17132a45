package environment

import "fmt"

// State is where an environment is in its life.
type State int32

// The states, in the order in which a healthy environment first meets them.
const (
	// Creating: the sandbox is being made.
	Creating State = iota
	// Initialising: the sandbox runs, its runtime has not asked for work yet.
	Initialising
	// Blank: the runtime waits to be told its function. Init follows.
	Blank
	// Idle: the runtime waits at /next.
	Idle
	// Busy: an invocation was handed over and is not answered.
	Busy
	// Finishing: the runtime has answered, an extension has not done with the
	// invocation. The answer waits for it.
	Finishing
	// Settling: the answer is out, the runtime has not come back to /next.
	Settling
	// Stopping: nothing will be run any more, and extensions have some time to end by
	// themselves.
	Stopping
	// Ended: nothing will run here any more; the sandbox is being removed, or is gone.
	Ended
)

var stateNames = [...]string{"creating", "initialising", "blank", "idle", "busy", "finishing", "settling", "stopping", "ended"}

// String is s in lower case, as listings have it.
func (s State) String() string { return stateNames[s] }

// transitions lists every change of state that is legal. Ended has no successor:
// an environment that was given up is never used again.
var transitions = map[State][]State{
	Creating:     {Initialising, Stopping, Ended},
	Initialising: {Blank, Idle, Stopping, Ended}, // Blank once, before the function is known
	Blank:        {Initialising, Ended},
	Idle:         {Busy, Stopping, Ended},
	Busy:         {Finishing, Settling, Stopping, Ended},
	Finishing:    {Settling, Stopping, Ended},
	Settling:     {Idle, Stopping, Ended},
	Stopping:     {Ended},
}

// become moves to state s.
//
// Preconditions: called in a turn; the transition is legal.
func (e *Environment) become(s State) {
	from := e.State()
	for _, to := range transitions[from] {
		if to == s {
			e.state.Store(int32(s))
			if s == Ended {
				close(e.over)
			}
			return
		}
	}
	panic(fmt.Sprintf("environment %s: illegal transition from %s to %s", e.cfg.ID, from, s))
}

// State tells where the environment is now; it may have moved on when the
// caller looks at the answer.
func (e *Environment) State() State { return State(e.state.Load()) }
