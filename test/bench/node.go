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
	"strconv"
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
	ready time.Duration // from start to the ready line
	creds aws.Credentials
}

func startNode(ctx context.Context, binary, driver string) (*node, error) {
	dir, err := os.MkdirTemp("", "alcove-bench-")
	if err != nil {
		return nil, err
	}
	n := &node{dir: dir, cmd: exec.CommandContext(ctx, binary, "serve", "--listen", "127.0.0.1:0",
		"--data", filepath.Join(dir, "data"), "--isolation", driver, "--log-level", "error")}
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
		_ = n.stop()
		return nil, fmt.Errorf("the node did not get ready")
	}
	b, err := os.ReadFile(filepath.Join(dir, "data", "root-key.json"))
	if err != nil {
		return nil, err
	}
	var key map[string]any
	if err := json.Unmarshal(b, &key); err != nil {
		return nil, err
	}
	for name, v := range key {
		s, _ := v.(string)
		if strings.Contains(strings.ToLower(name), "secret") {
			n.creds.SecretAccessKey = s
		} else if strings.HasPrefix(s, "AKIA") {
			n.creds.AccessKeyID = s
		}
	}
	return n, nil
}

func (n *node) stop() error {
	defer os.RemoveAll(n.dir)
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return n.cmd.Wait()
}

// memoryMB is the node's own proportional set size.
func (n *node) memoryMB() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", n.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return kilobytes(string(b), "Pss:") / 1024
}

// availableMB is what the machine could still give to programs.
func availableMB() float64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	return kilobytes(string(b), "MemAvailable:") / 1024
}

func kilobytes(text, name string) float64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			v, _ := strconv.ParseFloat(f[1], 64)
			return v
		}
	}
	return 0
}

// function is one that is measured.
type function struct {
	node *node
	name string
	sdk  *lambda.Client
	seq  int // makes tenants that nobody has used
}

func (n *node) createFunction(ctx context.Context, name, rt, handler, file, code string) (*function, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create(file)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write([]byte(code)); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	f := &function{node: n, name: name, sdk: lambda.New(lambda.Options{Region: region, BaseEndpoint: &n.url,
		Credentials: credentials.NewStaticCredentialsProvider(n.creds.AccessKeyID, n.creds.SecretAccessKey, "")})}
	if _, err := f.sdk.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &name, Runtime: types.Runtime(rt), Handler: &handler, Role: aws.String("arn:aws:iam::000000000000:role/bench"),
		Code: &types.FunctionCode{ZipFile: buf.Bytes()}, Timeout: aws.Int32(30),
		TenancyConfig: &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant},
	}); err != nil {
		return nil, err
	}
	return f, lambda.NewFunctionActiveV2Waiter(f.sdk).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &name}, time.Minute)
}
