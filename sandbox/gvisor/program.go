package gvisor

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/gvisor/door"
	"github.com/alcove-run/alcove/sandbox/gvisor/embedded"
)

// source is what this package was built from, as far as it can tell; see stamp.
//
//go:embed *.go door/*.go filter/*.json
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

// installApart has another process do what install does, so that the node does
// not hold the pages of a program that it never runs.
func installApart(ctx context.Context, dir string) (programs, error) {
	cmd := exec.CommandContext(ctx, argSelf)
	cmd.Args = []string{argInstaller, dir}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return programs{}, fmt.Errorf("install the embedded programs: %w", err)
	}
	parts, door, _ := strings.Cut(string(out), "\x00")
	return programs{parts, door}, nil
}

// installerMain is the process that installApart starts. It prints the paths.
func installerMain() int {
	parts, err := install(os.Args[1], programPrefix, embedded.Program())
	if err == nil {
		var door string
		if door, err = install(os.Args[1], doorPrefix, embedded.Door()); err == nil {
			fmt.Print(parts, "\x00", door)
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// install puts a program into dir, unless it is there, and removes others with
// that prefix.
func install(dir, prefix string, program []byte) (string, error) {
	sum := sha256.Sum256(program)
	path := filepath.Join(dir, prefix+hex.EncodeToString(sum[:8]))
	old, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil {
		return "", err
	}
	for _, p := range old {
		if p != path {
			if err := os.Remove(p); err != nil {
				return "", err
			}
		}
	}
	if same(path, sum) {
		return path, nil
	}
	tmp := path + ".new"
	err = errors.Join(os.WriteFile(tmp, program, 0o700), os.Rename(tmp, path))
	return path, err
}

// same tells whether the file at path has this digest. One that a power loss
// has cut short has not.
func same(path string, sum [sha256.Size]byte) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return err == nil && [sha256.Size]byte(h.Sum(nil)) == sum
}
