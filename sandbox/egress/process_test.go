package egress

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/alcove-run/alcove/sandbox/egress/policy"
)

// errorLog keeps what a Network complains of.
type errorLog struct {
	mu    sync.Mutex
	lines []string
}

// Write implements io.Writer.
func (l *errorLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return len(b), nil
}

// TestARelayThatCannotStartIsNotTriedByEveryone: where no relay can run, as many
// sandboxes come as ever, and the Network can be closed.
func TestARelayThatCannotStartIsNotTriedByEveryone(t *testing.T) {
	said := &errorLog{}
	n, err := Open(Config{Exe: "/bin/false", Log: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	o := &someone{rules: func() policy.Rules { return everything() }, label: func() string { return "" }}
	const many = 200
	for i := range many {
		if err := n.Attach(fmt.Sprint(i), func() *os.File { return nil }, o); err != nil {
			t.Fatal(err)
		}
	}
	n.Close()
	// One for each pause that has gone by: a few on any machine.
	if len(said.lines) == 0 || len(said.lines) > many/10 || !strings.Contains(said.lines[0], "the relay cannot be started") {
		t.Errorf("%d complaints, the first: %s", len(said.lines), said.lines)
	}
}
