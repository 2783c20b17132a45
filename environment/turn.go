package environment

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// An environment's state is touched in turns: whoever has an act for it takes the
// turn and acts, on its own goroutine. To give the act to a goroutine of the
// environment's would cost two switches of goroutines, and as a rule the waking of a
// thread, for each of the three acts of an invocation.
//
// An act does not block, and takes no other turn.

// inTurn has act done when nobody else acts.
func (e *Environment) inTurn(act func()) {
	e.turn.Lock()
	acted := false
	defer func() {
		if !acted {
			crash(recover())
		}
		e.turn.Unlock()
	}()
	act()
	acted = true
}

// crash ends the process after a panic in an act. Those who act have goroutines that
// others recover for one request's sake; what is left of the environment would be
// nobody's state.
func crash(panicked any) {
	if panicked == nil {
		return // the goroutine ends, as tests' do
	}
	text := fmt.Sprintf("%v, in:\n%s", panicked, debug.Stack())
	go func() { panic(text) }()
	select {}
}

// send has act done, and tells whether it was: it is not once the environment has
// ended.
func (e *Environment) send(ctx context.Context, act func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := ErrNotHandedOver
	e.inTurn(func() {
		if e.State() != Ended {
			err = nil
			act()
		}
	})
	return err
}

// ask is send for an act that says something.
func (e *Environment) ask(ctx context.Context, act func() error) error {
	var said error
	if err := e.send(ctx, func() { said = act() }); err != nil {
		return err
	}
	return said
}

// loop begins Init, waits for what nobody brings, and then removes all that is left.
//
// Preconditions: the turn is taken, so that nobody acts before.
func (e *Environment) loop() {
	e.beginInit()
	e.turn.Unlock()
	for e.State() != Ended {
		select {
		case act := <-e.mail:
			e.inTurn(act)
		case <-e.boxDone:
			e.inTurn(e.exited)
		case <-e.deadline.timer.C:
			e.inTurn(e.late)
		case <-e.freezeAt.timer.C:
			e.inTurn(func() {
				if e.freezeAt.rings() {
					e.freeze()
				}
			})
		case <-e.over:
		}
	}
	e.turn.Lock() // whoever ended it has done
	e.turn.Unlock()
	close(e.dead)
	e.remove()
	close(e.ended)
	if e.cfg.OnEnd != nil {
		e.cfg.OnEnd()
	}
}

// late is the deadline.
func (e *Environment) late() {
	switch {
	case !e.deadline.rings():
	case e.State() == Stopping:
		e.stopOn()
	default:
		e.expired()
	}
}

// alarm is a timer that belongs to who has the turn. It is left running where it
// rings before it has to, which costs less than to set it anew: most are put off
// again and again. A ring counts if rings says so.
type alarm struct {
	timer *time.Timer
	runs  time.Time // when the timer rings; zero if it does not run
	at    time.Time // when it has to; zero if it has not
}

func newAlarm() alarm {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return alarm{timer: t}
}

// Reset has it ring after d.
func (a *alarm) Reset(d time.Duration) {
	a.at = time.Now().Add(d)
	if a.runs.IsZero() || a.at.Before(a.runs) {
		a.runs = a.at
		a.timer.Reset(d)
	}
}

// Stop has it not ring.
func (a *alarm) Stop() { a.at = time.Time{} }

// rings tells whether the timer, which has rung, did so for something. It sets it
// anew if it was early.
func (a *alarm) rings() bool {
	now := time.Now()
	if now.Before(a.runs) {
		return false // it was set anew after that ring
	}
	a.runs = time.Time{}
	switch {
	case a.at.IsZero():
		return false
	case now.Before(a.at):
		a.runs = a.at
		a.timer.Reset(a.at.Sub(now))
		return false
	}
	a.at = time.Time{}
	return true
}
