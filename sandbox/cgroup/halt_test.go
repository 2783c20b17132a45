package cgroup

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestHaltStopsAndEndRemoves: of a killed node's groups nothing runs after Halt, and
// each is there until End; what is made meanwhile is let alone, and Close leaves what
// End has not removed.
func TestHaltStopsAndEndRemoves(t *testing.T) {
	name := uniqueName()
	p := start(t, "node", nil, "ALCOVE_TEST_NAME="+name) // two groups with a process each, the second frozen
	p.expect(t, "made")
	p.Process.Kill()
	p.Wait()

	log := open(t).log
	r, err := Open(name, log)
	if err != nil {
		t.Fatal(err)
	}
	groups, memory, err := r.Halt()
	if err != nil || len(groups) != 2 || r.has(memoryController) && memory <= 0 {
		t.Fatalf("Halt found %d groups with %d bytes: %v", len(groups), memory, err)
	}
	var pids []int
	for _, g := range groups {
		if r.Freezes() {
			if err := g.Freeze(); err != nil { // waits until all stand still
				t.Error(err)
			}
		}
		in, err := g.Pids()
		if err != nil || len(in) == 0 && r.Freezes() {
			t.Errorf("in %s are %v, %v", g.ID(), in, err)
		}
		pids = append(pids, in...)
	}
	for _, pid := range pids {
		if !r.Stops(pid) {
			t.Errorf("process %d is not known to be stopped", pid)
		}
	}
	if r.Stops(os.Getpid()) {
		t.Error("this process is said to be stopped")
	}

	// A sandbox of the new node runs, beside the old ones.
	g, err := r.New("three", Limits{Memory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	g.Settle()
	fresh := start(t, "sleep", nil, in(g))
	if state := stateOf(t, fresh.Process.Pid); !strings.Contains("SR", state) {
		t.Errorf("a process of the new node is in state %s", state)
	}
	if err := r.End(groups[0]); err != nil {
		t.Error(err)
	}
	if ids := r.left(t); !slices.Equal(ids, slices.Sorted(slices.Values([]string{groups[1].ID(), "three"}))) {
		t.Errorf("left %v", ids)
	}
	if err := r.Close(); err != nil { // ends the new node's, and keeps the old one's
		t.Error(err)
	}
	if _, status := fresh.end(t); status.Signal() != syscall.SIGKILL {
		t.Errorf("the new node's process ended by %v", status)
	}

	if r, err = Open(name, log); err != nil {
		t.Fatal(err)
	}
	again, _, err := r.Halt()
	if err != nil || len(again) != 1 || again[0].ID() != groups[1].ID() {
		t.Fatalf("the next node found %v, %v", again, err)
	}
	for range 2 { // it may be called again
		if err := r.End(again[0]); err != nil {
			t.Error(err)
		}
	}
	for _, pid := range pids {
		if !zombie(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if left := r.parents(); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func stateOf(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))[0]
}
