package cgroup

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/alcove-run/alcove/sandbox"
)

func TestLimitsAreWritten(t *testing.T) {
	r := open(t)
	if !r.Limits() || !r.Freezes() {
		t.Fatalf("no limits here as root: %+v", r.Findings())
	}
	g := newGroup(t, r, Limits{Memory: 100 << 20, CPU: 0.5, Processes: 77})
	check := func(controller, v1file, v1want, v2file, v2want string) {
		t.Helper()
		dir, file, want := g.v1[controller], v1file, v1want
		if dir == "" {
			dir, file, want = g.v2, v2file, v2want
		}
		if got, err := read(dir, file); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", file, got, err, want)
		}
	}
	memory := strconv.Itoa(100 << 20)
	check(memoryController, "memory.limit_in_bytes", memory, "memory.max", memory)
	check(memoryController, "memory.memsw.limit_in_bytes", memory, "memory.swap.max", "0")
	check(cpuController, "cpu.shares", "512", "cpu.weight", "50")
	check(cpuController, "cpu.cfs_quota_us", "100000", "cpu.max", "100000 100000")
	check(pidsController, "pids.max", "77", "pids.max", "77")

	weighs := func(what string, err error, shares, weight string) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		check(cpuController, "cpu.shares", shares, "cpu.weight", weight)
		check(cpuController, "cpu.cfs_quota_us", "100000", "cpu.max", "100000 100000")
	}
	weighs("a quarter", g.Weigh(4), "128", "12")
	weighs("a quarter of more", g.Set(Limits{CPU: 1}), "256", "25")
	weighs("next to nothing", g.Weigh(10_000), "2", "1")
	weighs("all of it", g.Weigh(1), "1024", "100")

	for _, m := range []int64{200 << 20, 50 << 20} { // up and down
		if err := g.Set(Limits{Memory: m}); err != nil {
			t.Error(err)
		}
		memory = strconv.FormatInt(m, 10)
		check(memoryController, "memory.limit_in_bytes", memory, "memory.max", memory)
	}
}

