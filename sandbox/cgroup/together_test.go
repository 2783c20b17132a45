package cgroup

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestProcessesOfAllTogetherAreBounded(t *testing.T) {
	r := open(t)
	dir := r.v1[pidsController]
	if dir == "" {
		dir = r.v2
	}
	got, err := read(dir, "pids.max")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		t.Fatal(err)
	}
	all, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(got); err != nil || n < 1 || n > all-all/togetherShare {
		t.Errorf("all sandboxes together may have %s processes of the machine's %d", got, all)
	}
}
