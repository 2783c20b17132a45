package runtimes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// askTimeout is how long an interpreter may take to say what it is.
const askTimeout = 20 * time.Second

// The oldest interpreters that the bootstraps run on.
const (
	minPython = 8  // 3.8
	minNode   = 18 // 18.0
)

// pythonQuestion makes an interpreter print its version, where its standard
// library is, and its byte code for our files, so that no sandbox has to compile
// them. The byte code is of the unchecked kind, for the root tree keeps no times.
const pythonQuestion = `
import base64, importlib.util, json, marshal, sys
def compiled(name, source):
    code = compile(source, "/var/runtime/" + name + ".py", "exec", dont_inherit=True, optimize=0)
    raw = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code)
    return base64.b64encode(raw).decode()
json.dump({"version": sys.version_info[:3], "path": sys.path,
    "compiled": {k: compiled(k, v) for k, v in json.load(sys.stdin).items()}}, sys.stdout)
`

// askPython asks a Python interpreter what it is.
func askPython(path string) (about, error) {
	sources := pythonSources()
	question, err := json.Marshal(sources)
	if err != nil {
		return about{}, fmt.Errorf("runtimes: %w", err)
	}
	var answer struct {
		Version  [3]int
		Path     []string
		Compiled map[string][]byte
	}
	// Isolated and without site: what is in the answer's path is the standard
	// library alone.
	if err := ask(&answer, question, path, "-I", "-S", "-c", pythonQuestion); err != nil {
		return about{}, err
	}
	version := fmt.Sprintf("%d.%d.%d", answer.Version[0], answer.Version[1], answer.Version[2])
	if answer.Version[1] < minPython {
		return about{}, alcove.InvalidParameter("Python functions need Python 3.%d or later, and this machine has %s.", minPython, version)
	}
	want := rootfs.Want{Name: fmt.Sprintf("python%d.%d", answer.Version[0], answer.Version[1]),
		Programs: []string{path}, Dirs: topmost(answer.Path), Files: map[string][]byte{}, Links: map[string]string{}}
	for name, code := range answer.Compiled {
		want.Files[RuntimeDir+"/"+name+".pyc"] = code
		want.Files[RuntimeDir+"/"+name+".py"] = []byte(sources[name]) // for the lines in stack traces
	}
	return about{version: version, want: want, args: []string{path, "-S", RuntimeDir + "/bootstrap.pyc"}}, nil
}

// askNode asks a Node.js what it is.
func askNode(path string) (about, error) {
	var version string
	if err := ask(&version, nil, path, "--print", "JSON.stringify(process.versions.node)"); err != nil {
		return about{}, err
	}
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < minNode {
		return about{}, alcove.InvalidParameter("Node.js functions need Node.js %d or later, and this machine has %s.", minNode, version)
	}
	want := rootfs.Want{Name: "node" + version, Programs: []string{path},
		Files: map[string][]byte{RuntimeDir + "/bootstrap.js": []byte(nodeSource()), RuntimeDir + "/rehearsal.js": []byte(nodeRehearsal())}}
	return about{version: version, want: want, args: []string{path, RuntimeDir + "/bootstrap.js"}}, nil
}

// ask runs a program of the host with nothing of our environment and reads JSON
// from its output.
func ask(answer any, stdin []byte, path string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = "/", []string{"LANG=C.UTF-8"}, bytes.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("runtimes: ask %s: %w", path, err)
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fmt.Errorf("runtimes: ask %s: %w", path, err)
	}
	return nil
}

// topmost leaves out of a module path what is not an existing directory and what
// is below another of its directories.
func topmost(path []string) []string {
	var dirs []string
	for _, dir := range path {
		if isDir(dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	var top []string
	for _, dir := range dirs {
		if !slices.ContainsFunc(top, func(above string) bool { return dir == above || strings.HasPrefix(dir, above+"/") }) {
			top = append(top, dir)
		}
	}
	return top
}
