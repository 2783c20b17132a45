package namespace

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
)

// roleEnv makes the test binary another process: a node that is going to be
// killed, or a node of an ordinary user. Its value is a rolePlan.
const roleEnv = "ALCOVE_NAMESPACE_TEST"

type rolePlan struct {
	Role string
	Dir  string // of the driver
	Spec sandbox.Spec
}

// playRole does what a rolePlan says, if there is one.
func playRole() {
	raw, ok := os.LookupEnv(roleEnv)
	if !ok {
		return
	}
	var p rolePlan
	err := json.Unmarshal([]byte(raw), &p)
	if err == nil {
		err = map[string]func(rolePlan) error{"doomed": doomed, "ordinary": ordinary}[p.Role](p)
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// doomed makes a sandbox, says so, and waits for its end.
func doomed(p rolePlan) error {
	d, err := open(p.Dir)
	if err != nil {
		return err
	}
	p.Spec.Stdout, p.Spec.Stderr = os.Stderr, os.Stderr
	for {
		b, err := d.Create(context.Background(), p.Spec)
		if err != nil {
			return err
		}
		forked, why := b.(*box).Forked()
		if forked == p.Spec.Template {
			break
		}
		fmt.Fprintln(os.Stderr, "not forked:", why)
		if err := b.Destroy(); err != nil {
			return err
		}
	}
	fmt.Println("made")
	for {
		syscall.Pause()
	}
}

// ordinary goes through a sandbox's life without root's rights.
func ordinary(p rolePlan) error {
	d, err := open(p.Dir)
	if err != nil {
		return err
	}
	for _, f := range d.Findings() {
		fmt.Printf("finding|%s|%s|%t\n", f.Name, f.State, f.Fix != "")
	}
	run := func(script string) (string, sandbox.Exit, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return "", sandbox.Exit{}, err
		}
		spec := p.Spec
		spec.ID, spec.Args = newID(), []string{"/bin/sh", "-c", script}
		spec.Stdout, spec.Stderr = w, w
		b, err := d.Create(context.Background(), spec)
		w.Close()
		if err != nil {
			return "", sandbox.Exit{}, err
		}
		out, err := io.ReadAll(r)
		if err != nil {
			return "", sandbox.Exit{}, err
		}
		<-b.Done()
		return string(out), b.Exit(), b.Destroy()
	}
	for _, script := range []string{
		"id -u; id -g; grep -c . /proc/self/cgroup >/dev/null; echo $$",
		"grep -E 'Cap|NoNew|Seccomp:' /proc/self/status | tr -d '\\n\\t '",
		"head -c 3000000 /dev/zero > /tmp/big; stat -c %s /tmp/big; echo x > /etc/x",
		"kill -TERM $$",
		"exit 7",
	} {
		out, exit, err := run(script)
		if err != nil {
			return err
		}
		fmt.Printf("ran|%q|%d|%d\n", out, exit.Code, exit.Signal)
	}
	if err := stopAndGo(d, p.Spec); err != nil {
		return err
	}
	return d.Close()
}

// stopAndGo freezes a sandbox that writes without end.
func stopAndGo(d sandbox.Driver, spec sandbox.Spec) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	spec.ID, spec.Stdout, spec.Stderr = newID(), w, w
	spec.Args = []string{"/bin/sh", "-c", "(while :; do echo; done) & while :; do echo; done"}
	b, err := d.Create(context.Background(), spec)
	w.Close()
	if err != nil {
		return err
	}
	in := bufio.NewReader(r)
	for range 3 {
		if _, err := in.Discard(200_000); err != nil { // it runs
			return err
		}
		if err := b.Freeze(); err != nil {
			return err
		}
		// What it had written is in the pipe, and no more comes.
		if err := r.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, in)
		if !os.IsTimeout(err) || n > 1<<20 {
			return fmt.Errorf("frozen, it wrote %d bytes: %w", n, err)
		}
		if err := r.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
		if err := b.Thaw(); err != nil {
			return err
		}
	}
	u, err := b.Usage()
	if err != nil || u.CPU == 0 || u.Memory == 0 {
		return fmt.Errorf("usage %+v, %w", u, err)
	}
	if err := b.Freeze(); err != nil {
		return err
	}
	fmt.Println("frozen")
	return b.Destroy()
}

