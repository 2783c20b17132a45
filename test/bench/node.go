package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// region is what the node is started for and requests are signed for.
const region = "us-east-1"

// node is a running alcove with throw-away data.
type node struct {
	cmd   *exec.Cmd
	dir   string
	url   string
	group string        // where the processor time of its sandboxes is counted
	ready time.Duration // from start to the ready line
	creds aws.Credentials
	sdk   *lambda.Client

	functions map[string]*function
}

func startNode(ctx context.Context, binary, driver string, flags ...string) (*node, error) {
	dir, err := os.MkdirTemp("", "alcove-bench-")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	n := &node{dir: dir, functions: make(map[string]*function), cmd: exec.CommandContext(ctx, binary, append([]string{"serve",
		"--listen", "127.0.0.1:0", "--data", data, "--isolation", driver, "--log-level", "error"}, flags...)...)}
	n.cmd.Cancel = func() error { return n.cmd.Process.Signal(syscall.SIGTERM) }
	n.cmd.Stderr = os.Stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "alcove ready on "); ok {
			n.ready, n.url = time.Since(began), url
			break
		}
	}
	if n.url == "" {
		n.stop()
		return nil, fmt.Errorf("the node did not get ready")
	}
	if n.creds, err = rootKey(data); err != nil {
		n.stop()
		return nil, err
	}
	n.group = groupOf(data)
	n.sdk = lambda.New(lambda.Options{Region: region, BaseEndpoint: &n.url,
		Credentials: credentials.NewStaticCredentialsProvider(n.creds.AccessKeyID, n.creds.SecretAccessKey, "")})
	return n, nil
}

func rootKey(data string) (creds aws.Credentials, err error) {
	b, err := os.ReadFile(filepath.Join(data, "root-key.json"))
	if err != nil {
		return creds, err
	}
	var key map[string]any
	if err := json.Unmarshal(b, &key); err != nil {
		return creds, err
	}
	for name, v := range key {
		s, _ := v.(string)
		if strings.Contains(strings.ToLower(name), "secret") {
			creds.SecretAccessKey = s
		} else if strings.HasPrefix(s, "AKIA") {
			creds.AccessKeyID = s
		}
	}
	return creds, nil
}

// addr is the node's address.
func (n *node) addr() string { return strings.TrimPrefix(n.url, "http://") }

// stop ends the node and removes what it kept. A nil node is none.
func (n *node) stop() {
	if n == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	_ = n.cmd.Wait()
	os.RemoveAll(n.dir)
}

// function is one that is measured.
type function struct {
	node *node
	name string
}

// language is what a function is written in.
type language struct {
	name, runtime, file, handler, code string
	startVariable                      string // one that its interpreter reads when it starts
}

var (
	python = language{"Python", "python3.13", "main.py", "main.handler", "def handler(event, context):\n    return event\n", "PYTHONDEBUG"}
	nodeJS = language{"Node", "nodejs22.x", "index.js", "index.handler", "exports.handler = async (event) => event\n", "NODE_DEBUG"}
)

var languages = []language{python, nodeJS}

// function gives the function of that name, and makes it first if need be.
func (n *node) function(ctx context.Context, name string, l language, env map[string]string) (*function, error) {
	if f := n.functions[name]; f != nil {
		return f, nil
	}
	code, err := l.zip()
	if err != nil {
		return nil, err
	}
	in := &lambda.CreateFunctionInput{
		FunctionName: &name, Runtime: types.Runtime(l.runtime), Handler: &l.handler, Role: aws.String("arn:aws:iam::000000000000:role/bench"),
		Code: &types.FunctionCode{ZipFile: code}, Timeout: aws.Int32(30),
		TenancyConfig: &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant},
	}
	if env != nil {
		in.Environment = &types.Environment{Variables: env}
	}
	if _, err := n.sdk.CreateFunction(ctx, in); err != nil {
		return nil, err
	}
	f := &function{node: n, name: name}
	n.functions[name] = f
	return f, lambda.NewFunctionActiveV2Waiter(n.sdk, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 100*time.Millisecond
	}).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &name}, time.Minute)
}

func (l language) zip() ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create(l.file)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(l.code)); err != nil {
		return nil, err
	}
	err = z.Close()
	return buf.Bytes(), err
}
