package sandboxtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
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
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
)

// crashEnv, in the environment, makes Main the node that is going to be
// killed. Its value is a crashPlan.
const crashEnv = "ALCOVE_SANDBOXTEST_CRASH"

type crashPlan struct{ Dir, Root, Code, Work string }

// Main is what a driver's TestMain ends with: it runs the tests, or, in a
// process that the suite has started to kill it, makes sandboxes in the
// driver's directory until that happens. open is the driver's constructor.
// What the driver itself does in re-executed processes comes before.
func Main(m *testing.M, open func(dir string) (sandbox.Driver, error)) {
	raw, ok := os.LookupEnv(crashEnv)
	if !ok {
		os.Exit(m.Run())
	}
	var plan crashPlan
	err := json.Unmarshal([]byte(raw), &plan)
	if err == nil {
		err = doomed(plan, open)
	}
	fmt.Println("failed:", err)
	os.Exit(1)
}

// doomed keeps some sandboxes, one of them frozen, and makes and destroys more
// of them. It says on stdout what it is about to do.
func doomed(plan crashPlan, open func(dir string) (sandbox.Driver, error)) error {
	d, err := open(plan.Dir)
	if err != nil {
		return err
	}
	var conns []net.Conn // closed by nobody but the kernel
	for n := 0; ; n++ {
		id := token()
		fmt.Println("creating", id)
		b, c, err := unattended(d, plan, id)
		if err != nil {
			return err
		}
		conns = append(conns, c)
		switch {
		case n < 2:
			continue
		case n == 2:
			if err := b.Freeze(); err != nil {
				return err
			}
			continue
		case n == 3:
			fmt.Println("settled")
		}
		fmt.Println("destroying", id)
		if err := b.Destroy(); err != nil {
			return err
		}
		if err := conns[len(conns)-1].Close(); err != nil {
			return err
		}
	}
}

// unattended makes a sandbox to whose output and connections nobody listens,
// and waits until its program has come up.
func unattended(d sandbox.Driver, plan crashPlan, id string) (sandbox.Sandbox, net.Conn, error) {
	spec := newSpec(id, plan.Root, plan.Code, plan.Work)
	if err := os.Mkdir(spec.SocketDir, 0o755); err != nil {
		return nil, nil, err
	}
	path := filepath.Join(spec.SocketDir, sandbox.SocketName)
	l, err := listenIn(spec.SocketDir)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, nil, err
	}
	_, w, err := os.Pipe() // the read end ends with this process
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	spec.Stdout, spec.Stderr, spec.Log = w, w, w
	b, err := d.Create(context.Background(), spec)
	if err != nil {
		return nil, nil, err
	}
	if err := l.SetDeadline(time.Now().Add(slow.Patience(shortest))); err != nil {
		return nil, nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return b, c, nil
}

// crash kills such a process at several moments and makes a new driver in the
// same directory, which must find and remove everything.
func (s *suite) crash(t *T) {
	collectOrphans(t)
	for i := range 6 {
		ids := s.killNode(t, i)
		d := s.o.New(t.T, s.dir)
		sweeper := d.(sandbox.Sweeper)
		for _, id := range ids {
			for _, pid := range running(id) {
				t.Errorf("after New, process %d of a killed node's sandbox runs", pid)
			}
		}
		sweeper.Sweep()
		<-sweeper.Swept()
		if l := sweeper.Leftovers(); l.Left != 0 || l.Memory != 0 || l.Found < 3 {
			t.Errorf("swept, and left are %+v", l)
		}
		for _, id := range ids {
			reap(id)
			for _, left := range s.leftovers(id) {
				t.Errorf("killed %d ms into a Create; after Sweep: %s", i*8, left)
			}
			os.RemoveAll(filepath.Join(s.work, id[:12]))
		}
		s.driver = d
		if i%3 == 0 {
			s.run(t.T, fmt.Sprintf("works_after_%d", i), func(t *T) {
				if got := s.output(t, sh("echo works")); got != "works\n" {
					t.Errorf("got %q", got)
				}
			})
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	s.emptyDir(t)
}

// running are the processes of a sandbox that may still do something: neither frozen,
// nor killed and on their way out.
func running(id string) (pids []int) {
	stopped := map[string]bool{}
	for _, dir := range cgroupsOf(id) {
		v2, _ := os.ReadFile(filepath.Join(dir, "cgroup.freeze"))
		v1, _ := os.ReadFile(filepath.Join(dir, "freezer.state"))
		if strings.TrimSpace(string(v2)) != "1" && !strings.HasPrefix(string(v1), "FR") { // FREEZING, FROZEN
			continue
		}
		procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for _, pid := range strings.Fields(string(procs)) {
			stopped[pid] = true
		}
	}
	for _, pid := range hostProcesses(id) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || stopped[fmt.Sprint(pid)] || len(zombies([]int{pid})) > 0 || dying(string(status)) {
			continue
		}
		pids = append(pids, pid)
	}
	return pids
}

// dying tells by /proc/PID/status whether a process was killed.
func dying(status string) bool {
	for line := range strings.Lines(status) {
		name, mask, _ := strings.Cut(line, ":")
		bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		if (name == "SigPnd" || name == "ShdPnd") && err == nil && bits&(1<<(syscall.SIGKILL-1)) != 0 {
			return true
		}
	}
	return !strings.Contains(status, "VmSize:") // it has no memory any more
}

// collectOrphans makes this process the one to whom the children of a killed node
// fall, for as long as the test runs. At a real node, that is the machine's
// process 1; in a container process 1 may be one that never collects anybody.
func collectOrphans(t *T) {
	t.Helper()
	var was int32
	err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&was)), 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	before := children()
	t.Cleanup(func() {
		for _, pid := range children() {
			if !slices.Contains(before, pid) {
				_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
			}
		}
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, uintptr(was), 0, 0, 0); err != nil {
			t.Error(err)
		}
	})
}

// killNode runs a doomed process up to a moment i and kills it. It returns the
// ids of all sandboxes that the process may have made.
func (s *suite) killNode(t *T, i int) []string {
	t.Helper()
	raw, err := json.Marshal(crashPlan{s.dir, s.root, s.code, s.work})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), crashEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("kill: %v", err)
		}
	}
	hung := time.AfterFunc(2*slow.Patience(shortest), kill)
	defer hung.Stop()
	var ids []string
	settled, killed := false, false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, id, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "creating":
			ids = append(ids, id)
			if settled && !killed {
				killed = true
				time.Sleep(time.Duration(i) * 8 * time.Millisecond)
				kill()
			}
		case "settled":
			settled = true
		case "destroying":
			if i == 5 && !killed {
				killed = true
				kill()
			}
		default:
			t.Errorf("the process to be killed said %q: does TestMain end with sandboxtest.Main?", lines.Text())
		}
	}
	_ = cmd.Wait() // it was killed
	if !settled || !killed {
		t.Fatalf("the process ended before it was killed: %d sandboxes", len(ids))
	}
	return ids
}