// play starts the test binary in a role.
func play(t *testing.T, p rolePlan, prepare func(*exec.Cmd)) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), roleEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	if prepare != nil {
		prepare(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, bufio.NewReader(out)
}

// When the node is killed, its sandboxes' programs end at once, before any other
// node looks after them.
func TestProgramsEndWithTheNode(t *testing.T) {
	s := newSite(t)
	spec, l := s.spec("/usr/bin/python3", "-c", `
import os, signal, socket
for n in range(1, 65):
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
for i in range(3):
    if os.fork() == 0:
        os.setsid()
        break
s = socket.socket(socket.AF_UNIX); s.connect("/run/alcove/runtime.sock"); s.send(b"x"); s.recv(1)`)
	spec.Stdout, spec.Stderr = nil, nil
	dir := filepath.Join(s.dir, "doomed")
	cmd, out := play(t, rolePlan{Role: "doomed", Dir: dir, Spec: spec}, nil)
	if line, err := out.ReadString('\n'); line != "made\n" {
		t.Fatalf("%q, %v", line, err)
	}
	var conns []net.Conn
	for range 4 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	for _, c := range conns { // the connection ends with the last who has it
		c.SetReadDeadline(time.Now().Add(slow.Patience(10 * time.Second)))
		if rest, err := io.ReadAll(c); err != nil {
			t.Errorf("a program goes on after its node: %q, %v", rest, err)
		}
	}
	d, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// So do those that were forked, frozen ones at the next start at the latest, and
// the template with them.
func TestForkedProgramsEndWithTheNode(t *testing.T) {
	s := newSite(t)
	mark := newID()
	spec, l := s.spec("/usr/bin/python3", "-S", "-c", `
import os, signal, socket
mark = "`+mark+`"
try: exec(compile(open(4).read(), "template", "exec"), {})
except OSError: pass
if os.fork() == 0: os.setsid()
s = socket.socket(socket.AF_UNIX); s.connect("/run/alcove/runtime.sock"); s.send(b"x"); s.recv(1)`)
	spec.Stdout, spec.Stderr, spec.Template = nil, nil, true
	dir := filepath.Join(s.dir, "doomed")
	cmd, out := play(t, rolePlan{Role: "doomed", Dir: dir, Spec: spec}, nil)
	conns := make(chan net.Conn, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(conns)
				return
			}
			conns <- c
		}
	}()
	if line, err := out.ReadString('\n'); line != "made\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if len(processesWith(t, mark)) < 2 { // template and program, at least
		t.Error("the template cannot be found")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	err := eventually(t.Context(), slow.Patience(time.Minute), func() (bool, error) { return len(processesWith(t, mark)) == 0, nil })
	if err != nil {
		t.Errorf("after the node's end: %v", processesWith(t, mark))
	}
	l.Close()
	for c := range conns {
		c.SetReadDeadline(time.Now().Add(slow.Patience(10 * time.Second)))
		if rest, err := io.ReadAll(c); err != nil {
			t.Errorf("a program goes on after its node: %q, %v", rest, err)
		}
	}
	d, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// processesWith are the living processes with a text in their arguments.
func processesWith(t *testing.T, text string) []int {
	t.Helper()
	var pids []int
	err := eachProcess(func(pid int) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && pid != os.Getpid() && strings.Contains(string(line), text) {
			pids = append(pids, pid)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// An ordinary user gets sandboxes, too, and is told what they lack.
func TestOrdinaryUser(t *testing.T) {
	s := newSite(t)
	spec, _ := s.spec("/bin/sh")
	spec.Stdout, spec.Stderr, spec.Dir = nil, nil, "/"
	spec.Limits.Tmp, spec.Limits.Processes = 2<<20, 64
	dir := filepath.Join(s.dir, "ordinary")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(s.dir, "roots"), 0o755); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(s.dir, "exe") // the test binary, where nobody may execute it
	raw, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, raw, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, r := play(t, rolePlan{Role: "ordinary", Dir: dir, Spec: spec}, func(c *exec.Cmd) {
		c.Path = exe
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	})
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	out := string(b)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v", err)
	}
	for _, want := range []string{
		"finding|memory limit|missing|true", "finding|user ids|degraded|true", "finding|/tmp|degraded|true",
		"finding|freezer|degraded|true", "finding|seccomp|ok|false", "finding|namespaces|ok|false",
		`ran|"993\n990\n`,
		`NoNewPrivs:1Seccomp:2`, "CapBnd:0000000000000000",
		`No space left on device\n2097152\n/bin/sh: 1: cannot create /etc/x: Read-only file system\n"|2|0`,
		`ran|""|0|15`, `ran|""|7|0`, "frozen",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Logf("it said:\n%s", out)
	}
}

// An ordinary user's sandboxes are found by their arguments.
func TestOrdinaryUserLeavesNothing(t *testing.T) {
	s := newSite(t)
	spec, l := s.spec("/usr/bin/python3", "-c", pythonClient)
	box := s.create(spec)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// As if there were no cgroups: the process of another driver of the same
	// directory is looked for by its marker alone.
	left, err := s.driver.strays(func(int) bool { return false })
	if err != nil || len(left) == 0 {
		t.Fatalf("found %v, %v", left, err)
	}
	if err := killStrays(left); err != nil {
		t.Fatal(err)
	}
	for _, p := range left {
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
	<-box.Done()
	if e := box.Exit(); e.Signal != syscall.SIGKILL {
		t.Errorf("ended with %+v", e)
	}
	if err := box.Destroy(); err != nil {
		t.Error(err)
	}
}

// The first process of a sandbox takes next to nothing.
func TestReaperIsSmall(t *testing.T) {
	s := newSite(t)
	spec, l := s.spec("/usr/bin/python3", "-c", pythonClient)
	b := s.create(spec).(*box)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	proc := fmt.Sprintf("/proc/%d/", b.proc.Pid)
	if err := eventually(t.Context(), slow.Patience(time.Minute), func() (bool, error) {
		line, err := os.ReadFile(proc + "cmdline") // once the launcher has executed the reaper
		return strings.HasPrefix(string(line), "init\x00"), err
	}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	status := strings.Fields(string(raw))
	kb, err := strconv.Atoi(status[slices.Index(status, "VmRSS:")+1])
	if err != nil || kb > 64 {
		t.Errorf("the first process takes %d KB: %v", kb, err)
	}
	for _, field := range []string{"CapEff:", "CapPrm:", "CapBnd:", "CapInh:"} {
		if v := status[slices.Index(status, field)+1]; v != "0000000000000000" {
			t.Errorf("%s of the first process is %s", field, v)
		}
	}
	if v := status[slices.Index(status, "Uid:")+1]; v == "0" {
		t.Error("the first process is root on the host")
	}
	if v := status[slices.Index(status, "Seccomp:")+1]; v != "2" {
		t.Errorf("Seccomp of the first process is %s", v)
	}
	if err := b.Destroy(); err != nil {
		t.Error(err)
	}
}
