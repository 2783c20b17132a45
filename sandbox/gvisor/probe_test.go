package gvisor

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/alcove-run/alcove/sandbox"
)

const probeEnv = "ALCOVE_TEST_PROBE"

// TestProbeOnce does, in a process that TestProbeAsNobody starts, what is
// looked at there.
func TestProbeOnce(t *testing.T) {
	if os.Getenv(probeEnv) == "" {
		return // nothing is tested here
	}
	out, jerr := json.Marshal(Probe(t.Context(), ""))
	if jerr != nil {
		t.Fatal(jerr)
	}
	os.Stdout.WriteString(compileMark + string(out) + compileMark)
}

// TestProbeAsNobody: without root nothing is missing, and what is less is said.
func TestProbeAsNobody(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestProbeOnce$", "-test.v")
	cmd.Env = []string{probeEnv + "=1"}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, said, _ := strings.Cut(string(out), compileMark)
	said, _, _ = strings.Cut(said, compileMark)
	var got []sandbox.Finding
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	less := ""
	for _, f := range got {
		if f.State != sandbox.OK {
			less += f.Name + " " + string(f.State)
		}
		if (f.State == sandbox.OK) != (f.Fix == "") {
			t.Errorf("%+v", f)
		}
	}
	if less != "privileges degraded" {
		t.Errorf("less than all: %s", less)
	}
}

// TestProgramWithoutMain: a program that does not begin with Main is told so,
// and is not started again and again.
func TestProgramWithoutMain(t *testing.T) {
	for _, exe := range []string{"/bin/false", "/nowhere", "/etc/passwd"} {
		if err := usable(Probe(t.Context(), exe)); err == nil {
			t.Errorf("%s is accepted", exe)
		}
	}
}

// TestProbeDisk: a directory in memory is told from one on a disk.
func TestProbeDisk(t *testing.T) {
	if f := probeDisk("/dev/shm"); f.State != sandbox.Degraded || f.Fix == "" {
		t.Errorf("/dev/shm: %+v", f)
	}
	if f := probeDisk("/usr"); f.State != sandbox.OK {
		t.Errorf("/usr: %+v", f)
	}
	if f := probeDisk("/nowhere"); f.State != sandbox.Degraded {
		t.Errorf("/nowhere: %+v", f)
	}
}
