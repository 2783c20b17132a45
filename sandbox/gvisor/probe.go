package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gvisor.dev/gvisor/runsc/config"

	"github.com/alcove-run/alcove/sandbox"
)

// argProbe, as its first argument, has a starter do nothing but exist and say
// whether its stamp is the one in the second.
const argProbe = "probe"

func answerProbe(want string) int {
	got, err := stamp()
	if err != nil {
		return fatal("stamp: %v", err)
	}
	if got != want {
		return fatal("built from other sources than the node")
	}
	return 0
}

// probeTimeout bounds a process that does nothing.
const probeTimeout = 10 * time.Second

// Probe says whether this machine and this program can make gVisor sandboxes.
// New fails if anything in it is missing. Exe is as in Config.
func Probe(ctx context.Context, exe string) []sandbox.Finding {
	if exe == "" {
		exe = argSelf
	}
	return []sandbox.Finding{probeBuild(), probeRoot(), probeNamespaces(ctx, exe), probeSeccomp()}
}

// usable turns the first missing thing into an error.
func usable(findings []sandbox.Finding) error {
	for _, f := range findings {
		if f.State == sandbox.Missing {
			return fmt.Errorf("gvisor: %s: %s (%s)", f.Name, f.Detail, f.Fix)
		}
	}
	return nil
}

func probeBuild() sandbox.Finding {
	f := sandbox.Finding{Name: "gVisor", State: sandbox.OK, Detail: "built in, platform systrap"}
	if config.CgoEnabled {
		f.State = sandbox.Missing
		f.Detail = "the program was built with cgo, with which no sandbox starts"
		f.Fix = "build with CGO_ENABLED=0"
	}
	return f
}

func probeRoot() sandbox.Finding {
	f := sandbox.Finding{Name: "privileges", State: sandbox.OK, Detail: "runs as root"}
	if os.Geteuid() != 0 {
		f.State = sandbox.Degraded
		f.Detail = "runs as an ordinary user: every sandbox's processes on the host are that user's"
		f.Fix = "run as root"
	}
	return f
}

// probeNamespaces starts a process as the sentry is started.
func probeNamespaces(ctx context.Context, exe string) sandbox.Finding {
	f := sandbox.Finding{Name: "namespaces", State: sandbox.OK, Detail: "user, mount, pid, network, ipc and uts namespaces can be made"}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe)
	mine, err := stamp()
	if err != nil {
		mine = err.Error() // which nobody else has
	}
	cmd.Args = []string{argStarter, argProbe, mine}
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		// All that a process without privileges may map: itself.
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		f.State = sandbox.Missing
		f.Detail = fmt.Sprintf("the program does not work as a part of a sandbox: %v: %.200s", err, strings.TrimSpace(string(out)))
		f.Fix = "build it again: go generate ./sandbox/gvisor/embedded; its main begins with gvisor.Main"
	default:
		f.State = sandbox.Missing
		f.Detail = "they cannot be made: " + err.Error()
		f.Fix = "sysctl user.max_user_namespaces=10000; in a container, run it with --privileged"
	}
	return f
}

func probeSeccomp() sandbox.Finding {
	f := sandbox.Finding{Name: "seccomp", State: sandbox.OK, Detail: "sentry and gofer run behind system call filters"}
	if err := unix.Prctl(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err != nil {
		f.State = sandbox.Missing
		f.Detail = "the kernel has no system call filters: " + err.Error()
		f.Fix = "use a kernel with CONFIG_SECCOMP_FILTER"
	}
	return f
}

// probeDisk says whether the files behind /tmp are on a disk.
func probeDisk(dir string) sandbox.Finding {
	f := sandbox.Finding{Name: "tmp", State: sandbox.OK, Detail: "/tmp and /dev/shm are kept on disk and do not count as memory"}
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	if err == nil && st.Type != unix.TMPFS_MAGIC && st.Type != unix.RAMFS_MAGIC {
		return f
	}
	f.State = sandbox.Degraded
	f.Detail = "the data directory is in memory, so what is in /tmp and /dev/shm counts as the function's memory"
	if err != nil {
		f.Detail = "it cannot be told where /tmp is kept: " + err.Error()
	}
	f.Fix = "put --data on a disk"
	return f
}

// Findings implements sandbox.Driver.
func (d *Driver) Findings() []sandbox.Finding {
	link := sandbox.Finding{Name: sandbox.LinkFinding, State: sandbox.OK, Detail: "gVisor's own network stack, at the other end of whose link the node decides"}
	return append(append(d.findings, link, d.lateFinding(), probeDisk(d.conf.Dir)), d.conf.Cgroups.Findings()...)
}
