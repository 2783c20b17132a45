package leaktest_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/test/leaktest"
)

// TestCarelessServiceFails is the proof that the checks can see: against a
// service that mixes tenants up, every one of them must say so.
func TestCarelessServiceFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		service *careless
	}{
		{"ignores tenants", &careless{}},
		{"refuses TenancyConfig", &careless{refuses: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := run(t, c.service.serve(t))
			verdicts := map[string]leaktest.Verdict{}
			for _, row := range report.Rows {
				verdicts[row.Runtime[:4]+" "+row.Check] = row.Verdict
			}
			expect := func(want leaktest.Verdict, runtimes string, checks ...string) {
				t.Helper()
				for _, r := range strings.Fields(runtimes) {
					for _, check := range checks {
						if got := verdicts[r+" "+check]; got != want {
							t.Errorf("%s, %s: %q, want %q", r, check, got, want)
						}
						delete(verdicts, r+" "+check)
					}
				}
			}
			expect(leaktest.Fail, "pyth node", "environments, in turns", "counter in a global", "/tmp and other writable places",
				"environment variables", "background thread", "background process", "open file descriptors", "abstract unix socket",
				"loopback TCP port", "processes in /proc", "signals to processes", "ptrace and /proc/PID of processes",
				"environments, all at once", "ids that look alike")
			expect(leaktest.Fail, "pyth", "SysV shared memory", "SysV message queue", "POSIX message queue", "kernel keyring")
			expect(leaktest.Pass, "pyth node", "tenant id in the handler's context", "log tail", "warm reuse for the same tenant",
				"function deleted and made again")
			if c.service.refuses {
				expect(leaktest.Unsupported, "pyth node", "TenancyConfig", "missing tenant id", "malformed tenant ids", "tenant id on an ordinary function")
			} else {
				expect(leaktest.Pass, "pyth node", "TenancyConfig")
				expect(leaktest.Fail, "pyth node", "missing tenant id", "malformed tenant ids", "tenant id on an ordinary function")
			}
			for check, v := range verdicts {
				t.Errorf("a row that this test does not know: %s: %s", check, v)
			}
			c.service.leftNothing(t)
		})
	}
}

func run(t *testing.T, endpoint string) *leaktest.Report {
	t.Helper()
	client := lambda.New(lambda.Options{Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
	report, err := leaktest.Run(context.Background(), leaktest.Config{
		Client: client, Runtimes: []string{"python3.13", "nodejs22.x"}, Role: "arn:aws:iam::000000000000:role/any",
		Tenants: 4, PerTenant: 2, Progress: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := report.Write(&table); err != nil {
		t.Fatal(err)
	}
	t.Log(table.String())
	return report
}

// leftNothing checks that a run takes back all that it did to a machine.
func (c *careless) leftNothing(t *testing.T) {
	t.Helper()
	if len(c.functions) > 0 || len(c.deleted) != 6 {
		t.Errorf("functions left: %d; deleted: %q", len(c.functions), c.deleted)
	}
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run", "/mnt"} {
		for _, name := range c.deleted {
			left, err := filepath.Glob(filepath.Join(dir, name+"*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, %v", left, err)
			}
		}
	}
	// The killed may take a moment to be gone.
	left := c.running(t)
	for deadline := time.Now().Add(slow.Patience(time.Minute)); len(left) > 0 && time.Now().Before(deadline); left = c.running(t) {
		time.Sleep(10 * time.Millisecond)
	}
	if len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
}

// running lists the command lines of processes that bear a mark of this service's
// functions.
func (c *careless) running(t *testing.T) []string {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, p := range procs {
		args, err := os.ReadFile(p)
		for _, name := range c.deleted {
			if err == nil && bytes.Contains(args, []byte(name)) {
				left = append(left, string(args))
			}
		}
	}
	return left
}