func TestMemoryLimitEndsTheGroupAlone(t *testing.T) {
	r := open(t)
	small := newGroup(t, r, Limits{Memory: 64 << 20})
	other, err := r.New("other", Limits{Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	bystander := start(t, "sleep", nil, in(other))
	eater := start(t, "eat", nil, in(small))
	out, status := eater.end(t)
	if status.Signal() != syscall.SIGKILL {
		t.Errorf("eater ended with %v, said %q; want SIGKILL", status, out)
	}
	if n, err := small.OOMKills(); n == 0 || err != nil {
		t.Errorf("OOMKills = %d, %v", n, err)
	}
	if n, err := other.OOMKills(); n != 0 || err != nil {
		t.Errorf("OOMKills of the other group = %d, %v", n, err)
	}
	if err := bystander.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("bystander: %v", err)
	}
	if u, err := small.Usage(); err != nil || u.MemoryPeak < 32<<20 || u.CPU == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	if err := other.Kill(); err != nil {
		t.Error(err)
	}
	bystander.end(t)
}

func TestProcessLimit(t *testing.T) {
	r := open(t)
	g := newGroup(t, r, Limits{Processes: 25})
	p := start(t, "fork", nil, in(g))
	p.expect(t, "refused")
	if _, status := p.end(t); status.ExitStatus() != 0 {
		t.Errorf("status %v", status)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if pids, err := g.Pids(); len(pids) != 0 || err != nil {
		t.Errorf("left: %v, %v", pids, err)
	}
}

func TestFreezeStopsAndThawGoesOn(t *testing.T) {
	r := open(t)
	g := newGroup(t, r, Limits{Memory: 64 << 20})
	p := start(t, "spin", nil, in(g))
	used := func() int64 {
		u, err := g.Usage()
		if err != nil {
			t.Fatal(err)
		}
		return u.CPU
	}
	for range 3 {
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := g.Freeze(); err != nil { // idempotent
			t.Fatal(err)
		}
		before := used()
		// Work enough for a running process to be seen: what remains is the
		// last step into the freezer, which is accounted late.
		own := burn(20_000_000)
		if after := used(); after-before > own/4 {
			t.Errorf("used %d ns while frozen, in %d ns", after-before, own)
		}
		if err := g.Thaw(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the process runs again", func() bool { return used() > before })
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	p.end(t)
}

// burn computes for a while and tells how much processor time that took, in
// nanoseconds.
func burn(rounds int) int64 {
	cpu := func() int64 {
		var ru syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
		return ru.Utime.Nano() + ru.Stime.Nano()
	}
	before, sum := cpu(), 0
	for i := range rounds {
		sum ^= i * i
	}
	if sum == 1 {
		return 0
	}
	return cpu() - before
}

func TestKillEndsWhatIgnoresSignalsAndIsFrozen(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		r := open(t)
		g := newGroup(t, r, Limits{Processes: 100})
		p := start(t, "stubborn", nil, in(g))
		p.expect(t, "children")
		if pids, _ := g.Pids(); len(pids) != 4 {
			t.Errorf("%d processes in the group, want 4", len(pids))
		}
		if frozen {
			if err := g.Freeze(); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, status := p.end(t); status.Signal() != syscall.SIGKILL {
			t.Errorf("ended with %v", status)
		}
		for range 2 { // idempotent
			if err := g.Remove(); err != nil {
				t.Error(err)
			}
		}
		for _, dir := range g.Paths() {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s is still there", dir)
			}
		}
	}
}

func TestBornInGroup(t *testing.T) {
	r := open(t)
	g := newGroup(t, r, Limits{Memory: 64 << 20})
	if g.FD() < 0 {
		if r.Mode() != V1 {
			t.Errorf("no descriptor in mode %s", r.Mode())
		}
		return
	}
	p := start(t, "sleep", &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD()})
	if pids, err := g.Pids(); !slices.Equal(pids, []int{p.Process.Pid}) {
		t.Errorf("in the group: %v, %v; want %d", pids, err, p.Process.Pid)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	p.end(t)
}

// Of a part of the tree that has been given no controllers, or not all, a node
// takes what there is; its sandboxes can be frozen in any case.
func TestSomeControllersAreMissing(t *testing.T) {
	lay, err := readLayout("/proc/self/mountinfo", "/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if lay.v2 == nil {
		return // version 1: each controller is on its own there
	}
	above := filepath.Join(lay.v2.mount, groupPrefix+uniqueName())
	top := filepath.Join(above, "top")
	t.Cleanup(func() {
		if err := errors.Join(removeDir(top, removeWait), removeDir(above, removeWait)); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(top, 0o755); err != nil {
		t.Fatal(err)
	}
	given := write(above, "cgroup.subtree_control", "+pids") == nil // pure version 2
	r := &Root{name: uniqueName(), log: slog.New(slog.DiscardHandler), v1: map[string]string{}, v2has: map[string]bool{}, problems: map[string]string{},
		layout: layout{v2: &hierarchy{mount: top, root: "/", path: "/"}}}
	if err := r.openV2(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if r.Mode() != V2 || !r.Freezes() || r.has(pidsController) != given || r.has(memoryController) || r.Limits() {
		t.Errorf("layout %s, freezes %v, pids %v, memory %v", r.Mode(), r.Freezes(), r.has(pidsController), r.has(memoryController))
	}
	for _, f := range r.Findings() {
		if missing := f.State == sandbox.Missing; missing != (f.Name == "memory limit" || f.Name == "cpu share" || f.Name == "process limit" && !given) {
			t.Errorf("%+v", f)
		}
	}
	g := newGroup(t, r, Limits{Memory: 64 << 20, CPU: 1, Processes: 50})
	p := start(t, "sleep", &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD()})
	if err := errors.Join(g.Freeze(), g.Kill()); err != nil {
		t.Error(err)
	}
	p.end(t)
}

// enterThread moves the calling thread alone, as the drivers do.
func enterThread(v1paths []string) error {
	for _, dir := range v1paths {
		if err := write(dir, "tasks", "0"); err != nil {
			return err
		}
	}
	return nil
}

// A group that names this very process must not make it end itself.
func TestKillSparesTheCaller(t *testing.T) {
	r := open(t)
	g := newGroup(t, r, Limits{})
	held := make(chan error)
	release := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		held <- enterThread(g.V1Paths())
		<-release
		var back []string
		for _, dir := range r.dirs() {
			if dir != r.v2 {
				back = append(back, filepath.Dir(dir))
			}
		}
		held <- enterThread(back)
	}()
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	release <- struct{}{}
	if err := <-held; err != nil {
		t.Error(err)
	}
}

func TestSweepEndsWhatAKilledNodeLeft(t *testing.T) {
	name := uniqueName()
	p := start(t, "node", nil, "ALCOVE_TEST_NAME="+name)
	p.expect(t, "made")
	p.Process.Kill()
	p.Wait()

	r, err := Open(name, open(t).log)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sweep("one"); err != nil {
		t.Fatal(err)
	}
	if ids := r.left(t); !slices.Equal(ids, []string{"one"}) {
		t.Errorf("left %v, want the one that was to be kept", ids)
	}
	if err := r.Sweep(); err != nil {
		t.Fatal(err)
	}
	if ids := r.left(t); len(ids) != 0 {
		t.Errorf("left %v", ids)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if ps := r.parents(); len(ps) != 0 {
		t.Errorf("left %v", ps)
	}
}

// TestSweepOfMany: more groups than are ended at a time, some with a process, and all of
// them are gone but the one that is to be kept.
func TestSweepOfMany(t *testing.T) {
	r := open(t)
	var ps []*process
	for i := range 2*sweepers + 3 {
		g, err := r.New("s"+strconv.Itoa(i), Limits{Memory: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		g.Settle()
		if i%8 == 1 {
			ps = append(ps, start(t, "sleep", nil, in(g)))
		}
	}
	if err := r.Sweep("s0"); err != nil {
		t.Fatal(err)
	}
	if ids := r.left(t); !slices.Equal(ids, []string{"s0"}) {
		t.Errorf("left %v, want the one that was to be kept", ids)
	}
	for _, p := range ps {
		if _, status := p.end(t); status.Signal() != syscall.SIGKILL {
			t.Errorf("a process ended by %v", status)
		}
	}
	if err := r.Sweep(); err != nil {
		t.Fatal(err)
	}
	if ids := r.left(t); len(ids) != 0 {
		t.Errorf("left %v", ids)
	}
}

// left lists the groups that exist in any hierarchy.
func (r *Root) left(t *testing.T) []string {
	var ids []string
	for _, p := range r.parents() {
		entries, err := os.ReadDir(p.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && !slices.Contains(ids, e.Name()) {
				ids = append(ids, e.Name())
			}
		}
	}
	slices.Sort(ids)
	return ids
}

func TestRootsOfDifferentNamesLeaveEachOtherAlone(t *testing.T) {
	mine, theirs := open(t), open(t)
	g := newGroup(t, theirs, Limits{Processes: 10})
	p := start(t, "sleep", nil, in(g))
	if err := mine.Sweep(); err != nil {
		t.Fatal(err)
	}
	if pids, _ := g.Pids(); !slices.Equal(pids, []int{p.Process.Pid}) {
		t.Errorf("processes of the other node: %v", pids)
	}
	g.Kill()
	p.end(t)
}

func TestOrdinaryUserIsToldWhatIsMissing(t *testing.T) {
	exe := filepath.Join(t.TempDir(), "exe") // where nobody may read it
	if err := os.Chmod(filepath.Dir(exe), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(exe)), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = []string{"ALCOVE_TEST_ROLE=findings", "ALCOVE_TEST_NAME=" + uniqueName()}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	b, err := c.Output()
	out := string(b)
	if err != nil || !strings.Contains(out, "mode none <nil>") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"memory limit|missing|", "cpu share|missing|", "process limit|missing|", "freezer|degraded|"} {
		if !strings.Contains(out, want) || strings.Contains(out, want+"\n") {
			t.Errorf("no %q with a fix in\n%s", want, out)
		}
	}
	if !strings.Contains(out, "new <nil> -1 true <nil> <nil> <nil> <nil>") {
		t.Errorf("the empty group does not work:\n%s", out)
	}
}

func TestInvalidNamesAreRefused(t *testing.T) {
	r := open(t)
	for _, name := range []string{"", ".", "..", "a/b", "A", strings.Repeat("a", 65), "-a", "a\n"} {
		if _, err := Open(name, r.log); err == nil {
			t.Errorf("Open(%q) succeeded", name)
		}
		if _, err := r.New(name, Limits{}); err == nil {
			t.Errorf("New(%q) succeeded", name)
		}
	}
}

func TestFindingsAreComplete(t *testing.T) {
	for _, f := range open(t).Findings() {
		if f.Name == "" || f.Detail == "" || (f.State == sandbox.OK) != (f.Fix == "") {
			t.Errorf("%+v", f)
		}
	}
}
