package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
)

// weakDriver is a driver as one might write it in an afternoon: a mount
// namespace, a chroot and another uid. It starts programs well, and confines
// them badly. The suite must find that out.
type weakDriver struct {
	dir string
	mu  sync.Mutex
	all []*weakBox
}

type weakBox struct {
	id   string
	at   string
	cmd  *exec.Cmd
	done chan struct{}
	exit sandbox.Exit
}

const (
	// weakRun makes the test binary run the suite on weakDriver. Its value is
	// the name of the file that gets the ids of all sandboxes.
	weakRun = "ALCOVE_SANDBOXTEST_WEAK"
	// weakStart makes it the first process of a sandbox; the value is a
	// weakSpec.
	weakStart = "ALCOVE_SANDBOXTEST_WEAK_START"
)

type weakSpec struct {
	Mount string // where the root is put together
	Spec  sandbox.Spec
}

func TestMain(m *testing.M) {
	if raw, ok := os.LookupEnv(weakStart); ok {
		fmt.Fprintln(os.Stderr, "weak driver:", becomeWeak(raw))
		os.Exit(126)
	}
	Main(m, func(dir string) (sandbox.Driver, error) { return newWeak(dir) })
}

func newWeak(dir string) (*weakDriver, error) {
	return &weakDriver{dir: dir}, os.MkdirAll(dir, 0o755)
}

func (d *weakDriver) Name() string                { return "weak" }
func (d *weakDriver) Findings() []sandbox.Finding { return nil }
func (d *weakDriver) Close() error                { return nil }

// The weak driver says that it has removed what a killed process left, and has not.
func (d *weakDriver) Sweep()                       {}
func (d *weakDriver) Leftovers() sandbox.Leftovers { return sandbox.Leftovers{Found: 3} }
func (d *weakDriver) Swept() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func (d *weakDriver) Create(_ context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if f, err := os.OpenFile(os.Getenv(weakRun), os.O_APPEND|os.O_WRONLY, 0); err == nil {
		fmt.Fprintln(f, spec.ID)
		f.Close()
	}
	if len(spec.Args) == 0 || spec.Stdout == nil {
		return nil, errors.New("incomplete")
	}
	at := filepath.Join(d.dir, spec.ID)
	if err := os.Mkdir(at, 0o755); err != nil {
		return nil, err
	}
	plain := spec
	plain.Stdout, plain.Stderr, plain.Log = nil, nil, nil
	raw, err := json.Marshal(weakSpec{at, plain})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{weakStart + "=" + string(raw)}
	cmd.Stdout, cmd.Stderr = spec.Stdout, spec.Stderr
	if spec.Log != nil {
		cmd.ExtraFiles = []*os.File{spec.Log}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b := &weakBox{id: spec.ID, at: at, cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(b.done)
		_ = cmd.Wait() // how it ended is in its state
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
			b.exit.Signal = ws.Signal()
		} else {
			b.exit.Code = ws.ExitStatus()
		}
	}()
	d.mu.Lock()
	d.all = append(d.all, b)
	d.mu.Unlock()
	return b, nil
}

func (b *weakBox) ID() string                    { return b.id }
func (b *weakBox) Done() <-chan struct{}         { return b.done }
func (b *weakBox) Exit() sandbox.Exit            { return b.exit }
func (b *weakBox) Freeze() error                 { return b.cmd.Process.Signal(syscall.SIGSTOP) }
func (b *weakBox) Thaw() error                   { return b.cmd.Process.Signal(syscall.SIGCONT) }
func (b *weakBox) Usage() (sandbox.Usage, error) { return sandbox.Usage{}, nil }
func (b *weakBox) Destroy() error {
	_ = b.cmd.Process.Kill() // its children live on
	<-b.done
	if err := os.Remove(b.at); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// becomeWeak puts the root together, in a mount namespace of its own, and
// becomes the program. It returns only if that fails.
func becomeWeak(raw string) error {
	var w weakSpec
	if err := json.Unmarshal([]byte(raw), &w); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	bind := func(from, to string) error {
		if err := unix.Mount(from, filepath.Join(w.Mount, to), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", to, err)
		}
		return nil
	}
	err := errors.Join(bind(w.Spec.Root, "/"), bind("/dev", "/dev"), bind(w.Spec.SocketDir, sandbox.SocketDir),
		unix.Mount("proc", filepath.Join(w.Mount, "proc"), "proc", 0, ""), unix.Mount("sysfs", filepath.Join(w.Mount, "sys"), "sysfs", 0, ""),
		unix.Mount("tmpfs", filepath.Join(w.Mount, "tmp"), "tmpfs", 0, "mode=1777"))
	for _, m := range w.Spec.Mounts {
		err = errors.Join(err, bind(m.Source, m.Target))
	}
	if err != nil {
		return err
	}
	// All that keeps a test of the number of processes from harming the host.
	const few = 300
	err = errors.Join(unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: few, Max: few}), unix.Chroot(w.Mount), os.Chdir(w.Spec.Dir),
		syscall.Setgroups(nil), syscall.Setgid(sandbox.GID), syscall.Setuid(sandbox.UID))
	if err != nil {
		return err
	}
	return unix.Exec(w.Spec.Args[0], w.Spec.Args, w.Spec.Env)
}

