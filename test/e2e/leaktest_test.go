package e2e

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/alcove-run/alcove/test/leaktest"
)

// TestLeaktest holds that nothing of one tenant reaches another: counters, files,
// variables, processes, descriptors, sockets, shared memory, signals, ptrace,
// /proc, on both drivers and both runtimes.
func TestLeaktest(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		report, err := leaktest.Run(t.Context(), leaktest.Config{
			Client: n.lambda, Runtimes: []string{string(python), string(nodejs)}, Role: role, Tenants: 20, PerTenant: 3,
		})
		if report == nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Error(err)
		}
		var table bytes.Buffer
		if err := report.Write(&table); err != nil {
			t.Fatal(err)
		}
		t.Log(table.String())
		rows := 0
		for _, row := range report.Rows {
			t.Run(row.Runtime+"/"+row.Check, func(t *testing.T) {
				rows++
				if row.Verdict != leaktest.Pass {
					t.Errorf("%s: %s", row.Verdict, row.Seen)
				}
			})
		}
		if want := 26 + 22; rows != want {
			t.Errorf("%d rows, want %d: one for each check and runtime", rows, want)
		}
	})
}

// TestLeaktestCommand runs the same from the command line.
func TestLeaktestCommand(t *testing.T) {
	n := on(t, "namespace")
	out, errs, err := n.alcove(t, "leaktest", "--runtime", string(python), "--tenants", "4")
	if err != nil {
		t.Errorf("%v\n%s", err, errs)
	}
	if !strings.Contains(out, "26 PASS, 0 FAIL, 0 not supported") {
		t.Errorf("the table:\n%s", out)
	}
	// Nobody is there: nothing was tested, and that is no success.
	cmd := exec.CommandContext(t.Context(), program, "leaktest", "--endpoint", "http://127.0.0.1:1", "--data", n.data)
	cmd.Env = cleanEnv()
	if text, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("without a service, leaktest succeeded:\n%s", text)
	}
}
