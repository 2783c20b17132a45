// Package sandboxtest is the conformance and posture suite that every sandbox
// driver passes. A driver's own tests call Run (and Main from TestMain); the
// suite makes real sandboxes on a real root tree, runs programs in them, and
// looks at them from inside and from the host.
//
// It is used by tests only. It needs root, /usr/bin/python3 on the host, and
// nothing else; on such a machine it skips nothing. Where drivers may differ,
// they say so in Options, with the reason.
package sandboxtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

//go:embed probe
var probes embed.FS

// shortest is how long the suite waits for something that happens by itself,
// unless Options say otherwise. No test passes or fails by being quicker or
// slower within it.
const shortest = 30 * time.Second

// Options says which driver is tested and in what it may differ.
type Options struct {
	// New makes the driver with the directory dir as its own, as the driver's
	// constructor does. It is called several times, one driver after another
	// on the same directory.
	New func(t *testing.T, dir string) sandbox.Driver
	// Root is a root tree that has /usr/bin/python3 with its standard library
	// and what rootfs.Base gives. If it is empty, the suite makes one.
	Root string
	// User is Spec.User of the sandboxes that are made for somebody, and Reads says
	// which files of Root it may read: the others are there, and refused.
	User  *sandbox.User
	Reads map[string]bool
	// SharesKernel says that processes in a sandbox are processes of the
	// host's kernel: they are then looked at from the host, too.
	SharesKernel bool
	// Forks says that the driver forks sandboxes from templates (Spec.Template):
	// most of the suite runs once more, below "forked", with such sandboxes.
	Forks bool
	// Allowed are the differences that are accepted, by the name of the
	// subtest below Run ("posture/seccomp") with the reason. It goes for the
	// subtests below as well: name the lowest that does. What is allowed runs
	// all the same; if it passes, its entry here is out of date, and the suite
	// fails for that.
	Allowed map[string]string
	// Keeps are names in the driver's directory (patterns as in
	// filepath.Match) that may be there after Close, with the reason.
	Keeps map[string]string
	// Patience is how long the suite waits for what should happen by itself.
	// Zero means half a minute, which is right for everything but a driver
	// that is known to fail.
	Patience time.Duration
}

// suite is one call of Run.
type suite struct {
	o      Options
	driver sandbox.Driver
	dir    string // the driver's
	root   string // the root tree
	code   string // the probes, mounted at /var/task
	work   string // socket directories and whatever else the suite makes
	secret string // in the environment of this process: must show nowhere

	fork bool // what can be is forked from a template now

	mu sync.Mutex
	// forks are how sandboxes that could have been forked were started: "" is
	// forked, else the reason.
	forks map[string]int
	ids   []string        // of every sandbox that was ever asked for
	hit   map[string]bool // names of subtests that ran
	// differed are the names in Options.Allowed that were needed.
	differed map[string]bool
	// parents are the cgroups in which the driver makes those of sandboxes.
	parents []string
}

// T is the testing.T of a subtest, which knows whether the driver may fail it.
type T struct {
	*testing.T
	s        *suite
	allowed  string // the name in Options.Allowed, or ""
	patience time.Duration
}

// Errorf reports a failure, or notes it if the driver may differ here.
func (t *T) Errorf(format string, args ...any) {
	t.Helper()
	if t.allowed == "" {
		t.T.Errorf(format, args...)
		return
	}
	t.s.mu.Lock()
	t.s.differed[t.allowed] = true
	t.s.mu.Unlock()
	t.Logf("differs, which is allowed (%s): %s", t.s.o.Allowed[t.allowed], fmt.Sprintf(format, args...))
}

