package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alcove-run/alcove/internal/hostlist"
	"github.com/alcove-run/alcove/registry"
	"github.com/alcove-run/alcove/runtimes"
)

// imageFlags are those of container images.
type imageFlags struct {
	Registries   []string   `help:"Registries that container images may be pulled from, as HOST or HOST:PORT, with http:// in front of one without TLS; none if not given." placeholder:"HOST"`
	RuntimeImage []string   `help:"Container image that a managed runtime stands for, as python3.13=REGISTRY/REPOSITORY:TAG, instead of this machine's interpreters; may be given for each runtime." placeholder:"RUNTIME=IMAGE"`
	MaxImage     memorySize `help:"How large a container image may be uncompressed, as 10GB." default:"10GB" placeholder:"SIZE"`
}

// runtimeImagesFile is below the directory of artifacts.
const runtimeImagesFile = "runtime-images.json"

// check refuses what cannot be read.
func (f *imageFlags) check() error {
	if _, err := hostlist.Parse(f.Registries); err != nil {
		return fmt.Errorf("--registries: %w", err)
	}
	_, err := f.runtimes()
	return err
}

// runtimes are the images by the runtimes that they stand for.
func (f *imageFlags) runtimes() (map[string]string, error) {
	out := map[string]string{}
	for _, item := range f.RuntimeImage {
		name, image, ok := strings.Cut(item, "=")
		switch {
		case !ok || image == "":
			return nil, fmt.Errorf("--runtime-image %s: give RUNTIME=IMAGE, as python3.13=registry.example.com/lambda/python:3.13", item)
		case !slices.Contains(runtimes.Names(), name):
			return nil, fmt.Errorf("--runtime-image %s: %s is none of Lambda's runtimes", item, name)
		case out[name] != "":
			return nil, fmt.Errorf("--runtime-image %s: %s has an image already, %s", item, name, out[name])
		}
		out[name] = image
	}
	return out, nil
}

// openImages opens what pulls container images.
func (n *node) openImages() error {
	hosts, err := hostlist.Parse(n.cfg.Registries)
	if err != nil {
		return err
	}
	mapped, err := n.cfg.runtimes()
	if err != nil {
		return err
	}
	n.images, err = registry.New(registry.Config{
		Artifacts: n.artifacts, Hosts: hosts, MaxSize: int64(n.cfg.MaxImage), Runtimes: mapped,
		RuntimesFile: filepath.Join(n.path(artifactDir), runtimeImagesFile), Log: n.log,
	})
	if err != nil {
		return fmt.Errorf("--runtime-image: %w", err)
	}
	n.opened(closes(n.images))
	n.runtimes.UseImages(n.images.Mapped)
	n.factory.Images = n.images
	n.images.RefreshRuntimes()
	return nil
}