// TestSuiteOnWeakDriver is the suite on weakDriver. It runs only as a child of
// TestSuiteFindsWeaknesses, where it has to fail.
func TestSuiteOnWeakDriver(t *testing.T) {
	if os.Getenv(weakRun) == "" {
		return
	}
	Run(t, Options{
		SharesKernel: true,
		Patience:     5 * time.Second,
		New: func(t *testing.T, dir string) sandbox.Driver {
			d, err := newWeak(dir)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Allowed: map[string]string{
			"posture/seccomp":      "to see that an allowed difference is allowed",
			"posture/setuid_files": "to see that a difference that does not show is found",
		},
	})
}

// weaknesses are subtests that weakDriver has to fail. Not among them is
// posture/denied/i386_abi: there are kernels that have none.
var weaknesses = strings.Fields(`
	life/descriptors life/usage life/context life/failures life/orphans life/daemon
	freeze/stops
	door/tcp door/tamper door/host_tcp door/host_udp door/host_unix door/loopback
	limits/memory limits/tmp limits/shm limits/processes limits/threads limits/open_files limits/cpu
	posture/capabilities posture/no_new_privs posture/mounts posture/read_only posture/tamper
	posture/mount_flags/root posture/mount_flags/var_task posture/mount_flags/tmp posture/mount_flags/run_alcove
	posture/processes posture/kernel_reads/proc_cmdline posture/sysfs posture/devices/dev_kmsg posture/hostname posture/network
	posture/host_paths posture/volatile posture/limits posture/host_pids
	posture/secrets posture/kernel_writes posture/denied/core_limit posture/denied/keyctl posture/denied/add_key
	posture/denied/io_uring posture/denied/userfaultfd posture/denied/perf_event_open posture/denied/personality_norandom
	posture/denied/socket_netlink_audit posture/denied/socket_vsock posture/denied/kcmp
	posture/host/namespaces posture/host/privileges posture/host/cgroup
	pair/traces pair/traces_of_the_host pair/same_addresses
	late/arrives findings leaks crash leaks_after_crash`)

// strengths are subtests that weakDriver passes: the suite does not fail for
// everything.
var strengths = strings.Fields(`
	life/exit life/signal life/environment life/arguments life/directory life/user life/pipes life/output life/mounts life/destroy life/parallel
	door/unix door/no_tcp limits/memory_usable limits/tmp_runs_programs
	posture/ids posture/seccomp posture/setuid_files posture/special_files posture/cgroup_files posture/roots posture/terminal
	posture/denied/mount_tmpfs posture/denied/reboot posture/denied/setuid_root posture/denied/mknod_char posture/host/user`)

var verdict = regexp.MustCompile(`(?m)^\s*--- (PASS|FAIL|SKIP): TestSuiteOnWeakDriver/(\S+)`)

// TestSuiteFindsWeaknesses: a suite that cannot fail proves nothing.
func TestSuiteFindsWeaknesses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("the suite must run as root")
	}
	ids := filepath.Join(t.TempDir(), "ids")
	if err := os.WriteFile(ids, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	// Left out is what would harm others: the fork bomb, which nothing would
	// bound, and signals to everybody.
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^TestSuiteOnWeakDriver$", "-test.skip=/limits/(fork_bomb|memory_of_children)$|/pair/signals$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), weakRun+"="+ids)
	out, err := cmd.CombinedOutput()
	killAll(t, ids)
	if err == nil {
		t.Error("the suite has passed a driver that confines nothing")
	}
	if bytes.Contains(out, []byte("DATA RACE")) {
		t.Errorf("the suite itself races:\n%.5000s", out[bytes.Index(out, []byte("DATA RACE")):])
	}
	got := make(map[string]string)
	for _, m := range verdict.FindAllSubmatch(out, -1) {
		got[string(m[2])] = string(m[1])
	}
	for _, name := range weaknesses {
		if got[name] != "FAIL" {
			t.Errorf("%s: %q, but the driver is weak there", name, got[name])
		}
	}
	for _, name := range strengths {
		if got[name] != "PASS" {
			t.Errorf("%s: %q, but there the driver does well", name, got[name])
		}
	}
	for _, said := range []string{"which is allowed (to see that an allowed", "difference does not show: remove it"} {
		if !bytes.Contains(out, []byte(said)) {
			t.Errorf("nobody said %q", said)
		}
	}
	if t.Failed() {
		t.Logf("%.20000s", out)
	}
}

// killAll ends what the weak driver has left running.
func killAll(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var left []int
	for id := range strings.FieldsSeq(string(raw)) {
		if len(id) == 32 {
			left = append(left, hostProcesses(id)...)
		}
	}
	slices.Sort(left)
	for _, pid := range slices.Compact(left) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
