package gvisor

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/gvisor/door"
)

// heldBox is a sandbox without a program. The door is its first process and waits
// for an order, which comes by a pipe: it can be written while the sandbox is
// frozen, and is gone once the door has read it.
type heldBox struct{ *blank }

var (
	_ sandbox.Starter = heldBox{}
	_ sandbox.Holder  = (*Driver)(nil)
)

// Holds implements sandbox.Holder.
func (d *Driver) Holds() {}

// Start implements sandbox.Starter.
func (b heldBox) Start(args, env []string, dir string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.start(args, env, dir); err != nil {
		return fmt.Errorf("gvisor: sandbox %s: start: %w", b.id, err)
	}
	return nil
}

func (b heldBox) start(args, env []string, dir string) error {
	select {
	case <-b.box.done:
		return errors.New("it has ended")
	default:
	}
	switch {
	case b.removed:
		return errors.New("it has been destroyed")
	case b.program == nil:
		return errors.New("it has been done already")
	case len(args) == 0 || !filepath.IsAbs(args[0]):
		return errors.New("no absolute command")
	case !filepath.IsAbs(dir):
		return fmt.Errorf("directory %q is not absolute", dir)
	}
	w := b.program
	b.program = nil
	err := w.SetWriteDeadline(time.Now().Add(exchangeTimeout))
	if err == nil {
		err = door.Order{Args: args, Env: env, Dir: dir}.Send(w)
	}
	return errors.Join(err, w.Close())
}
