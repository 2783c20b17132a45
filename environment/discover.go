package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/supervise"
)

// extensionsDir is where external extensions are, below the directory of layers
// (developer guide, "Lambda Extensions API").
const extensionsDir = "extensions"

// extend has cfg's environment start the extensions that there are in its layers, or
// in its image: every file of that directory. One whose runtime is an extension itself
// has a supervisor, too.
func (f *Factory) extend(cfg *Config, b basis) error {
	paths, err := extensionPaths(b)
	if err != nil || len(paths) == 0 && !f.internals.has(cfg.Version) {
		return err
	}
	if f.Supervisor == nil {
		return errors.New("environment: extensions cannot be started here")
	}
	program, err := f.Supervisor()
	if err != nil {
		return err
	}
	cfg.Extensions, cfg.Linger = Extensions{Paths: paths, Supervisor: program}, f.Linger
	return nil
}

// Supervisor gives the program that starts extensions, which it puts in its place
// the first time.
type Supervisor func() (supervise.Program, error)

// extensionPaths lists the extensions of a basis, as paths in the sandbox.
func extensionPaths(b basis) ([]string, error) {
	dir := ""
	for _, m := range b.spec.Mounts {
		if m.Target == runtimes.LayerDir {
			dir = filepath.Join(m.Source, extensionsDir)
		}
	}
	if dir == "" && b.image != nil {
		// By no link of the image's that leads out of it.
		root, err := os.OpenRoot(b.image.Dir)
		if err != nil {
			return nil, fmt.Errorf("environment: %w", err)
		}
		defer root.Close()
		entries, err := fs.ReadDir(root.FS(), runtimes.LayerDir[1:]+"/"+extensionsDir)
		if err != nil {
			return nil, nil // there is none, or none that can be entered
		}
		return programsIn(entries), nil
	}
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return programsIn(entries), err
}

func programsIn(entries []fs.DirEntry) (paths []string) {
	for _, e := range entries {
		if !e.IsDir() {
			paths = append(paths, path.Join(runtimes.LayerDir, extensionsDir, e.Name()))
		}
	}
	return paths
}

// whyExtensions is why an environment cannot be made of a blank one.
const whyExtensions = "it has extensions, which start before its runtime"

// extended tells whether v has external extensions in its layers, or, as far as that
// is known, internal ones.
func (f *Factory) extended(v *alcove.Version) (bool, error) {
	if f.internals.has(v) {
		return true, nil
	}
	if len(v.Config.Layers) == 0 {
		return false, nil
	}
	layers, err := f.Artifacts.Layers(context.Background(), v.Config.Layers)
	if err != nil {
		return false, fmt.Errorf("layers of %s: %w", v.QualifiedARN(), err)
	}
	b := basis{spec: sandbox.Spec{Mounts: []sandbox.Mount{{Source: layers, Target: runtimes.LayerDir}}}}
	paths, err := extensionPaths(b)
	return len(paths) > 0, err
}
