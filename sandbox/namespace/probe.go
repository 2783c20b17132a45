package namespace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/namespace/launch"
)

// probeSize is that of the file systems of the sandbox that probe makes.
const probeSize = 1 << 20

// probe makes a sandbox without a program, to see what works, and fills in
// d.findings and d.scratch. It fails if no sandbox can be made.
func (d *Driver) probe(ctx context.Context) error {
	add := func(f sandbox.Finding) { d.findings = append(d.findings, f) }
	tmp := sandbox.Finding{Name: "/tmp", State: sandbox.OK, Detail: "a file system on the disk, with a size of its own"}
	if d.root {
		s, err := newScratch(d.conf.Dir, probeSize)
		if err == nil {
			d.scratch = newScratchStock(d.conf.Dir)
			err = s.Close()
		}
		if err != nil {
			tmp.Detail = "memory of the sandbox, counted against its limit: " + err.Error()
			tmp.Fix = "give the node loop devices and ext4 (modprobe -a loop ext4)"
			tmp.State = sandbox.Degraded
		}
	} else {
		tmp.State = sandbox.Degraded
		tmp.Detail, tmp.Fix = "memory, with a size of its own", "run as root"
	}
	var notes []string
	link := sandbox.Finding{Name: sandbox.LinkFinding, State: sandbox.OK, Detail: "a device of each sandbox's own, at whose other end the node decides"}
	hear := func(note string) { notes = append(notes, note) }
	err := d.tryLaunch(ctx, true, hear)
	if err != nil {
		without := err
		d.pair, notes = true, nil
		link.Detail = "a pair of devices for each sandbox, at whose other end the node decides; with /dev/net/tun it would be one, which is quicker"
		if err = d.tryLaunch(ctx, true, hear); err != nil {
			link.State, link.Detail = sandbox.Missing, fmt.Sprintf("functions reach no network: %v; %v", without, err)
			link.Fix = "let the node open /dev/net/tun: modprobe tun, chmod 0666 /dev/net/tun; in a container, --device /dev/net/tun; or modprobe veth"
			notes = nil
			err = d.tryLaunch(ctx, false, hear)
		}
	}
	if err != nil {
		return fmt.Errorf("no sandbox can be made here: %w", err)
	}
	add(link)
	add(sandbox.Finding{Name: "namespaces", State: sandbox.OK, Detail: "user, mount, pid, network, ipc, uts and cgroup namespaces for each sandbox"})
	add(d.userFinding())
	add(d.lateFinding())
	add(d.templateFinding())
	add(sandbox.Finding{Name: "seccomp", State: sandbox.OK, Detail: "a list of allowed system calls, all others refused"})
	add(landlockFinding())
	add(tmp)
	inodes := sandbox.Finding{Name: "shared files", State: sandbox.OK, Detail: "locks and watches on files that sandboxes share are not seen by others"}
	for _, note := range notes {
		inodes.State = sandbox.Degraded
		inodes.Detail = "locks and watches on files that sandboxes share are seen by others: " + note
		inodes.Fix = "use a kernel with overlayfs (modprobe overlay)"
	}
	add(inodes)
	launcher := sandbox.Finding{Name: "launcher", State: sandbox.OK, Detail: "a small program of its own"}
	if !d.launcher.embedded {
		launcher.State = sandbox.Degraded
		launcher.Detail = "the node's own program, which takes longer to start"
		launcher.Fix = "build with make, or run go generate ./sandbox/initbin before go build"
	}
	add(launcher)
	return nil
}

func (d *Driver) userFinding() sandbox.Finding {
	if d.root {
		return sandbox.Finding{Name: "user ids", State: sandbox.OK, Detail: "every sandbox runs as a user of the host that nobody else is"}
	}
	return sandbox.Finding{
		Name: "user ids", State: sandbox.Degraded,
		Detail: "every sandbox runs as the user who runs the node",
		Fix:    "run as root",
	}
}

func (d *Driver) lateFinding() sandbox.Finding {
	if d.root {
		return sandbox.Finding{Name: "made ahead", State: sandbox.OK, Detail: "sandboxes can be made before their function is known"}
	}
	return sandbox.Finding{
		Name: "made ahead", State: sandbox.Degraded,
		Detail: "sandboxes are made for one function each, from the start: entering their mount namespaces afterwards needs root's rights",
		Fix:    "run as root",
	}
}

func (d *Driver) templateFinding() sandbox.Finding {
	if why := d.templates.none; why != "" {
		return sandbox.Finding{
			Name: "templates", State: sandbox.Degraded,
			Detail: "every Python environment starts an interpreter of its own: " + why,
			Fix:    "run as root, on a kernel with Landlock switched on",
		}
	}
	return sandbox.Finding{Name: "templates", State: sandbox.OK, Detail: "Python environments are forked from an interpreter that is up, where that can be forked"}
}

func landlockFinding() sandbox.Finding {
	if abi := launch.LandlockABI(); abi > 0 {
		return sandbox.Finding{Name: "landlock", State: sandbox.OK, Detail: fmt.Sprintf("version %d", abi)}
	}
	return sandbox.Finding{
		Name: "landlock", State: sandbox.Degraded,
		Detail: "this kernel has no Landlock switched on; read-only mounts alone protect files",
		Fix:    "boot with landlock in the list of the kernel's parameter lsm=",
	}
}

// tryLaunch runs a launcher up to the point where the program would start. Its root
// stays, for a start when the disk is full.
func (d *Driver) tryLaunch(ctx context.Context, link bool, note func(string)) error {
	root := filepath.Join(d.conf.Dir, probeName)
	for _, dir := range []string{"proc", "dev", "tmp", "run/alcove"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	b := newBox(d, sandbox.Spec{
		Root: root, SocketDir: filepath.Join(root, "tmp"), Stdout: null, Stderr: null, Link: link,
		Limits: sandbox.Limits{Memory: 64 << 20, Processes: 64, OpenFiles: 64},
	})
	if d.root {
		if b.user, err = d.ids.take(); err != nil {
			return err
		}
	}
	order := d.order(b)
	order.Tmp, order.Shm, order.Probe = probeSize, probeSize, true
	if err = b.launch(); err == nil {
		_, err = b.await(ctx, order, note)
	}
	return errors.Join(err, b.Destroy())
}
