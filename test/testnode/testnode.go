// Package testnode runs the real program for tests: a node with its real flags on a
// data directory of the test's, spoken to by the official SDK. It owns the process and
// nothing else; what tests make of it is theirs.
package testnode

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/alcove-run/alcove/internal/slow"
)

// Patience bounds every wait for something that another process does.
var Patience = slow.Patience(60 * time.Second)

// Program is the alcove to test: the one that ALCOVE_BIN names, else one that is built.
// remove removes that, and what nodes of this process have in common. root is the way to
// the repository's root.
func Program(root string) (path string, remove func(), err error) {
	if path = os.Getenv("ALCOVE_BIN"); path != "" {
		return path, Shared.Remove, nil
	}
	dir, err := os.MkdirTemp("", "alcove-test-bin-")
	if err != nil {
		return "", nil, err
	}
	remove = func() {
		Shared.Remove()
		_ = os.RemoveAll(dir)
	}
	path = filepath.Join(dir, "alcove")
	build := exec.Command("make", "--no-print-directory", "-C", root, "build", "BIN="+path)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		remove()
		return "", nil, fmt.Errorf("make build: %w", err)
	}
	return path, remove, nil
}

// NoStock has a node make nothing ahead: for tests that ask for nothing of it, as each
// function would have environments made that nobody uses.
var NoStock = []string{"--stock-max", "0", "--runtime-stock", "0"}

// Node is a running `alcove serve`.
type Node struct {
	Program string
	Data    string // its data directory
	URL     string
	Key     aws.Credentials // the root key
	Lambda  *lambda.Client
	Logs    *cloudwatchlogs.Client

	Cmd   *exec.Cmd
	Flags []string
	Out   Buffer // standard output
	Log   Buffer // standard error
	Ended chan struct{}
	End   error // of Cmd.Wait, after Ended
}

// Buffer can be read while it is written.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Launch starts a node on a data directory and waits until it is ready. command is the
// program, and what comes before its flags.
func Launch(command []string, data string, flags ...string) (*Node, error) {
	n := &Node{Program: command[len(command)-1], Data: data, Flags: flags, Ended: make(chan struct{})}
	args := append(append(slices.Clone(command[1:]), "serve", "--listen", "127.0.0.1:0", "--data", data), flags...)
	if len(command) == 1 { // else it may be another user's
		if err := Shared.LendPrograms(data); err != nil {
			return nil, err
		}
	}
	n.Cmd = exec.Command(command[0], args...)
	n.Cmd.Stderr = &n.Log
	n.Cmd.Env = CleanEnv()
	// Should the tests be ended from outside, the node ends by itself.
	n.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := n.Cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.Cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			fmt.Fprintln(&n.Out, lines.Text())
			if url, ok := strings.CutPrefix(lines.Text(), "alcove ready on "); ok {
				ready <- url
			}
		}
	}()
	go func() {
		<-read
		n.End = n.Cmd.Wait()
		Shared.Keep(data, n.Log.String())
		close(n.Ended)
	}()
	select {
	case n.URL = <-ready:
	case <-n.Ended:
		return nil, fmt.Errorf("the node ended: %w\n%s", n.End, &n.Log)
	case <-time.After(Patience):
		_ = n.Cmd.Process.Kill()
		return nil, fmt.Errorf("the node did not get ready\n%s", &n.Log)
	}
	text, err := os.ReadFile(filepath.Join(data, "root-key.json"))
	if err == nil {
		var key struct{ AccessKeyID, SecretAccessKey string }
		err = json.Unmarshal(text, &key)
		n.Key = aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}
	}
	if err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	if len(command) == 1 {
		if err := Shared.LendTrees(data); err != nil {
			return nil, errors.Join(err, n.Stop())
		}
	}
	n.Lambda = n.LambdaAs(n.Key)
	n.Logs = cloudwatchlogs.New(cloudwatchlogs.Options{Region: "us-east-1", BaseEndpoint: &n.URL,
		Credentials: credentials.StaticCredentialsProvider{Value: n.Key}})
	return n, nil
}

// Command is what would start a successor of the node, on the same data.
func (n *Node) Command() *exec.Cmd {
	cmd := exec.Command(n.Program, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", n.Data}, n.Flags...)...)
	cmd.Env = CleanEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd
}

// LambdaAs is the official client with other credentials. It does not try again:
// what a test sees is the first answer.
func (n *Node) LambdaAs(key aws.Credentials) *lambda.Client {
	return lambda.New(lambda.Options{Region: "us-east-1", BaseEndpoint: &n.URL, RetryMaxAttempts: 1,
		Credentials: credentials.StaticCredentialsProvider{Value: key}})
}

// CleanEnv is the environment without what would change how a program behaves
// that is configured by variables.
func CleanEnv(add ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "AWS_") || strings.HasPrefix(e, "ALCOVE_")
	})
	return append(append(env, "AWS_EC2_METADATA_DISABLED=true"), add...)
}

// Running says whether the node has not ended.
func (n *Node) Running() bool {
	select {
	case <-n.Ended: // it has been killed, or stopped before
		return false
	default:
		return true
	}
}

// Stop ends the node as an operator does. The error says if it did not end well.
func (n *Node) Stop() error {
	if !n.Running() {
		return nil
	}
	if err := n.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.Ended:
	case <-time.After(Patience):
		_ = n.Cmd.Process.Kill()
		<-n.Ended
		return fmt.Errorf("the node did not end on SIGTERM\n%s", &n.Log)
	}
	if n.End != nil {
		return fmt.Errorf("after SIGTERM the node ended with %w\n%s", n.End, &n.Log)
	}
	return nil
}

// Kill ends the node with SIGKILL: it can do nothing more.
func (n *Node) Kill(t testing.TB) {
	t.Helper()
	if err := n.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.Ended:
	case <-time.After(Patience):
		t.Fatal("the node is still there after SIGKILL")
	}
}

// Start starts a node that belongs to one test, which shows the end of the node's log if
// it fails.
func Start(t testing.TB, program, data string, flags ...string) *Node {
	t.Helper()
	n, err := Launch([]string{program}, data, flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the node on %s:\n%s", data, Tail(n.Log.String(), 4000))
		}
	})
	return n
}

// Tail is the end of a text.
func Tail(s string, n int) string { return s[max(0, len(s)-n):] }

// Alcove runs the program's command line against the node.
func (n *Node) Alcove(t testing.TB, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.Program, args...)
	cmd.Env = CleanEnv("ALCOVE_ENDPOINT="+n.URL, "ALCOVE_DATA="+n.Data)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// MakeKey makes an access key with a policy.
func (n *Node) MakeKey(t testing.TB, name, policy string) aws.Credentials {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := n.Alcove(t, "keys", "create", name, "--policy", file, "--json")
	if err != nil {
		t.Fatalf("keys create: %v %s", err, errs)
	}
	var made struct{ AccessKeyID, SecretAccessKey string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: made.AccessKeyID, SecretAccessKey: made.SecretAccessKey}
}

// Eventually waits for a condition that another process brings about.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}
