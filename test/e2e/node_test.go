package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/alcove-run/alcove/internal/slow"
)

// drivers are the values of --isolation; what runs functions is tested on each.
var drivers = []string{"gvisor", "namespace"}

// patience bounds every wait for something that another process does.
var patience = slow.Patience(60 * time.Second)

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
	if program = os.Getenv("ALCOVE_BIN"); program == "" {
		dir, err := os.MkdirTemp("", "alcove-e2e-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "alcove")
		build := exec.Command("make", "--no-print-directory", "-C", "../..", "build", "BIN="+program)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: make build:", err)
			return 1
		}
	}
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
	data   string // its data directory
	url    string
	key    aws.Credentials
	lambda *lambda.Client
	logs   *cloudwatchlogs.Client

	cmd   *exec.Cmd
	flags []string
	out   buffer // standard output
	log   buffer // standard error
	ended chan struct{}
	end   error // of cmd.Wait, after ended
}

// buffer can be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
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
	n := &node{data: data, flags: flags, ended: make(chan struct{})}
	args := append(append(command[1:], "serve", "--listen", "127.0.0.1:0", "--data", data), flags...)
	n.cmd = exec.Command(command[0], args...)
	n.cmd.Stderr = &n.log
	n.cmd.Env = cleanEnv()
	// Should the tests be ended from outside, the node ends by itself.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			fmt.Fprintln(&n.out, lines.Text())
			if url, ok := strings.CutPrefix(lines.Text(), "alcove ready on "); ok {
				ready <- url
			}
		}
	}()
	go func() {
		<-read
		n.end = n.cmd.Wait()
		close(n.ended)
	}()
	select {
	case n.url = <-ready:
	case <-n.ended:
		return nil, fmt.Errorf("the node ended: %w\n%s", n.end, &n.log)
	case <-time.After(patience):
		n.cmd.Process.Kill()
		return nil, fmt.Errorf("the node did not get ready\n%s", &n.log)
	}
	text, err := os.ReadFile(filepath.Join(data, "root-key.json"))
	if err == nil {
		var key struct{ AccessKeyID, SecretAccessKey string }
		err = json.Unmarshal(text, &key)
		n.key = aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}
	}
	if err != nil {
		return nil, errors.Join(err, n.stop())
	}
	n.lambda = n.lambdaAs(n.key)
	n.logs = cloudwatchlogs.New(cloudwatchlogs.Options{Region: "us-east-1", BaseEndpoint: &n.url,
		Credentials: credentials.StaticCredentialsProvider{Value: n.key}})
	return n, nil
}

// lambdaAs is the official client with other credentials. It does not try again:
// what a test sees is the first answer.
func (n *node) lambdaAs(key aws.Credentials) *lambda.Client {
	return lambda.New(lambda.Options{Region: "us-east-1", BaseEndpoint: &n.url, RetryMaxAttempts: 1,
		Credentials: credentials.StaticCredentialsProvider{Value: key}})
}

// cleanEnv is the environment without what would change how a program behaves
// that is configured by variables.
func cleanEnv(add ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "AWS_") || strings.HasPrefix(e, "ALCOVE_")
	})
	return append(append(env, "AWS_EC2_METADATA_DISABLED=true"), add...)
}

// stop ends the node as an operator does. The error says if it did not end well,
// or left something behind.
func (n *node) stop() error {
	select {
	case <-n.ended: // it has been killed, or stopped before
		return nil
	default:
	}
	before := n.traces()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.ended:
	case <-time.After(patience):
		n.cmd.Process.Kill()
		<-n.ended
		return fmt.Errorf("the node did not end on SIGTERM\n%s", &n.log)
	}
	if n.end != nil {
		return fmt.Errorf("after SIGTERM the node ended with %w\n%s", n.end, &n.log)
	}
	if left := n.left(before); len(left) > 0 {
		return fmt.Errorf("the node ended and left behind:\n%s", strings.Join(left, "\n"))
	}
	return nil
}

// kill ends the node with SIGKILL: it can do nothing more.
func (n *node) kill(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.ended:
	case <-time.After(patience):
		t.Fatal("the node is still there after SIGKILL")
	}
}

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
			t.Logf("log of the node on %s:\n%s", data, tail(n.log.String(), 4000))
		}
	})
	return n
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

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
	mark := len(n.log.String())
	t.Cleanup(func() {
		if log := n.log.String(); t.Failed() {
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

func (n *node) ask(t *testing.T, path string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if err := v4.NewSigner().SignHTTP(t.Context(), n.key, req, emptyHash, "lambda", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return resp.StatusCode, body
}

// environment is what the node tells of an execution environment.
type environment struct {
	ID, Function, Version, Shape, Tenant, State, Isolation, LogStream string
	Bound, Frozen                                                     bool
	Invocations                                                       int
	MemoryBytes                                                       int64
}

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
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = cleanEnv("ALCOVE_ENDPOINT="+n.url, "ALCOVE_DATA="+n.data)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}
