package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/sandbox"
)

// ErrNotBlank is Specialise's answer when the environment has a function, or its
// runtime does not wait for one.
var ErrNotBlank = errors.New("environment: not blank")

// functionCall is a runtime that waits to be told its function.
type functionCall struct {
	reply chan []byte // has room for one
}

// blank tells whether the function is not known yet.
func (e *Environment) blank() bool { return e.cfg.Version == nil }

// readyBlank is a sandbox whose runtime gets ready for a function, or is.
func (e *Environment) readyBlank() {
	e.become(Initialising)
	_, ok := e.box.(sandbox.Specialiser)
	if e.cfg.Shape.Held {
		_, ok = e.box.(sandbox.Starter)
	}
	switch {
	case !ok:
		e.failBlank(&failure{kind: platformKind, message: "the driver cannot give a running sandbox its function"})
	case e.early != nil:
		e.failBlank(e.early)
	case e.asking != nil, e.cfg.Shape.Held:
		e.ready()
	}
}

// asked is a runtime that wants to know its function.
func (e *Environment) asked(w *functionCall) error {
	switch {
	case e.cfg.Tell != nil && !e.told:
		e.told = true
		w.reply <- functionMessage(e.cfg.Tell)
		return nil
	case !e.blank():
		return runtimeapi.ErrFunctionKnown
	case e.asking != nil, e.closing:
		return runtimeapi.ErrInvalidState
	}
	e.asking = w
	if e.State() == Initialising { // else readyBlank goes on with it
		e.ready()
	}
	return nil
}

// ready is a blank environment that can be specialised.
func (e *Environment) ready() {
	e.deadline.Stop()
	e.become(Blank)
	if e.cfg.OnBlank != nil {
		e.cfg.OnBlank()
	}
}

// hungUp is a runtime that gave up waiting for its function.
func (e *Environment) hungUp(w *functionCall) {
	if e.asking == w && e.blank() {
		e.end()
	}
}

// failBlank ends an environment that did not come to have a function. It is
// nobody's fault but the platform's.
func (e *Environment) failBlank(f *failure) {
	e.cfg.Log.Warn("blank environment failed", "environment", e.cfg.ID, "type", f.kind, "reason", f.message)
	e.end()
}

// Specialise makes a blank environment the one that cfg describes, which is as
// for Start, with this environment's ID. From then on it is as any other that is
// in Init, which begins here; the hooks of cfg take the place of those that it
// was started with.
//
// It returns when the runtime has been told, within a few milliseconds. After an
// error nothing of cfg has been used, no hook of it will be called, and the
// environment has ended or will.
func (e *Environment) Specialise(ctx context.Context, cfg Config) error {
	began := time.Now()
	raw := functionMessage(cfg.Spec.Env)
	var box sandbox.Specialiser
	err := e.ask(ctx, func() (err error) {
		box, err = e.claim(cfg)
		return err
	})
	if err != nil {
		return err
	}
	failed := box.Specialise(cfg.Spec.Mounts, cfg.Spec.Limits)
	// Always delivered: end does not end the loop before it.
	return e.ask(context.Background(), func() error { return e.specialised(cfg, began, raw, failed) })
}

// claim takes a blank environment for a function, so that nobody else can.
func (e *Environment) claim(cfg Config) (sandbox.Specialiser, error) {
	if !e.blank() || e.State() != Blank || e.asking == nil && !e.cfg.Shape.Held || e.making || e.closing {
		return nil, ErrNotBlank
	}
	if cfg.ID != e.cfg.ID || cfg.Suppressed || cfg.InvalidEntrypoint != "" {
		e.end()
		return nil, fmt.Errorf("environment %s: not what a blank environment can become", e.cfg.ID)
	}
	e.making = true
	return e.box.(sandbox.Specialiser), nil // readyBlank has looked
}

// specialised goes on with the Init of a function, or gives up.
func (e *Environment) specialised(cfg Config, began time.Time, raw []byte, err error) error {
	e.making = false
	if err != nil || e.closing {
		e.end()
		if err == nil {
			err = ErrNotHandedOver
		}
		return fmt.Errorf("environment %s: specialise: %w", e.cfg.ID, err)
	}
	e.adopt(cfg)
	e.initBegan = began
	e.become(Initialising)
	e.deadline.Reset(e.cfg.InitTimeout)
	e.logInitStart() // before anything that the function writes
	if e.cfg.Shape.Held {
		e.startProgram(cfg.Spec)
		return nil
	}
	e.asking.reply <- raw
	e.asking = nil
	return nil
}

// startProgram has a sandbox that has none run the function's program. It does not
// block for longer than it takes to write that down.
func (e *Environment) startProgram(spec sandbox.Spec) {
	err := e.box.(sandbox.Starter).Start(spec.Args, spec.Env, spec.Dir) // readyBlank has looked
	if err != nil {
		e.cfg.Log.Error("program cannot be started", "environment", e.cfg.ID, "error", err)
		// In another turn: who specialises waits for this one, and OnInit for him.
		go func() { _ = e.send(context.Background(), func() { e.failInit(platformFailure()) }) }()
	}
}

// adopt takes over what is a function's in cfg.
func (e *Environment) adopt(cfg Config) {
	e.output.assign(cfg.Stream, cfg.Version.Config.Logging)
	c := &e.cfg
	c.Version, c.RuntimeVersion, c.RuntimeVersionARN = cfg.Version, cfg.RuntimeVersion, cfg.RuntimeVersionARN
	c.Stream, c.StreamName = cfg.Stream, cfg.StreamName
	c.OnInit, c.OnFree, c.OnEnd = cfg.OnInit, cfg.OnFree, cfg.OnEnd
	c.FreezeAfter, c.OnInternal = cfg.FreezeAfter, cfg.OnInternal
	if cfg.InitTimeout != 0 {
		c.InitTimeout = cfg.InitTimeout
	}
	e.wasBlank = true
	e.known.Store(&known{cfg.Version, cfg.StreamName})
}

// functionMessage is what a blank's runtime is told: the environment variables
// that its process would have been started with, in their order.
func functionMessage(env []string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"environment":{`)
	for i, kv := range env {
		if i > 0 {
			b.WriteByte(',')
		}
		key, value, _ := strings.Cut(kv, "=")
		for j, s := range []string{key, value} {
			if j > 0 {
				b.WriteByte(':')
			}
			raw, err := json.Marshal(s)
			if err != nil { // strings always marshal
				panic(err)
			}
			b.Write(raw)
		}
	}
	b.WriteString(`}}`)
	return b.Bytes()
}
