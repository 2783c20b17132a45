package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// node is a running `alcove serve`.
type node struct {
	cmd  *exec.Cmd
	url  string
	log  lockedBuffer
	once sync.Once
	err  error // of its end
}

// lockedBuffer is written by the node and read if something goes wrong.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Times that a node may take, on a busy machine.
const (
	startTime = time.Minute
	stopTime  = time.Minute
)

// startNode starts a node and waits until it can take invocations.
func startNode(ctx context.Context, program, dir, isolation string) (*node, error) {
	n := &node{}
	n.cmd = exec.Command(program, "serve", "--listen", "127.0.0.1:0", "--data", dataDir(dir), "--isolation", isolation, "--log-level", "warn")
	n.cmd.Stderr = &n.log
	// A group of its own: an interrupt from the terminal goes to this program,
	// which ends the node in its own time. Should this program be killed, the
	// node ends by itself.
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w (make build makes it)", program, err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if url, ok := strings.CutPrefix(lines.Text(), "alcove ready on "); ok {
				ready <- url
			}
		}
		close(ready)
	}()
	select {
	case url, ok := <-ready:
		if ok {
			n.url = url
			return n, nil
		}
		err = errors.New("the node did not start")
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startTime):
		err = errors.New("the node did not get ready")
	}
	return nil, errors.Join(err, n.stop(), errors.New(strings.TrimSpace(n.log.String())))
}

// stop asks the node to end and waits for it. It can be called again.
func (n *node) stop() error {
	n.once.Do(func() {
		if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			n.err = err
			return
		}
		late := time.AfterFunc(stopTime, func() { n.cmd.Process.Kill() })
		defer late.Stop()
		if err := n.cmd.Wait(); err != nil {
			n.err = fmt.Errorf("the node ended with %w:\n%s", err, n.log.String())
		}
	})
	return n.err
}

// alcove runs a command of the program against the node and gives what it
// printed.
func (d *demo) alcove(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.program, args...)
	// The node's own key is in its data directory; keys of whoever runs this
	// have no business here.
	cmd.Env = append(without(os.Environ(), "AWS_", "ALCOVE_"), "ALCOVE_ENDPOINT="+d.node.url, "ALCOVE_DATA="+dataDir(d.dir))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("alcove %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return string(out), nil
}

// without drops the variables whose names begin with one of the prefixes.
func without(env []string, prefixes ...string) []string {
	var kept []string
	for _, e := range env {
		drop := false
		for _, p := range prefixes {
			drop = drop || strings.HasPrefix(e, p)
		}
		if !drop {
			kept = append(kept, e)
		}
	}
	return kept
}

// leftovers are the processes and mounts that name the directory, and the cgroups
// that bear the digest of the node's part of it.
func leftovers(dir string) ([]string, error) {
	var left []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	sum := sha256.Sum256([]byte(dataDir(dir)))
	name := hex.EncodeToString(sum[:6])
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(d.Name(), name) {
			left = append(left, "cgroup "+path)
		}
		return nil // groups of others come and go while this looks
	})
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	self := fmt.Sprintf("/proc/%d/cmdline", os.Getpid())
	for _, p := range procs {
		if args, err := os.ReadFile(p); err == nil && p != self && bytes.Contains(args, []byte(dir)) {
			left = append(left, "process "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return left, nil
}
