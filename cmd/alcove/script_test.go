package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/alcove-run/alcove/sandbox/egress/relay"
	"github.com/alcove-run/alcove/sandbox/gvisor"
	"github.com/alcove-run/alcove/sandbox/namespace"
	"github.com/alcove-run/alcove/sandbox/supervise"
)

// TestMain makes this test binary the program, under its name, for the scripts.
func TestMain(m *testing.M) {
	if gvisor.Main() || namespace.Main() || relay.Main() || supervise.Main() {
		return
	}
	testscript.Main(m, map[string]func(){"alcove": main})
}

// TestScripts runs testdata/script: what the program says to arguments, to a node
// and where there is none. A script's home and data directory are its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"} {
				e.Setenv(name, "")
			}
			e.Setenv("ALCOVE_REGION", "us-east-1")
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("ALCOVE_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("ALCOVE_ENDPOINT", "http://127.0.0.1:1") // where nobody listens
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"node": startNode},
	})
}

// startNode is the command `node [FLAG…]`: a node that runs until the script
// ends, whose address is then in ALCOVE_ENDPOINT and in NODE without its scheme.
func startNode(ts *testscript.TestScript, neg bool, flags []string) {
	if neg {
		ts.Fatalf("node cannot be negated")
	}
	program, err := exec.LookPath("alcove")
	ts.Check(err)
	cmd := exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0", "--isolation", "namespace"}, flags...)...)
	cmd.Env = append(os.Environ(), "ALCOVE_DATA="+ts.Getenv("ALCOVE_DATA"), "HOME="+ts.Getenv("HOME"))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			ts.Logf("stop node: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			ts.Fatalf("node: %v\n%s", err, said.String())
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url, ok := strings.CutPrefix(lines.Text(), "alcove ready on "); ok {
			ts.Setenv("ALCOVE_ENDPOINT", url)
			ts.Setenv("NODE", strings.TrimPrefix(url, "http://"))
			return
		}
	}
	ts.Fatalf("the node ended: %s", said.String())
}
