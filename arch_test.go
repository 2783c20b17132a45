package alcove_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/alcove-run/alcove"

// layers is the import table: a package imports only packages of layers below
// its own, or of its own layer where that is marked. Reasons for single
// exceptions stand beside them. ARCHITECTURE.md has the same picture in words.
var layers = []struct {
	packages []string // directories; a trailing /... takes those below
	peers    bool     // may they import each other
}{
	{packages: []string{"."}},
	{packages: []string{"internal/..."}},
	{packages: []string{"telemetry", "store", "sandbox"}},
	{packages: []string{"sandbox/cgroup", "sandbox/rootfs", "sandbox/initbin", "sandbox/remains"}},
	{packages: []string{"sandbox/egress/...", "sandbox/supervise/..."}, peers: true},
	{packages: []string{"sandbox/sandboxtest", "sandbox/gvisor/...", "sandbox/namespace/..."}, peers: true},
	{packages: []string{"runtimeapi/...", "runtimes/...", "artifact/...", "journal"}, peers: true},
	{packages: []string{"registry", "s3"}},
	{packages: []string{"environment"}},
	{packages: []string{"pool/policy"}},
	{packages: []string{"pool"}},
	{packages: []string{"logs/insights", "metrics/expression"}},
	{packages: []string{"catalog", "logs", "metrics", "otlp", "usage"}},
	{packages: []string{"invoke", "purge", "logs/queries"}},
	{packages: []string{"invoke/async/..."}, peers: true},
	{packages: []string{"auth/policy"}},
	{packages: []string{"auth"}},
	{packages: []string{"audit"}},
	{packages: []string{"lambdaapi", "logsapi", "metricsapi", "stsapi", "nodeapi", "promapi", "urlapi"}}, // APIs never import each other
	{packages: []string{"gateway", "console"}},
	{packages: []string{"cmd/...", "test/...", "examples/..."}, peers: true},
}

// standardOnly import nothing but the standard library.
var standardOnly = []string{".", "auth/policy", "metrics/expression", "pool/policy", "sandbox/egress/policy", "telemetry"}

// only lists modules that few packages may import, each for its reason.
var only = map[string][]string{
	"github.com/nats-io/":                    {"store"},                                                                                            // one place knows the engine
	"gvisor.dev/":                            {"sandbox/gvisor/...", "sandbox/egress/relay"},                                                       // one place knows the sandbox, one its network stack
	"github.com/google/go-containerregistry": {"registry", "test/..."},                                                                             // one place knows the protocol
	"modernc.org/sqlite":                     {"internal/sqlite"},                                                                                  // one place knows the database
	"github.com/aws/":                        {"cmd/...", "console", "test/...", "examples/...", "runtimes/...", "s3", "invoke/async/destination"}, // a client of ours, or a test's, or what signs a request of ours
	"go.opentelemetry.io/":                   {"otlp", "test/..."},                                                                                 // one place knows the collector's protocol
	module + "/store":                        {"catalog", "auth", "cmd/alcove"},                                                                    // cmd opens it
}

func TestImportsPointDown(t *testing.T) {
	for dir, imports := range packageImports(t) {
		from, ok := layerOf(dir)
		if !ok {
			t.Errorf("%s has no place in the import table: give it one, there and in ARCHITECTURE.md", dir)
			continue
		}
		for _, imp := range imports {
			rel, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			to := strings.TrimPrefix(rel, "/")
			if to == "" {
				to = "."
			}
			l, ok := layerOf(to)
			switch {
			case !ok:
				t.Errorf("%s imports %s, which has no place in the import table", dir, to)
			case l > from, l == from && !layers[from].peers && !parentOf(to, dir) && !parentOf(dir, to):
				t.Errorf("%s imports %s: imports point down", dir, to)
			}
		}
	}
}

func TestLimitedImports(t *testing.T) {
	for dir, imports := range packageImports(t) {
		for _, imp := range imports {
			if in(standardOnly, dir) && strings.Contains(imp, ".") && !strings.HasPrefix(imp, module) {
				t.Errorf("%s imports %s: it may import only the standard library", dir, imp)
			}
			for prefix, allowed := range only {
				if strings.HasPrefix(imp, prefix) && !in(allowed, dir) {
					t.Errorf("%s imports %s: only %s may", dir, imp, strings.Join(allowed, ", "))
				}
			}
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	comments := map[string][]string{}
	walk(t, func(path, dir string) {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		if _, ok := comments[dir]; !ok {
			comments[dir] = nil
		}
		if f.Doc != nil {
			comments[dir] = append(comments[dir], path)
		}
	})
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("%s has %d package comments, want one: %s", dir, len(files), files)
		}
	}
}

