package cgroup

import (
	"os"
	"strconv"
	"strings"
)

// togetherShare: the sandboxes of a node together may have all but one in so many
// of the machine's processes and threads. Each has a limit of its own, but a few
// dozen of them would take every number that there is.
const togetherShare = 8

// limitTogether bounds the processes of all sandboxes together.
func (r *Root) limitTogether() error {
	dir := r.v1[pidsController]
	if dir == "" && r.v2has[pidsController] {
		dir = r.v2
	}
	most := min(kernelLimit("pid_max"), kernelLimit("threads-max"))
	if dir == "" || most <= 0 {
		return nil
	}
	return write(dir, "pids.max", strconv.Itoa(most-most/togetherShare))
}

// kernelLimit reads a number from /proc/sys/kernel, or answers 0.
func kernelLimit(name string) int {
	b, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return n
}
