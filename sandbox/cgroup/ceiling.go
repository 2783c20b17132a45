package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MemoryCeiling is how much memory the groups of this process leave to it and
// everything below it, in bytes: what a container may have on a larger machine. It
// is math.MaxInt64 if nothing limits it.
func MemoryCeiling() int64 {
	l, err := readLayout("/proc/self/mountinfo", "/proc/self/cgroup")
	if err != nil {
		return math.MaxInt64 // no groups, no limits
	}
	return l.memoryCeiling()
}

// memoryCeiling is the least limit of the own group and those above it.
func (l layout) memoryCeiling() int64 {
	least := int64(math.MaxInt64)
	if h, ok := l.v1[memoryController]; ok {
		least = min(least, h.least("memory.limit_in_bytes"))
	}
	if l.v2 != nil {
		least = min(least, l.v2.least("memory.max"))
	}
	return least
}

// least is the least number in the files of that name from the own group up to
// the topmost that is visible. "max" is no number, and version 1's default is so
// large that it limits nothing.
func (h hierarchy) least(file string) int64 {
	least := int64(math.MaxInt64)
	for dir := h.own(); ; dir = filepath.Dir(dir) {
		if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
				least = min(least, n)
			}
		}
		if dir == h.mount || len(dir) <= len(h.mount) {
			return least
		}
	}
}
