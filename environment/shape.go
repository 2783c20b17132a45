package environment

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/sandbox"
)

// Shape is what of a function its environment has from its start and cannot be
// given later. Blank environments of one shape can become any function's of that
// shape.
type Shape struct {
	// Root names the interpreter.
	Root string
	// Memory is the function's in MB if the interpreter is started with it, as
	// Node.js is with the size of its heap; else zero.
	Memory int
	// Tmp is the size of /tmp in MB.
	Tmp int
	// Held says that there is only the sandbox, whose program is started when the
	// function is known: for functions that need a process of their own. TCP is
	// whether it has to offer the Runtime API by TCP.
	Held, TCP bool
}

// String is for listings: "python3.11, /tmp 512 MB".
func (s Shape) String() string {
	if s.Held {
		return fmt.Sprintf("a sandbox for %s, /tmp %d MB", s.Root, s.Tmp)
	}
	if s.Memory == 0 {
		return fmt.Sprintf("%s, /tmp %d MB", s.Root, s.Tmp)
	}
	return fmt.Sprintf("%s, %d MB, /tmp %d MB", s.Root, s.Memory, s.Tmp)
}

// blankMemory is the memory of a blank environment, in MB, whose interpreter does
// not go by it: what the least function has.
const blankMemory = 128

// Shape tells of which shape v's environments are, and in a few words why their
// process has to be started for v, if it has; the shape is Held then, or none if
// the driver makes no sandbox without a program.
func (f *Factory) Shape(v *alcove.Version) (shape Shape, why string, err error) {
	if v.FromImage() {
		return Shape{}, runtimes.OfImage().OwnStart(v), nil
	}
	r, err := f.Runtimes.Resolve(v.Config.Runtime)
	if err != nil {
		return Shape{}, "", err
	}
	extended, err := f.extended(v)
	if err != nil {
		return Shape{}, "", err
	}
	if extended {
		return Shape{}, whyExtensions, nil
	}
	why = r.OwnStart(v)
	if r.Image { // its root is the image
		return Shape{}, why, nil
	}
	if _, holds := f.Driver.(sandbox.Holder); why != "" && !holds {
		return Shape{}, why, nil
	}
	return shapeOf(r, v), why, nil
}

func shapeOf(r runtimes.Runtime, v *alcove.Version) Shape {
	if r.OwnStart(v) != "" {
		return Shape{Root: r.Want.Name, Tmp: v.Config.Ephemeral, Held: true, TCP: r.For(v).TCP}
	}
	shape := Shape{Root: r.Want.Name, Tmp: v.Config.Ephemeral}
	if r.Family == runtimes.NodeJS {
		shape.Memory = v.Config.MemorySize
	}
	return shape
}

// BlankConfig describes a new blank environment of like's shape. Nothing else of
// like is in it.
func (f *Factory) BlankConfig(ctx context.Context, like *alcove.Version) (Config, error) {
	r, err := f.Runtimes.Resolve(like.Config.Runtime)
	if err != nil {
		return Config{}, err
	}
	shape := shapeOf(r, like)
	nobody := alcove.Config{MemorySize: shape.Memory, Ephemeral: shape.Tmp}
	if nobody.MemorySize == 0 {
		nobody.MemorySize = blankMemory
	}
	r = r.For(&alcove.Version{Config: nobody})
	root, err := f.Roots.Tree(ctx, r.Want)
	if err != nil {
		return Config{}, fmt.Errorf("root tree of %s: %w", r.Name, err)
	}
	id := newID()
	cfg := Config{
		ID: id, Shape: shape, Driver: f.Driver, Network: f.Network, Rules: f.Rules, Refusals: f.Refusals, Spare: f.Spare, Ends: f.Ends, Dir: filepath.Join(f.Dir, id), Log: f.Log,
		Spec: sandbox.Spec{
			Root: root.Dir,
			Late: []string{runtimes.TaskDir, runtimes.LayerDir},
			TCP:  r.TCP, Args: r.Args, Dir: runtimes.TaskDir,
			Env:    runtimes.BlankEnviron(r, f.Place),
			Limits: limits(nobody),
			// Its bootstrap can be forked; a driver that forks saves its start.
			Template: r.Family == runtimes.Python,
		},
	}
	if shape.Held {
		s := &cfg.Spec
		s.TCP, s.Template = shape.TCP, false
		s.Args, s.Env, s.Dir = nil, nil, ""
	}
	return cfg, nil
}

// BlankBecomes describes what the blank environment id is to become, for its
// Specialise: an environment of v, which is of its shape.
func (f *Factory) BlankBecomes(ctx context.Context, id string, v *alcove.Version) (Config, error) {
	r, err := f.Runtimes.Resolve(v.Config.Runtime)
	if err != nil {
		return Config{}, err
	}
	mounts, err := f.mounts(ctx, v)
	if err != nil {
		return Config{}, err
	}
	// The rest of the sandbox's Spec is there already, but for the program of one
	// that has none.
	spec := sandbox.Spec{Mounts: mounts, Limits: limits(v.Config), Args: r.For(v).Args, Dir: runtimes.TaskDir}
	return f.config(v, basis{runtime: r, spec: spec}, id, ""), nil
}