// Error is Errorf without a format.
func (t *T) Error(args ...any) {
	t.Helper()
	t.Errorf("%s", strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}

// Fatalf is Errorf, after which the subtest ends.
func (t *T) Fatalf(format string, args ...any) {
	t.Helper()
	t.Errorf(format, args...)
	runtime.Goexit() // of the subtest's body, see run
}

// Fatal is Fatalf without a format.
func (t *T) Fatal(args ...any) {
	t.Helper()
	t.Fatalf("%s", strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}

// run runs body as a subtest. The body has a goroutine of its own, so that it
// can be ended without the testing package calling that a failure.
func (s *suite) run(parent *testing.T, name string, body func(t *T)) {
	parent.Helper()
	parent.Run(name, func(tt *testing.T) {
		full := tt.Name()
		if i := strings.Index(full, "/"); i >= 0 {
			full = full[i+1:]
		}
		t := &T{T: tt, s: s, allowed: s.allowance(full), patience: slow.Patience(cmp.Or(s.o.Patience, shortest))}
		s.mu.Lock()
		s.hit[full] = true
		s.mu.Unlock()
		done := make(chan struct{})
		go func() {
			defer close(done)
			body(t)
		}()
		<-done
	})
}

// allowance is the longest name in Options.Allowed that covers a subtest. What is
// allowed in the posture of one sandbox is allowed in that of every other, if
// there is nothing more special.
func (s *suite) allowance(name string) string {
	if found := s.covers(name); found != "" {
		return found
	}
	_, fact, ok := strings.Cut(name, "/posture/")
	for ok {
		if found := s.covers("posture/" + fact); found != "" {
			return found
		}
		_, fact, ok = strings.Cut(fact, "/") // of which of several sandboxes
	}
	return ""
}

func (s *suite) covers(name string) string {
	for {
		if _, ok := s.o.Allowed[name]; ok {
			return name
		}
		i := strings.LastIndex(name, "/")
		if i < 0 {
			return ""
		}
		name = name[:i]
	}
}

// Run runs the suite. The driver's test must be a top-level test: names in
// Options.Allowed begin below it.
func Run(t *testing.T, o Options) {
	s, before := begin(t, o)
	t.Run("life", s.life)
	t.Run("freeze", s.freeze)
	t.Run("door", s.doors)
	t.Run("limits", s.limits)
	s.run(t, "posture", s.posture)
	s.run(t, "late", s.late)
	s.run(t, "held", s.held)
	s.run(t, "link", s.link)
	if o.Forks {
		t.Run("forked", s.forked)
	}
	t.Run("pair", s.pair)
	s.run(t, "findings", s.findings)

	s.run(t, "close", s.close)
	if !s.hit["close"] { // not asked for
		if err := s.driver.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	left := before.since()
	s.run(t, "leaks", func(t *T) { none(t, "after Close", left) })
	s.run(t, "crash", s.crash)
	left = before.since()
	s.run(t, "leaks_after_crash", func(t *T) { none(t, "after Close", left) })
	s.checkAllowed(t)
}

// Whole tells that all of the suite is asked for where a part of it is run else
// (ALCOVE_WHOLE_SUITE=1): on roots that are made of container images, which takes
// minutes.
func Whole() bool { return os.Getenv("ALCOVE_WHOLE_SUITE") != "" }

// RunOn runs the suite on another root than its own: the part that looks at one
// sandbox, or all of it (Whole).
func RunOn(t *testing.T, o Options) {
	if Whole() {
		Run(t, o)
		return
	}
	runPosture(t, o)
}

func runPosture(t *testing.T, o Options) {
	runOne(t, o, "posture", (*suite).posture)
}

// RunLink runs the part of the suite that looks at links.
func RunLink(t *testing.T, o Options) { runOne(t, o, "link", (*suite).link) }

func runOne(t *testing.T, o Options, name string, part func(s *suite, t *T)) {
	s, before := begin(t, o)
	s.run(t, name, func(t *T) { part(s, t) })
	if err := s.driver.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	left := before.since()
	s.run(t, "leaks", func(t *T) { none(t, "after Close", left) })
	s.checkAllowed(t)
}

// begin makes what subtests work with.
func begin(t *testing.T, o Options) (*suite, stock) {
	if os.Geteuid() != 0 {
		t.Fatal("the suite must run as root: nothing of it can be checked otherwise")
	}
	s := &suite{o: o, hit: make(map[string]bool), differed: make(map[string]bool), forks: make(map[string]int), secret: token()}
	t.Setenv("ALCOVE_SANDBOXTEST_SECRET", s.secret)
	s.work = workDir(t)
	s.dir = filepath.Join(s.work, "driver")
	s.code = filepath.Join(s.work, "code")
	for _, d := range []string{s.dir, s.code} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeProbes(s.code); err != nil {
		t.Fatal(err)
	}
	if s.root = o.Root; s.root == "" {
		s.root = pythonRoot(t, filepath.Join(s.work, "rootfs"))
	}
	before := takeStock(s)
	s.driver = o.New(t, s.dir)
	return s, before
}

// checkAllowed sees that every difference that is allowed is one.
func (s *suite) checkAllowed(t *testing.T) {
	o := &s.o
	for _, name := range slices.Sorted(maps.Keys(o.Allowed)) {
		switch {
		case !s.hit[name] && !filtered():
			t.Errorf("Options.Allowed has %q, but there is no such subtest", name)
		case s.hit[name] && !s.differed[name]:
			t.Errorf("Options.Allowed has %q (%s), but this difference does not show: remove it", name, o.Allowed[name])
		}
	}
}

// workDir is t.TempDir, below a directory that any user may enter, with a name
// short enough for unix sockets.
func workDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "sbx-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("cannot remove what the suite made: %v", err)
		}
	})
	return dir
}

func writeProbes(dir string) error {
	names, err := probes.ReadDir("probe")
	if err != nil {
		return err
	}
	for _, e := range names {
		raw, err := probes.ReadFile("probe/" + e.Name())
		if err != nil {
			return err
		}
		// Writable by its mode: only the mount keeps a sandbox from writing.
		name := filepath.Join(dir, e.Name())
		if err := os.WriteFile(name, raw, 0o666); err != nil {
			return err
		}
		if err := os.Chmod(name, 0o666); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o777)
}

// pythonRoot makes the root tree: a real one, of this host's Python.
func pythonRoot(t *testing.T, dir string) string {
	real, err := filepath.EvalSymlinks("/usr/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	store, err := rootfs.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.Tree(context.Background(), rootfs.Want{
		Name:     "sandboxtest",
		Programs: []string{"/usr/bin/python3"},
		Dirs:     []string{"/usr/lib/" + filepath.Base(real)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree.Dir
}

func (s *suite) newID() string {
	id := token()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, id)
	return id
}

func token() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// filtered tells whether only some of the subtests were asked for.
func filtered() bool {
	for _, name := range []string{"test.run", "test.skip"} {
		if f := flag.Lookup(name); f != nil && strings.Contains(f.Value.String(), "/") {
			return true
		}
	}
	return false
}

// await polls until cond is true.
func await(t *T, what string, cond func() bool) {
	t.Helper()
	if !eventually(t.patience, cond) {
		t.Fatalf("waited %v for %s", t.patience, what)
	}
}

func eventually(limit time.Duration, cond func() bool) bool {
	for end := time.Now().Add(limit); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
