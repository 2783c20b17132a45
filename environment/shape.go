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
}

// String is for listings: "python3.11, /tmp 512 MB".
func (s Shape) String() string {
	if s.Memory == 0 {
		return fmt.Sprintf("%s, /tmp %d MB", s.Root, s.Tmp)
	}
	return fmt.Sprintf("%s, %d MB, /tmp %d MB", s.Root, s.Memory, s.Tmp)
}

// blankMemory is the memory of a blank environment, in MB, whose interpreter does
// not go by it: what the least function has.
const blankMemory = 128

// Shape tells of which shape v's environments are, or in a few words why each has
// to be made for v from its start.
func (f *Factory) Shape(v *alcove.Version) (shape Shape, why string, err error) {
	r, err := f.Runtimes.Resolve(v.Config.Runtime)
	if err != nil {
		return Shape{}, "", err
	}
	if why := r.OwnStart(v); why != "" {
		return Shape{}, why, nil
	}
	return shapeOf(r, v), "", nil
}

func shapeOf(r runtimes.Runtime, v *alcove.Version) Shape {
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
	return Config{
		ID: id, Shape: shape, Driver: f.Driver, Spare: f.Spare, Dir: filepath.Join(f.Dir, id), Log: f.Log,
		Spec: sandbox.Spec{
			Root: root.Dir,
			Late: []string{runtimes.TaskDir, runtimes.LayerDir},
			TCP:  r.TCP, Args: r.Args, Dir: runtimes.TaskDir,
			Env:    runtimes.BlankEnviron(r, f.Place),
			Limits: limits(nobody),
			// Its bootstrap can be forked; a driver that forks saves its start.
			Template: r.Family == runtimes.Python,
		},
	}, nil
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
	// The rest of the sandbox's Spec is there already.
	return f.config(v, r, sandbox.Spec{Mounts: mounts, Limits: limits(v.Config)}, id, ""), nil
}
