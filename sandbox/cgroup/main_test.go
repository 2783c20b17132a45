package cgroup

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
)

// TestMain turns the test binary into the processes that the tests put into
// groups: ALCOVE_TEST_ROLE names what to be.
func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv("ALCOVE_TEST_ROLE")]
	if !ok {
		os.Exit(m.Run())
	}
	if paths := os.Getenv("ALCOVE_TEST_PATHS"); paths != "" {
		if err := EnterPaths(strings.Split(paths, ":")); err != nil {
			fmt.Println(err)
			os.Exit(9)
		}
	}
	fmt.Println("inside")
	role()
}

var roles = map[string]func(){
	"sleep": block,
	"spin": func() {
		for {
			runtime.Gosched()
		}
	},
	"stubborn": func() { // ignores every signal that can be ignored, and has children
		signal.Ignore()
		os.Unsetenv("ALCOVE_TEST_PATHS")
		os.Setenv("ALCOVE_TEST_ROLE", "sleep")
		for range 3 {
			if err := exec.Command("/proc/self/exe").Start(); err != nil {
				fmt.Println(err)
			}
		}
		fmt.Println("children")
		block()
	},
	"eat": func() {
		var kept [][]byte
		for range 400 {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			kept = append(kept, b)
		}
		fmt.Println("ate", len(kept))
	},
	"fork": func() {
		n := 0
		for range 50 {
			c := exec.Command("/bin/sleep", "1000")
			if err := c.Start(); err != nil {
				fmt.Println("refused after", n, err)
				os.Exit(0)
			}
			n++
		}
		fmt.Println("made", n)
	},
	"node": func() { // makes a group with a process in it and waits to be killed
		r, err := Open(os.Getenv("ALCOVE_TEST_NAME"), slog.New(slog.DiscardHandler))
		if err != nil {
			fmt.Println(err)
			os.Exit(9)
		}
		for _, id := range []string{"one", "two"} {
			g, err := r.New(id, Limits{Memory: 64 << 20, Processes: 50})
			if err != nil {
				fmt.Println(err)
				os.Exit(9)
			}
			c := exec.Command("/proc/self/exe")
			c.Env = []string{"ALCOVE_TEST_ROLE=sleep", "ALCOVE_TEST_PATHS=" + strings.Join(g.Paths(), ":")}
			out, _ := c.StdoutPipe()
			if err := c.Start(); err != nil {
				fmt.Println(err)
				os.Exit(9)
			}
			if line, _ := bufio.NewReader(out).ReadString('\n'); line != "inside\n" {
				fmt.Println(line)
				os.Exit(9)
			}
			if id == "two" {
				if err := g.Freeze(); err != nil {
					fmt.Println(err)
				}
			}
		}
		fmt.Println("made")
		block()
	},
	"findings": func() {
		r, err := Open(os.Getenv("ALCOVE_TEST_NAME"), slog.New(slog.DiscardHandler))
		fmt.Println("mode", r.Mode(), err)
		for _, f := range r.Findings() {
			fmt.Printf("%s|%s|%s\n", f.Name, f.State, f.Fix)
		}
		g, err := r.New("x", Limits{Memory: 1 << 20, CPU: 1, Processes: 1})
		fmt.Println("new", err, g.FD(), g.Freeze() == ErrNoFreezer, g.Kill(), g.Remove(), r.Sweep(), r.Close())
	},
}

// block never returns. (The runtime takes an empty select for a deadlock.)
func block() {
	for {
		syscall.Pause()
	}
}

// open makes a Root that only this test uses and takes it away at the end.
func open(t *testing.T) *Root {
	t.Helper()
	r, err := Open(uniqueName(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func uniqueName() string {
	b := make([]byte, 6)
	rand.Read(b)
	return "test-" + hex.EncodeToString(b)
}

func newGroup(t *testing.T, r *Root, l Limits) *Group {
	t.Helper()
	g, err := r.New("g"+hex.EncodeToString([]byte(t.Name()))[:20], l)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A process that a test started.
type process struct {
	*exec.Cmd
	out  *bufio.Reader
	done chan error
}

// start runs a role and returns once it has said that it is inside its group.
func start(t *testing.T, role string, attr *syscall.SysProcAttr, env ...string) *process {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = append(env, "ALCOVE_TEST_ROLE="+role)
	c.SysProcAttr = attr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: c, out: bufio.NewReader(out), done: make(chan error, 1)}
	t.Cleanup(func() { c.Process.Kill() })
	p.expect(t, "inside")
	return p
}

func in(g *Group) string { return "ALCOVE_TEST_PATHS=" + strings.Join(g.Paths(), ":") }

func (p *process) expect(t *testing.T, want string) {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, want) {
		t.Fatalf("process said %q, %v; want %q", line, err, want)
	}
}

// end waits for the process and tells how it ended.
func (p *process) end(t *testing.T) (string, syscall.WaitStatus) {
	t.Helper()
	rest, _ := io.ReadAll(p.out)
	p.Wait()
	return string(rest), p.ProcessState.Sys().(syscall.WaitStatus)
}

// eventually polls a condition that another process brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(slow.Patience(10 * time.Second)); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
	}
}
