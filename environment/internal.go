package environment

import (
	"fmt"
	"sync"

	"github.com/alcove-run/alcove"
)

// internals are the versions whose runtime has registered an extension of its own (an
// internal one). That is known once it does: the environment in which it first did
// begins again under a supervisor, and those after it have one from their start.
type internals struct {
	mu    sync.Mutex
	known map[internalKey]bool
}

// internalKey is a version that does not change.
type internalKey struct {
	functionID, number string
	generation         int64
}

// maxInternals bounds what is known; a version that is forgotten is learned anew.
const maxInternals = 10_000

func keyOf(v *alcove.Version) internalKey { return internalKey{v.FunctionID, v.Number, v.Generation} }

func (i *internals) learn(v *alcove.Version) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil {
		i.known = make(map[internalKey]bool)
	}
	for k := range i.known {
		if len(i.known) < maxInternals {
			break
		}
		delete(i.known, k)
	}
	i.known[keyOf(v)] = true
}

func (i *internals) has(v *alcove.Version) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.known[keyOf(v)]
}

// begunAgain ends an environment without a supervisor whose runtime registers an
// extension: one that is made for it anew has a supervisor, which takes telemetry to
// the extension and tells the runtime to end. It is too late for that if an invocation
// waits for this very Init.
func (e *Environment) begunAgain() bool {
	if e.supervisor != nil || e.cfg.OnInternal == nil || e.cfg.Suppressed || e.current != nil || e.initOver() {
		return false
	}
	e.cfg.OnInternal(e.cfg.Version)
	e.cfg.Log.Info("environment begins again with a supervisor: its runtime registers an extension", "environment", e.cfg.ID)
	if e.cfg.OnInit != nil {
		e.cfg.OnInit(fmt.Errorf("environment begins again with a supervisor: %w", ErrNotHandedOver))
	}
	e.end()
	return true
}
