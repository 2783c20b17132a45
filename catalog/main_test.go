package catalog

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/store"
)

// The test binary runs itself again for a process that can be killed.
const (
	childEnv = "ALCOVE_CATALOG_TEST_CHILD"
	dirEnv   = "ALCOVE_CATALOG_TEST_DIR"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childChange())
	}
	os.Exit(m.Run())
}

var (
	place  = alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	caller = alcove.Caller{ARN: "arn:aws:iam::000000000000:root"}
)

// node is a catalog with what it stands on.
type node struct {
	dir   string
	store *store.Store
	art   *artifact.Store
	*Catalog
	moved chan struct{} // gets a token after changes
}

// start opens a node over dir; cfg may be left empty.
func start(dir string, cfg Config, sweep time.Duration) (*node, error) {
	return startReserve(dir, cfg, sweep, 0)
}

func startReserve(dir string, cfg Config, sweep time.Duration, reserve int64) (*node, error) {
	n := &node{dir: dir, moved: make(chan struct{}, 1)}
	var err error
	if n.store, err = store.Open(context.Background(), store.Config{Dir: filepath.Join(dir, "state"), Reserve: reserve}); err != nil {
		return nil, err
	}
	if n.art, err = artifact.Open(filepath.Join(dir, "artifact"), nil); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	n.art.SetReserve(0)
	cfg.Store, cfg.Artifacts, cfg.Place = n.store, n.art, place
	if cfg.Prepare == nil {
		cfg.Prepare = func(context.Context, *alcove.Version) error { return nil }
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 1000
	}
	if n.Catalog, err = open(context.Background(), cfg, sweep); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	return n, nil
}

func (n *node) stopAll() error { return errors.Join(n.Catalog.Close(), n.store.Close()) }

// begin opens a node for a test and closes it with the test.
func begin(t testing.TB, cfg Config) *node {
	t.Helper()
	n, err := start(t.TempDir(), cfg, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stopAll(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// again closes the node and opens it as another process would.
func (n *node) again(t testing.TB, cfg Config) {
	t.Helper()
	if err := n.stopAll(); err != nil {
		t.Fatal(err)
	}
	next, err := start(n.dir, cfg, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	*n = *next
}

// await waits until the view is as ok wants it.
func (n *node) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), slow.Patience(time.Minute))
	defer cancel()
	if err := n.waiting.wait(ctx, n.Catalog, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// settled waits until nothing of the function is pending.
func (n *node) settled(t testing.TB, name string) *alcove.Version {
	t.Helper()
	n.await(t, name+" settles", func() bool {
		e := n.view.Load().functions[name]
		return e != nil && !e.unsettled()
	})
	v, err := n.Describe(alcove.Ref{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// poll waits for something outside of the view.
func poll(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(slow.Patience(time.Minute)); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for: " + what)
		}
	}
}

func makeZip(body string) *artifact.Package {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("index.py")
	if err == nil {
		_, err = f.Write([]byte(body))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return artifact.Sent(b.Bytes())
}

func config(description string) alcove.Config {
	return alcove.Config{Runtime: "python3.13", Handler: "index.handler", Role: "arn:aws:iam::000000000000:role/r",
		Description: description, Timeout: 3, MemorySize: 128, Ephemeral: 512, Architecture: "x86_64", PackageType: "Zip",
		Tracing: "PassThrough", Logging: alcove.Logging{Format: "Text", Group: "/aws/lambda/f"}}
}

func (n *node) create(t testing.TB, name string) *alcove.Version {
	t.Helper()
	v, err := n.Create(t.Context(), caller, CreateInput{Name: name, Config: config(""), Zip: makeZip(name)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// made creates a function and waits until it is Active.
func (n *node) made(t testing.TB, name string) *alcove.Version {
	t.Helper()
	n.create(t, name)
	return n.settled(t, name)
}

func (n *node) resolve(t testing.TB, name, qualifier string) *alcove.Version {
	t.Helper()
	v, err := n.Resolve(alcove.Ref{Name: name, Qualifier: qualifier})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func describe(text string) func(*alcove.Config) error {
	return func(c *alcove.Config) error { c.Description = text; return nil }
}

func remember(mb int) func(*alcove.Config) error {
	return func(c *alcove.Config) error { c.MemorySize = mb; return nil }
}

// want checks that err is AWS's error of that code and text.
func want(t testing.TB, err error, code, text string) {
	t.Helper()
	e, ok := errors.AsType[*alcove.Error](err)
	if !ok || e.Fault != alcove.FaultClient || e.Code != code || e.Message != text {
		t.Errorf("error is %v; want %s: %s", err, code, text)
	}
}

// states writes down a version's life cycle.
func states(v *alcove.Version) string {
	return strings.Join([]string{v.Number, string(v.State), v.StateReasonCode, string(v.Update), v.UpdateReasonCode}, " ")
}

// gate is a Prepare that waits until the test lets it go on.
type gate struct {
	asked chan *alcove.Version
	let   chan error

	mu   sync.Mutex
	open bool // guarded by mu
}

func newGate() *gate {
	return &gate{asked: make(chan *alcove.Version, 100), let: make(chan error)}
}

func (g *gate) prepare(ctx context.Context, v *alcove.Version) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open {
		return nil
	}
	g.asked <- v
	select {
	case err := <-g.let:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// record is what a subscriber heard.
type heard struct {
	mu   sync.Mutex
	list []string
}

func (h *heard) change(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := fmt.Sprintf("%s:%s g%d", c.Name, c.Number, c.Generation)
	if c.Deleted {
		s += " deleted"
	}
	h.list = append(h.list, s)
}

func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.list = nil }()
	return slices.Clone(h.list)
}