// TestEveryPackageIsInTheTree compares the tree in ARCHITECTURE.md with the
// directories: each package has a line that begins with its path and a slash,
// and each line that does names a directory that is there.
func TestEveryPackageIsInTheTree(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tree, _ := strings.Cut(string(text), "\n## Tree\n\n```\n")
	tree, _, _ = strings.Cut(tree, "\n```\n")
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(\S+)/ +\S`).FindAllStringSubmatch(tree, -1) {
		dir := m[1]
		if named[dir] {
			t.Errorf("%s has two lines", dir)
		}
		named[dir] = true
		if i, err := os.Stat(dir); err != nil || !i.IsDir() {
			t.Errorf("%s is in the tree of ARCHITECTURE.md and no directory: take its line out", dir)
		}
	}
	walk(t, func(_, dir string) {
		if !named[dir] {
			named[dir] = true // said once
			t.Errorf("%s is not in the tree of ARCHITECTURE.md: give it a line there, of what it owns", dir)
		}
	})
}

// TestEveryNameInTheDocsIsThere looks for what the documents name of the
// repository: the targets of their links, paths in backquotes that begin with a
// directory of the root, and tests.
func TestEveryNameInTheDocsIsThere(t *testing.T) {
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	walk(t, func(path, _ string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range function.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	})
	docs, err := filepath.Glob("docs/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatal(docs, err)
	}
	docs = append(docs, "README.md", "ARCHITECTURE.md", "examples/README.md")
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(?:#[^)]*)?\)`)
	path := regexp.MustCompile("`([a-z][\\w-]*/[\\w./-]*)")
	test := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	exists := func(path string) bool { _, err := os.Stat(path); return err == nil }
	for _, doc := range docs {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			if target := filepath.Join(filepath.Dir(doc), string(m[1])); !exists(target) {
				t.Errorf("%s has a link to %s, which is not there", doc, target)
			}
		}
		for _, m := range path.FindAllSubmatch(text, -1) {
			named := string(m[1])
			if root, _, _ := strings.Cut(named, "/"); root != "bin" && exists(root) && !exists(named) {
				t.Errorf("%s names %s, which is not there", doc, named)
			}
		}
		for _, m := range test.FindAll(text, -1) {
			if !tests[string(m)] {
				t.Errorf("%s names %s, which no test is called", doc, m)
			}
		}
	}
}

// TestEveryDependencyHasItsReason compares docs/dependencies.md with go.mod: each
// module that is required directly has a row, alone, in a list, or below a path that
// ends in /..., and each row is of such a module or of a package in one.
func TestEveryDependencyHasItsReason(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var modules, rows []string
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) v\S+$`).FindAllSubmatch(mod, -1) {
		modules = append(modules, string(m[1]))
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (\S*/[^|]*) \|`).FindAllSubmatch(doc, -1) {
		rows = append(rows, strings.Split(string(m[1]), ", ")...)
	}
	if len(modules) < 10 || len(rows) < 10 {
		t.Fatalf("found only the modules %s and the rows %s", modules, rows)
	}
	for _, m := range modules {
		if !in(rows, m) {
			t.Errorf("docs/dependencies.md does not say why %s is required", m)
		}
	}
	for _, r := range rows {
		path, _ := strings.CutSuffix(r, "/...")
		if !slices.ContainsFunc(modules, func(m string) bool { return m == path || parentOf(m, path) }) {
			t.Errorf("docs/dependencies.md has a row of %s, which go.mod does not require directly", r)
		}
	}
	// What is imported is no indirect requirement.
	for dir, imports := range packageImports(t) {
		for _, imp := range imports {
			if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") || strings.HasPrefix(imp, module) {
				continue
			}
			if !slices.ContainsFunc(modules, func(m string) bool { return m == imp || parentOf(m, imp) }) {
				t.Errorf("%s imports %s, which go.mod requires only indirectly: go mod tidy", dir, imp)
			}
		}
	}
}

// packageImports gives the imports of each directory's code, tests left out.
func packageImports(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	walk(t, func(path, dir string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			out[dir] = append(out[dir], p)
		}
	})
	if len(out) < 10 {
		t.Fatalf("found only %d packages", len(out))
	}
	return out
}

func walk(t *testing.T, visit func(path, dir string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".go") {
			visit(path, filepath.ToSlash(filepath.Dir(path)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func layerOf(dir string) (int, bool) {
	for i, l := range layers {
		if in(l.packages, dir) {
			return i, true
		}
	}
	return 0, false
}

func in(list []string, dir string) bool {
	for _, p := range list {
		if base, tree := strings.CutSuffix(p, "/..."); p == dir || tree && (dir == base || parentOf(base, dir)) {
			return true
		}
	}
	return false
}

func parentOf(parent, dir string) bool { return strings.HasPrefix(dir, parent+"/") }
