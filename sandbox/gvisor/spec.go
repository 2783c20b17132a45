package gvisor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/gvisor/door"
)

// hostname is what every sandbox believes to be its host's name.
const hostname = "localhost"

// validate refuses what would otherwise fail late or, worse, mean something
// else: ids and paths go into file names and mount tables.
func validate(s sandbox.Spec) error {
	if len(s.ID) != 32 || strings.Trim(s.ID, "0123456789abcdef") != "" {
		return fmt.Errorf("gvisor: sandbox id %q is not 32 lower case hexadecimal digits", s.ID)
	}
	if len(s.Args) > 0 && !filepath.IsAbs(s.Args[0]) {
		return fmt.Errorf("gvisor: sandbox %s: command %q is not absolute", s.ID, s.Args[0])
	}
	if s.Stdout == nil || s.Stderr == nil {
		return fmt.Errorf("gvisor: sandbox %s: no output pipes", s.ID)
	}
	for _, p := range []string{s.Root, s.SocketDir, s.Dir} {
		if !filepath.IsAbs(p) && (p != s.Dir || !held(s)) {
			return fmt.Errorf("gvisor: sandbox %s: path %q is not absolute", s.ID, p)
		}
	}
	if err := s.CheckUser(); err != nil {
		return fmt.Errorf("gvisor: sandbox %s: %w", s.ID, err)
	}
	for _, m := range s.Mounts {
		if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) != m.Target || m.Target == "/" {
			return fmt.Errorf("gvisor: sandbox %s: bad mount %q on %q", s.ID, m.Source, m.Target)
		}
		if fi, err := os.Stat(m.Source); err != nil {
			return fmt.Errorf("gvisor: sandbox %s: mount: %w", s.ID, err)
		} else if !fi.IsDir() {
			return fmt.Errorf("gvisor: sandbox %s: mount source %q is not a directory", s.ID, m.Source)
		}
	}
	if err := checkLate(s); err != nil {
		return fmt.Errorf("gvisor: sandbox %s: %w", s.ID, err)
	}
	// gVisor would make a missing one, in the tree that all sandboxes share.
	for _, target := range mountTargets(s) {
		if err := sandbox.CheckTarget(s.Root, target); err != nil {
			return fmt.Errorf("gvisor: sandbox %s: %w", s.ID, err)
		}
	}
	l := s.Limits
	if l.Memory <= 0 || l.Tmp <= 0 || l.Shm <= 0 || l.Processes <= 0 || l.OpenFiles <= 0 {
		return fmt.Errorf("gvisor: sandbox %s: incomplete limits %+v", s.ID, l)
	}
	return nil
}

// held tells whether the sandbox gets its program later.
func held(s sandbox.Spec) bool { return len(s.Args) == 0 }

// mountTargets lists where something is mounted on the root tree.
func mountTargets(s sandbox.Spec) []string {
	targets := []string{"/proc", "/sys", "/dev", "/tmp", sandbox.SocketDir}
	for _, m := range s.Mounts {
		targets = append(targets, m.Target)
	}
	return append(targets, s.Late...)
}

