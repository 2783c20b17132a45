package namespace

import (
	"errors"
	"os"
	"strings"
)

// A life is a pipe of which the node has the one writing end, for as long as the
// driver lives: nothing is ever written. By its end the first processes of forked
// sandboxes learn of the node's, each through an opening of its own.
type life struct{ r, w *os.File }

func newLife() (*life, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &life{r, w}, nil
}

// Close ends what still watches it.
func (l *life) Close() error { return errors.Join(l.w.Close(), l.r.Close()) }

// noAttach tells whether this machine lets nobody, not even root, take a descriptor
// of another process.
func noAttach() bool {
	const nobody = "3" // kernel.yama.ptrace_scope
	scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	return err == nil && strings.TrimSpace(string(scope)) == nobody
}

// Descriptors is how many of the node's descriptors an idle sandbox keeps open: one
// by which the node learns of its end, one for RuntimeAPIAddr if it has that, which
// is not counted, and its link where that has to be kept.
func Descriptors() int {
	if noAttach() {
		return 2
	}
	return 1
}
