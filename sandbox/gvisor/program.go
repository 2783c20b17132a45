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

// chooseProgram says which program to start as the parts of a sandbox, and what
// Probe found with it: the one that the caller names, or the embedded one, which
// is put into dir, or, if there is none or it does not work, the running one.
func chooseProgram(ctx context.Context, conf Config) (string, []sandbox.Finding) {
	if conf.Exe != "" {
		return conf.Exe, Probe(ctx, conf.Exe)
	}
	if embedded.Present() {
		path, err := installApart(ctx, conf.Dir)
		if err == nil {
			findings := Probe(ctx, path)
			if err = usable(findings); err == nil {
				findings[0].Detail += ", started as a small program of its own"
				return path, findings
			}
		}
		conf.Log.Warn("the node's own program is started as the parts of sandboxes, which is slower", "err", err)
	}
	return argSelf, Probe(ctx, argSelf)
}

// installApart has another process do what install does, so that the node does
// not hold the pages of a program that it never runs.
func installApart(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, argSelf)
	cmd.Args = []string{argInstaller, dir}
	cmd.Stderr = os.Stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("install the embedded program: %w", err)
	}
	return string(path), nil
}

// installerMain is the process that installApart starts. It prints the path.
func installerMain() int {
	path, err := install(os.Args[1], embedded.Program())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print(path)
	return 0
}

// install puts the program into dir, unless it is there, and removes others.
func install(dir string, program []byte) (string, error) {
	sum := sha256.Sum256(program)
	path := filepath.Join(dir, programPrefix+hex.EncodeToString(sum[:8]))
	old, err := filepath.Glob(filepath.Join(dir, programPrefix+"*"))
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