// ociSpec says what the sandbox shall be in the terms of gVisor. Its directory
// is the bundle.
func ociSpec(s sandbox.Spec, dir layout) *specs.Spec {
	readOnly := []string{"bind", "ro", "nosuid", "nodev"}
	who := s.Who()
	spec := &specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: s.Root, Readonly: true},
		Hostname: hostname,
		Process: &specs.Process{
			Args:            s.Args,
			Env:             s.Env,
			Cwd:             s.Dir,
			User:            specs.User{UID: who.UID, GID: who.GID, AdditionalGids: who.Groups},
			Capabilities:    &specs.LinuxCapabilities{},
			NoNewPrivileges: true,
			Rlimits: []specs.POSIXRlimit{
				rlimit("RLIMIT_NOFILE", s.Limits.OpenFiles),
				rlimit("RLIMIT_NPROC", s.Limits.Processes),
				rlimit("RLIMIT_CORE", 0),
			},
		},
		Linux: &specs.Linux{
			Seccomp: guestFilter(),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
			},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Options: []string{"nosuid", "nodev", "noexec"}},
			{Destination: "/sys", Type: "sysfs", Options: []string{"ro", "nosuid", "nodev", "noexec"}},
			{Destination: "/dev", Type: "tmpfs", Options: []string{"nosuid", "noexec"}},
			{Destination: "/tmp", Type: "bind", Source: dir.path(tmpName), Options: []string{"rw", "nosuid", "nodev"}},
			{Destination: "/dev/shm", Type: "bind", Source: dir.path(shmName), Options: []string{"rw", "nosuid", "nodev"}},
			{Destination: sandbox.SocketDir, Type: "bind", Source: s.SocketDir, Options: readOnly},
		},
		Annotations: map[string]string{},
	}
	switch {
	case held(s):
		spec.Process.Args = door.Held(s.TCP)
		spec.Process.Env, spec.Process.Cwd = nil, "/"
	case s.TCP:
		spec.Process.Args = door.Args(s.Args, s.Env)
	}
	fileBacked(spec, tmpName, dir.path(tmpName), s.Limits.Tmp)
	fileBacked(spec, shmName, dir.path(shmName), s.Limits.Shm)
	for _, m := range s.Mounts {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: m.Target, Type: "bind", Source: m.Source, Options: readOnly})
	}
	for i, target := range s.Late {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: target, Type: "bind", Source: dir.path(slotName(i)), Options: readOnly})
	}
	return spec
}

// fileBacked turns the mount of dir into a tmpfs of gVisor's whose pages are
// those of a file in dir. The host can write such pages back and reclaim them,
// so they do not count as the sandbox's memory: a function with 128 MB can fill
// a /tmp of 10 GB.
func fileBacked(spec *specs.Spec, name, dir string, size int64) {
	prefix := "dev.gvisor.spec.mount." + name + "."
	spec.Annotations[prefix+"source"] = dir
	spec.Annotations[prefix+"type"] = "tmpfs"
	spec.Annotations[prefix+"share"] = "container"
	spec.Annotations[prefix+"options"] = "rw,nosuid,nodev,mode=1777,size=" + strconv.FormatInt(size, 10)
}

func rlimit(name string, n int) specs.POSIXRlimit {
	return specs.POSIXRlimit{Type: name, Soft: uint64(n), Hard: uint64(n)}
}

// writeBundle makes the sandbox's directory. It says which directories in it
// are the slots of Spec.Late.
func writeBundle(s sandbox.Spec, dir layout) ([]slot, error) {
	config, err := json.Marshal(ociSpec(s, dir))
	if err != nil {
		return nil, fmt.Errorf("gvisor: spec: %w", err)
	}
	if err := os.Mkdir(string(dir), 0o700); err != nil {
		return nil, fmt.Errorf("gvisor: sandbox directory: %w", err)
	}
	for _, name := range []string{tmpName, shmName, stateName} {
		if err := os.Mkdir(dir.path(name), 0o700); err != nil {
			return nil, fmt.Errorf("gvisor: sandbox directory: %w", err)
		}
	}
	slots, err := makeSlots(s, dir)
	if err != nil {
		return nil, fmt.Errorf("gvisor: slot: %w", err)
	}
	// The function's environment variables are in it: nobody else may read it.
	if err := os.WriteFile(dir.path(configName), config, 0o600); err != nil {
		return nil, fmt.Errorf("gvisor: spec: %w", err)
	}
	if err := os.WriteFile(dir.path(memoryName), strconv.AppendInt(nil, s.Limits.Memory, 10), 0o600); err != nil {
		return nil, fmt.Errorf("gvisor: memory size: %w", err)
	}
	return slots, nil
}
