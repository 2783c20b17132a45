package gvisor

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"runtime"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/gvisor/door"
	"github.com/alcove-run/alcove/sandbox/gvisor/embedded"
)

// source is what this package was built from, as far as it can tell; see stamp.
//
//go:embed *.go door/*.go filter/*.json umount/*.go
var source embed.FS

// stamp tells builds of this package apart. The node and the parts of a sandbox
// talk to each other, so an embedded program from other sources than the node's
// own, left over from an earlier build, must not be started.
func stamp() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version())
	err := fs.WalkDir(source, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := source.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintln(h, path)
		_, err = io.Copy(h, f)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// programs are what a driver starts.
type programs struct {
	parts string // of a sandbox
	door  string // package door
}

// choosePrograms says which programs to start, and what Probe found with the
// first: the one that the caller names, or the embedded ones, which are put into
// dir, or, if there are none or they do not work, the running one.
func choosePrograms(ctx context.Context, conf Config) (programs, []sandbox.Finding) {
	if conf.Exe != "" {
		return programs{conf.Exe, conf.Exe}, Probe(ctx, conf.Exe)
	}
	if embedded.Present() {
		p, err := installApart(ctx, conf.Dir)
		if err == nil {
			err = probeDoor(ctx, p.door)
		}
		if err == nil {
			findings := Probe(ctx, p.parts)
			if err = usable(findings); err == nil {
				findings[0].Detail += ", started as a small program of its own"
				return p, findings
			}
		}
		conf.Log.Warn("the node's own program is started as the parts of sandboxes, which is slower", "error", err)
	}
	return programs{argSelf, argSelf}, Probe(ctx, argSelf)
}

// probeDoor makes sure that a program is the door of this driver.
func probeDoor(ctx context.Context, path string) error {
	stamp, err := door.Stamp()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = []string{door.Arg0Stamp, stamp}
	cmd.Env = []string{}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the embedded door is not of this driver: %w", err)
	}
	return nil
}
