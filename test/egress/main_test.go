package egress

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/test/testnode"
)

// insideEnv says that the process is in the network namespace that is to be the
// node's machine.
const insideEnv = "ALCOVE_TEST_EGRESS_INSIDE"

// drivers are the values of --isolation.
var drivers = []string{"gvisor", "namespace"}

var (
	patience = slow.Patience(60 * time.Second)
	program  string
	earth    *internet
)

func TestMain(m *testing.M) { os.Exit(main(m)) }

func main(m *testing.M) int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "egress: needs root: the internet under test is made of network namespaces")
		return 1
	}
	if os.Getenv(insideEnv) == "" {
		return inside()
	}
	undo, err := useResolver()
	if err != nil {
		fmt.Fprintln(os.Stderr, "egress:", err)
		return 1
	}
	defer undo()
	if earth, err = newInternet(); err != nil {
		fmt.Fprintln(os.Stderr, "egress:", err)
		return 1
	}
	defer earth.close()
	defer testnode.Shared.Remove()
	program = os.Getenv("ALCOVE_BIN")
	return m.Run()
}

// inside runs this program again in a network namespace of its own.
func inside() int {
	program := os.Getenv("ALCOVE_BIN")
	if program == "" {
		dir, err := os.MkdirTemp("", "alcove-egress-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "egress:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // an ordinary user runs it too
			fmt.Fprintln(os.Stderr, "egress:", err)
			return 1
		}
		program = filepath.Join(dir, "alcove")
		build := exec.Command("make", "--no-print-directory", "-C", "../..", "build", "BIN="+program)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "egress: make build:", err)
			return 1
		}
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1", "ALCOVE_BIN="+program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "egress:", err)
		return 1
	}
	return 0
}

// useResolver has this machine ask the internet's server for names.
func useResolver() (func(), error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "resolv.conf-")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "nameserver %s\n", resolver4)
	if err = errors.Join(err, f.Chmod(0o644)); err != nil { // nodes of ordinary users read it, too
		return nil, err
	}
	return func() { os.Remove(f.Name()) }, unix.Mount(f.Name(), "/etc/resolv.conf", "", unix.MS_BIND, "")
}

// node is a running `alcove serve`.
type node struct {
	t      testing.TB
	cmd    *exec.Cmd
	url    string
	data   string
	log    buffer
	ended  chan struct{}
	lambda *lambda.Client
	logs   *cloudwatchlogs.Client
}

// buffer can be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
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

// start starts a node on this machine of the internet.
func start(t testing.TB, driver string, flags ...string) *node {
	t.Helper()
	data, err := os.MkdirTemp("", "alcove-egress-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	return startIn(t, data, driver, flags...)
}

func startIn(t testing.TB, data, driver string, flags ...string) *node {
	t.Helper()
	return startAs(t, 0, data, driver, flags...)
}

func startAs(t testing.TB, user uint32, data, driver string, flags ...string) *node {
	t.Helper()
	n := &node{t: t, data: data, ended: make(chan struct{})}
	n.cmd = exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0", "--auth", "none", "--isolation", driver, "--data", data, "--tenant-idle-min", "0s"}, flags...)...)
	if user == 0 {
		if err := testnode.Shared.LendPrograms(data); err != nil {
			t.Fatal(err)
		}
	}
	n.cmd.Stderr = &n.log
	n.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if user != 0 {
		n.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user}
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if url, ok := strings.CutPrefix(lines.Text(), "alcove ready on "); ok {
				ready <- url
			}
		}
		n.cmd.Wait()
		testnode.Shared.Keep(data, n.log.String())
		close(n.ended)
	}()
	select {
	case n.url = <-ready:
	case <-n.ended:
		t.Fatalf("the node ended:\n%s", &n.log)
	case <-time.After(patience):
		n.cmd.Process.Kill()
		t.Fatalf("the node did not get ready:\n%s", &n.log)
	}
	if user == 0 {
		if err := testnode.Shared.LendTrees(data); err != nil {
			t.Fatal(err)
		}
	}
	creds := credentials.NewStaticCredentialsProvider("a", "b", "")
	n.lambda = lambda.New(lambda.Options{Region: "us-east-1", BaseEndpoint: &n.url, RetryMaxAttempts: 1, Credentials: creds})
	n.logs = cloudwatchlogs.New(cloudwatchlogs.Options{Region: "us-east-1", BaseEndpoint: &n.url, Credentials: creds})
	t.Cleanup(func() {
		n.stop()
		if t.Failed() {
			log := n.log.String()
			t.Logf("log of the node:\n%s", log[max(0, len(log)-6000):])
		}
	})
	return n
}

// stop ends the node as an operator does.
func (n *node) stop() {
	n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.ended:
	case <-time.After(patience):
		n.cmd.Process.Kill()
		<-n.ended
		n.t.Errorf("the node did not end on SIGTERM")
	}
}

// function makes a function of Python source and waits until it can be invoked.
func (n *node) function(name, source string, isolated bool) {
	n.t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	w, err := z.Create("index.py")
	if err == nil {
		_, err = w.Write([]byte(source))
	}
	if err = errors.Join(err, z.Close()); err != nil {
		n.t.Fatal(err)
	}
	in := &lambda.CreateFunctionInput{FunctionName: &name, Role: aws.String("arn:aws:iam::000000000000:role/r"), Runtime: "python3.13",
		Handler: aws.String("index.handler"), Code: &types.FunctionCode{ZipFile: buf.Bytes()}, Timeout: aws.Int32(120), MemorySize: aws.Int32(256)}
	if isolated {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	}
	if _, err := n.lambda.CreateFunction(n.t.Context(), in); err != nil {
		n.t.Fatal(err)
	}
	if err := lambda.NewFunctionActiveV2Waiter(n.lambda).Wait(n.t.Context(), &lambda.GetFunctionInput{FunctionName: &name}, patience); err != nil {
		n.t.Fatal(err)
	}
}

// invoke calls a function and reads its answer into out.
func (n *node) invoke(name, tenant string, event, out any) {
	n.t.Helper()
	if err := n.try(name, tenant, event, out); err != nil {
		n.t.Fatalf("%s for %q: %v", name, tenant, err)
	}
}

func (n *node) try(name, tenant string, event, out any) error {
	payload, err := json.Marshal(event)
	if err != nil {
		return err
	}
	in := &lambda.InvokeInput{FunctionName: &name, Payload: payload}
	if tenant != "" {
		in.TenantId = &tenant
	}
	answer, err := n.lambda.Invoke(n.t.Context(), in)
	if err != nil {
		return err
	}
	if answer.FunctionError != nil {
		return fmt.Errorf("%s: %s", *answer.FunctionError, answer.Payload)
	}
	return json.Unmarshal(answer.Payload, out)
}

// api asks alcove's own API.
func (n *node) api(method, path, body string) (int, string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+"/alcove/v1/"+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// set sets a policy.
func (n *node) set(path, body string) {
	n.t.Helper()
	method := http.MethodPut
	if body == "" {
		method = http.MethodDelete
	}
	if status, answer := n.api(method, "egress/"+path, body); status != 200 {
		n.t.Fatalf("%s egress/%s %s: %d %s", method, path, body, status, answer)
	}
}

// logged is what is in a function's log, one tenant's if it is given.
func (n *node) logged(function, tenant string) string {
	n.t.Helper()
	path := "logs?function=" + function
	if tenant != "" {
		path += "&tenant=" + tenant
	}
	status, body := n.api("GET", path, "")
	if status != 200 {
		n.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return body
}

// eventually waits for something that happens by itself.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}
