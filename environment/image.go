package environment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/sandbox"
)

// imageBasis is that of a function that is a container image. There is nothing
// but the image.
func (f *Factory) imageBasis(ctx context.Context, v *alcove.Version) (basis, error) {
	if f.Images == nil {
		return basis{}, errors.New("environment: no container images")
	}
	i, err := f.Images.Image(ctx, v.Code)
	if err != nil {
		return basis{}, fmt.Errorf("image of %s: %w", v.QualifiedARN(), err)
	}
	i.Settings = i.Settings.With(v.Config.Image)
	return basis{
		runtime: runtimes.OfImage(), image: &i,
		spec: sandbox.Spec{Root: i.Dir, TCP: true, Dir: runtimes.ImageDir(i.Settings, "/"), Limits: limits(v.Config)},
	}, nil
}

// runtimeBootstrap is what runs functions in an image that has no entry point.
const runtimeBootstrap = "/var/runtime/bootstrap"

// runtimeImageBasis is that of a function of a runtime that an image stands for:
// the image, with the code and the layers in their places.
func (f *Factory) runtimeImageBasis(ctx context.Context, v *alcove.Version, r runtimes.Runtime) (basis, error) {
	code, i, err := f.Images.Runtime(ctx, r.Name)
	if err != nil {
		return basis{}, err
	}
	r.Version = code.SHA256 // it may just have been found
	mounts, err := f.mounts(ctx, v)
	if err != nil {
		return basis{}, err
	}
	for _, m := range mounts {
		if !i.HasDir(m.Target) {
			return basis{}, &alcove.NotReady{Code: alcove.NotReadyImage,
				Reason: fmt.Sprintf("The image that stands for the runtime %s has no directory %s.", r.Name, m.Target)}
		}
	}
	// As the entry points of AWS's images take it.
	if len(i.Settings.EntryPoint) == 0 {
		i.Settings.EntryPoint = []string{runtimeBootstrap}
	}
	i.Settings.Command = []string{v.Config.Handler}
	return basis{
		runtime: r, image: &i,
		spec: sandbox.Spec{Root: i.Dir, Mounts: mounts, TCP: true, Dir: runtimes.TaskDir, Limits: limits(v.Config)},
	}, nil
}

// command sets what the environment runs: what its image says. Spec has the
// directory and the variables.
func (c *Config) command(i *artifact.Image) {
	args := slices.Concat(i.Settings.EntryPoint, i.Settings.Command)
	if len(args) == 0 {
		c.InvalidEntrypoint = "the image has neither an entry point nor a command"
		return
	}
	// Code that is mounted in the image is a directory that can be entered.
	mounted := slices.ContainsFunc(c.Spec.Mounts, func(m sandbox.Mount) bool { return m.Target == c.Spec.Dir })
	if err := i.CanEnter(c.Spec.Dir); err != nil && !mounted {
		c.InvalidWorkingDir = fmt.Sprintf("chdir %s: %v", c.Spec.Dir, err)
		return
	}
	program, err := i.Program(args[0], c.Spec.Dir, runtimes.Lookup(c.Spec.Env, "PATH"))
	if err != nil {
		c.InvalidEntrypoint = fmt.Sprintf("fork/exec %s: %v", args[0], err)
		return
	}
	args[0] = program
	c.Spec.Args = args
}
