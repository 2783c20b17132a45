package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/alcove-run/alcove/test/testnode"
)

// drivers are the values of --isolation; what runs functions is tested on each.
var drivers = []string{"gvisor", "namespace"}

// patience bounds every wait for something that another process does.
var patience = testnode.Patience

// program is the alcove that is tested.
var program string

// shared are the nodes that tests use together, by driver. A test that changes
// a node, or looks at all of it, starts one of its own.
var shared struct {
	sync.Mutex
	nodes map[string]*node // guarded by Mutex
}

func TestMain(m *testing.M) { os.Exit(main(m)) }

func main(m *testing.M) int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "e2e: needs root: the sandboxes under test are made of namespaces, mounts and cgroups")
		return 1
	}
	path, remove, err := testnode.Program("../..")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer remove()
	program = path
	code := m.Run()
	for _, n := range shared.nodes {
		if err := n.stop(); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: the shared node: %v\n", err)
			code = 1
		}
		os.RemoveAll(n.data)
	}
	return code
}

// node is a running `alcove serve`.
type node struct {
	*testnode.Node
	data   string // its data directory
	url    string
	key    aws.Credentials
	lambda *lambda.Client
	logs   *cloudwatchlogs.Client
	flags  []string
}

// launch starts a node on a data directory and waits until it is ready.
func launch(data string, flags ...string) (*node, error) {
	return launchAs([]string{program}, data, flags...)
}

// launchLimited is launch with a hard limit of open files.
func launchLimited(openFiles int, data string, flags ...string) (*node, error) {
	return launchAs([]string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, openFiles), program}, data, flags...)
}

func launchAs(command []string, data string, flags ...string) (*node, error) {
	n, err := testnode.Launch(command, data, flags...)
	if err != nil {
		return nil, err
	}
	return &node{n, data, n.URL, n.Key, n.Lambda, n.Logs, flags}, nil
}

// lambdaAs is the official client with other credentials. It does not try again:
// what a test sees is the first answer.
func (n *node) lambdaAs(key aws.Credentials) *lambda.Client { return n.LambdaAs(key) }

// cleanEnv is the environment without what would change how a program behaves
// that is configured by variables.
func cleanEnv(add ...string) []string { return testnode.CleanEnv(add...) }

// stop ends the node as an operator does. The error says if it did not end well,
// or left something behind.
func (n *node) stop() error {
	if !n.Running() {
		return nil
	}
	before := n.traces()
	if err := n.Stop(); err != nil {
		return err
	}
	if left := n.left(before); len(left) > 0 {
		return fmt.Errorf("the node ended and left behind:\n%s", strings.Join(left, "\n"))
	}
	return nil
}

// kill ends the node with SIGKILL: it can do nothing more.
func (n *node) kill(t *testing.T) { t.Helper(); n.Kill(t) }

// start starts a node that belongs to one test.
func start(t *testing.T, flags ...string) *node {
	t.Helper()
	return startIn(t, t.TempDir(), flags...)
}

func startIn(t *testing.T, data string, flags ...string) *node {
	t.Helper()
	n, err := launch(data, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the node on %s:\n%s", data, tail(n.Log.String(), 4000))
		}
	})
	return n
}

func tail(s string, n int) string { return testnode.Tail(s, n) }

// on gives the shared node of a driver.
func on(t *testing.T, driver string) *node {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	n := shared.nodes[driver]
	if n == nil {
		dir, err := os.MkdirTemp("", "alcove-e2e-")
		if err != nil {
			t.Fatal(err)
		}
		// Tests are over when the next begins, but their environments are kept
		// warm; those may go for the sake of others at once.
		if n, err = launch(dir, "--isolation", driver, "--tenant-idle-min", "0s"); err != nil {
			t.Fatal(err)
		}
		if shared.nodes == nil {
			shared.nodes = map[string]*node{}
		}
		shared.nodes[driver] = n
	}
	mark := len(n.Log.String())
	t.Cleanup(func() {
		if log := n.Log.String(); t.Failed() {
			t.Logf("the node's log meanwhile:\n%s", tail(log[mark:], 4000))
		}
	})
	return n
}

// onEach runs a test on the shared node of every driver.
func onEach(t *testing.T, test func(t *testing.T, n *node)) {
	for _, d := range drivers {
		t.Run(d, func(t *testing.T) { test(t, on(t, d)) })
	}
}

// get asks alcove's own API.
func (n *node) get(t *testing.T, path string) []byte {
	t.Helper()
	status, body := n.ask(t, path)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return body
}

// status is what alcove's own API answers with.
func (n *node) status(t *testing.T, path string) int {
	t.Helper()
	status, _ := n.ask(t, path)
	return status
}

func (n *node) ask(t *testing.T, path string) (int, []byte) { t.Helper(); return n.Ask(t, n.key, path) }

// environment is what the node tells of an execution environment.
type environment = testnode.Environment

// environments lists a function's, but for those that wait for a tenant.
func (n *node) environments(t *testing.T, function string) []environment {
	t.Helper()
	return slices.DeleteFunc(n.all(t, function), func(e environment) bool { return !e.Bound && e.State != "busy" })
}

// all lists all of a function's environments, or of every one's.
func (n *node) all(t *testing.T, function string) []environment {
	t.Helper()
	var answer struct{ Environments []environment }
	if err := json.Unmarshal(n.get(t, "/alcove/v1/environments?function="+function), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Environments
}

// alcove runs the program's command line against the node.
func (n *node) alcove(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return n.Alcove(t, args...)
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testnode.Eventually(t, what, ok)
}
