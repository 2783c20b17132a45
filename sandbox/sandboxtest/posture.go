package sandboxtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alcove-run/alcove/sandbox"
)

// facts is what probe/posture.py finds out inside.
type facts struct {
	Status  map[string]string
	Mounts  []mountFact
	Tree    struct{ Writable, Privileged, Specials []string }
	Tamper  map[string]string
	Writes  map[string]string
	Hidden  map[string]string
	Devices map[string]string
	Roots   map[string]string
	Net     map[string]string
	Limits  map[string][]int64

	Processes  []processFact
	Sysfs      []string
	Hostname   string
	Domain     string
	Interfaces []string
	Cgroup     string
	TTY        string
	Mountinfo  string
	Volatile   map[string]struct {
		Mode    string
		Entries []string
	}
	Pid int
}

type mountFact struct {
	Point, Root, Type, Source          string
	Options, Super, Flags, Propagation []string
}

type processFact struct {
	Pid                              int
	Cmdline, Environ, UID, Root, Exe string
}

// posture is what a sandbox shows, and what it lets code do. Every fact is a
// subtest of its own, so that a driver can name where it differs.
func (s *suite) posture(t *T) {
	b, p := s.agent(t, func(sp *sandbox.Spec) { sp.TCP = true })
	s.postureOf(t, b, p, nil)
}

// postureOf looks at one sandbox. blank are directories of it that are not
// mounted yet.
func (s *suite) postureOf(t *T, b *box, p *peer, blank []string) {
	f := new(facts)
	p.eval(t, loadProbes(t), nil)
	p.eval(t, "r = posture.collect()", f)
	for _, c := range []struct {
		name  string
		check func(t *T, f *facts)
	}{
		{"capabilities", checkCapabilities},
		{"no_new_privs", func(t *T, f *facts) { expect(t, "NoNewPrivs", f.Status["NoNewPrivs"], "1") }},
		{"seccomp", func(t *T, f *facts) { expect(t, "Seccomp", f.Status["Seccomp"], "2") }},
		{"ids", func(t *T, f *facts) { checkIDs(t, f, b.spec.Who()) }},
		{"reads", func(t *T, _ *facts) { s.checkReads(t, p) }},
		{"mounts", func(t *T, f *facts) { checkMounts(t, f, blank) }},
		{"mount_flags", s.checkMountFlags},
		{"read_only", checkReadOnly},
		{"tamper", func(t *T, f *facts) { allRefused(t, f.Tamper) }},
		{"setuid_files", func(t *T, f *facts) { none(t, "set-id files", f.Tree.Privileged) }},
		{"special_files", checkSpecials},
		{"processes", s.checkProcesses},
		{"secrets", s.checkSecrets},
		{"kernel_writes", func(t *T, f *facts) { allRefused(t, f.Writes) }},
		{"kernel_reads", s.checkHidden},
		{"sysfs", checkSysfs},
		{"devices", s.checkDevices},
		{"hostname", checkHostname},
		{"network", func(t *T, f *facts) { checkNetwork(t, f, b.spec.Link) }},
		{"cgroup_path", checkCgroup},
		{"cgroup_files", checkCgroupMounts},
		{"host_paths", s.checkHostPaths},
		{"roots", checkRoots},
		{"volatile", checkVolatile},
		{"terminal", func(t *T, f *facts) {
			if f.TTY == "" {
				t.Error("there is a controlling terminal")
			}
		}},
		{"limits", checkLimits},
		{"host_pids", func(t *T, _ *facts) { checkHostPids(t, p) }},
		{"own_setuid", func(t *T, _ *facts) { checkOwnSetuid(t, p, b.spec.Who()) }},
		{"init", func(t *T, f *facts) { checkInit(t, p, f) }},
		{"keyring", func(t *T, _ *facts) { checkKeyring(t, p) }},
	} {
		s.run(t.T, c.name, func(t *T) { c.check(t, f) })
	}
	s.run(t.T, "denied", func(t *T) { s.denied(t, p) })
	if s.o.SharesKernel {
		s.run(t.T, "host", func(t *T) { s.fromHost(t, b) })
	}
	s.run(t.T, "still_fine", func(t *T) {
		if got := p.str(t, "r = 'alive'"); got != "alive" {
			t.Errorf("after all that, the sandbox answers %q", got)
		}
	})
}

// loadProbes gives the agent the probes as modules, whatever is at /var/task.
func loadProbes(t *T) string {
	t.Helper()
	sources := map[string]string{}
	for _, name := range []string{"posture", "denied"} {
		sources[name] = probeSource(t, name)
	}
	raw, err := json.Marshal(sources)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`
import json, types
for name, source in json.loads(%q).items():
    module = types.ModuleType(name)
    exec(source, module.__dict__)
    globals()[name] = module`, raw)
}

func probeSource(t *T, name string) string {
	t.Helper()
	raw, err := probes.ReadFile("probe/" + name + ".py")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func expect(t *T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func none(t *T, what string, list []string) {
	t.Helper()
	if len(list) > 0 {
		t.Errorf("%s: %q", what, list[:min(len(list), 20)])
	}
}

// allRefused wants an error for everything that was tried.
func allRefused(t *T, how map[string]string) {
	t.Helper()
	if len(how) == 0 {
		t.Error("nothing was tried")
	}
	for _, what := range slices.Sorted(maps.Keys(how)) {
		if how[what] == "" {
			t.Errorf("%s succeeded", what)
		}
	}
}

func checkCapabilities(t *T, f *facts) {
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		expect(t, set, f.Status[set], "0000000000000000")
	}
}

func checkIDs(t *T, f *facts, who sandbox.User) {
	expect(t, "Uid", strings.Join(strings.Fields(f.Status["Uid"]), " "), fmt.Sprintf("%d %[1]d %[1]d %[1]d", who.UID))
	expect(t, "Gid", strings.Join(strings.Fields(f.Status["Gid"]), " "), fmt.Sprintf("%d %[1]d %[1]d %[1]d", who.GID))
	want := map[string]bool{}
	for _, g := range who.Groups {
		want[fmt.Sprint(g)] = true
	}
	got := map[string]bool{}
	for _, g := range strings.Fields(f.Status["Groups"]) {
		got[g] = true
	}
	if delete(got, fmt.Sprint(who.GID)); !maps.Equal(got, want) {
		t.Errorf("Groups is %q, want %v", f.Status["Groups"], who.Groups)
	}
}

// checkReads: what the image lets its user read can be read, and no more.
func (s *suite) checkReads(t *T, p *peer) {
	for _, path := range slices.Sorted(maps.Keys(s.o.Reads)) {
		want := "EACCES"
		if s.o.Reads[path] {
			want = ""
		}
		expect(t, "reading "+path, p.str(t, fmt.Sprintf("r = attempt(lambda: open(%q, 'rb').close())", path)), want)
	}
}

// mustMount are the file systems that every sandbox has, and whether they can
// be written to.
var mustMount = map[string]bool{
	"/": false, "/proc": true, "/tmp": true, "/dev/shm": true, "/var/task": false, sandbox.SocketDir: false,
}

// mayMount are others that a driver may need: devices one by one, covers over
// files in /proc, an empty or emulated /sys.
var mayMount = regexp.MustCompile(`^(/dev|/dev/(null|zero|full|random|urandom|tty|pts|mqueue)|/sys|/proc/.+|/run)$`)

func checkMounts(t *T, f *facts, blank []string) {
	seen := make(map[string]bool)
	for _, m := range f.Mounts {
		seen[m.Point] = true
		if _, ok := mustMount[m.Point]; !ok && !mayMount.MatchString(m.Point) || slices.Contains(blank, m.Point) {
			t.Errorf("unexpected mount: %+v", m)
		}
		for _, p := range m.Propagation {
			if strings.HasPrefix(p, "shared:") {
				t.Errorf("mounts made in %s would show elsewhere: %q", m.Point, p)
			}
		}
	}
	for point := range mustMount {
		if !seen[point] && !slices.Contains(blank, point) {
			t.Errorf("%s is no mount of its own", point)
		}
	}
}

// flat makes a subtest's name of a path.
func flat(path string) string {
	return cmp.Or(strings.ReplaceAll(strings.Trim(path, "/"), "/", "_"), "root")
}

// checkMountFlags makes a subtest of each mount.
func (s *suite) checkMountFlags(t *T, f *facts) {
	for _, m := range f.Mounts {
		has := func(flag string) bool {
			return slices.Contains(m.Options, flag) || slices.Contains(m.Flags, flag) || slices.Contains(m.Super, flag) && flag == "ro"
		}
		s.run(t.T, flat(m.Point), func(t *T) {
			if writable := mustMount[m.Point]; !writable && !strings.HasPrefix(m.Point, "/dev") && !has("ro") {
				t.Errorf("not read-only: %+v", m)
			}
			if !has("nosuid") {
				t.Errorf("not nosuid: %+v", m)
			}
			// Where there are devices, nodev would make them useless.
			if !has("nodev") && m.Point != "/dev" && (!strings.HasPrefix(m.Point, "/dev/") || m.Point == "/dev/shm") && m.Type != "proc" && m.Type != "sysfs" {
				t.Errorf("not nodev: %+v", m)
			}
		})
	}
}

func checkReadOnly(t *T, f *facts) {
	none(t, "writable outside /tmp and /dev/shm", f.Tree.Writable)
}

func checkSpecials(t *T, f *facts) {
	for _, p := range f.Tree.Specials {
		if p != sandbox.SocketDir+"/"+sandbox.SocketName {
			t.Errorf("%s is neither file nor directory", p)
		}
	}
}

// checkProcesses: the first process, at most one init above it, and nobody
// else's.
func (s *suite) checkProcesses(t *T, f *facts) {
	if len(f.Processes) > 2 {
		t.Errorf("%d processes can be seen", len(f.Processes))
	}
	if f.Pid > 10 {
		t.Errorf("the first process is number %d: it does not count from 1", f.Pid)
	}
	for _, p := range f.Processes {
		if strings.Contains(p.Cmdline, "sandboxtest") || strings.Contains(p.Cmdline, ".test") {
			t.Errorf("process %d runs %.100q", p.Pid, p.Cmdline)
		}
	}
}

// checkSecrets: what is in this process's environment is found nowhere.
func (s *suite) checkSecrets(t *T, f *facts) {
	for _, p := range f.Processes {
		if strings.Contains(p.Environ, s.secret) || strings.Contains(p.Cmdline, s.secret) {
			t.Errorf("process %d shows the node's environment", p.Pid)
		}
		if p.Pid != f.Pid && !strings.HasPrefix(p.Environ, "!") && len(p.Environ) > 0 {
			for kv := range strings.SplitSeq(strings.TrimRight(p.Environ, "\x00"), "\x00") {
				if name, _, _ := strings.Cut(kv, "="); name != "PATH" && name != "LANG" && name != "ALCOVE_TEST_ID" && name != "HOME" {
					t.Errorf("process %d has in its environment %.100q", p.Pid, kv)
				}
			}
		}
		if p.Pid != f.Pid && strings.Contains(p.Exe, s.work) {
			t.Errorf("process %d shows where the host keeps %s", p.Pid, p.Exe)
		}
	}
}

// harmless are files in /proc that may be read: what they say is public (the
// kernel's command line is not), or is empty in a sandbox.
var harmless = map[string]bool{
	"/proc/sys/kernel/random/boot_id": true, "/proc/sys/kernel/core_pattern": true, "/proc/tty/drivers": true, "/proc/partitions": true,
	"/proc/diskstats": true, "/proc/swaps": true, "/proc/interrupts": true, "/proc/kallsyms": true, "/proc/config.gz": true,
	"/proc/iomem": true, "/proc/ioports": true, "/proc/fs": true, "/proc/bus": true, "/proc/driver": true, "/proc/mdstat": true,
}

// checkHidden: what container runtimes mask is masked here, too. Each file is
// a subtest.
func (s *suite) checkHidden(t *T, f *facts) {
	for _, p := range slices.Sorted(maps.Keys(f.Hidden)) {
		s.run(t.T, flat(p), func(t *T) {
			how := f.Hidden[p]
			if how != "0" && !strings.HasPrefix(how, "!") && !harmless[p] {
				t.Errorf("%s can be read: %s bytes or entries", p, how)
			}
		})
	}
}

// checkSysfs: whatever is at /sys is empty or says nothing of the hardware.
func checkSysfs(t *T, f *facts) {
	for _, p := range f.Sysfs {
		for _, bad := range []string{"/dmi/", "/firmware/", "/block/", "/net/e", "/net/v", "/pci", "/cgroup/", "/kernel/", "/module/", "/virtual/", "/bus/"} {
			if strings.Contains(p, bad) {
				t.Errorf("%s is there", p)
			}
		}
	}
}

var usualDevices = map[string]string{
	"/dev/null": "c 1:3", "/dev/zero": "c 1:5", "/dev/full": "c 1:7", "/dev/random": "c 1:8", "/dev/urandom": "c 1:9", "/dev/tty": "c 5:0",
	"/dev/fd": "link /proc/self/fd", "/dev/stdin": "link /proc/self/fd/0", "/dev/stdout": "link /proc/self/fd/1", "/dev/stderr": "link /proc/self/fd/2",
}

// checkDevices makes a subtest of each device.
func (s *suite) checkDevices(t *T, f *facts) {
	for _, p := range slices.Sorted(maps.Keys(f.Devices)) {
		if f.Devices[p] == "link pts/ptmx" || f.Devices[p] == "c 5:2" {
			continue // terminals of the sandbox's own
		}
		if strings.HasPrefix(p, "/dev/char/") && strings.HasPrefix(f.Devices[p], "link ") {
			continue // another name for something that is judged itself
		}
		s.run(t.T, flat(p), func(t *T) {
			if want, ok := usualDevices[p]; !ok || f.Devices[p] != want {
				t.Errorf("%s is %q", p, f.Devices[p])
			}
		})
	}
	for _, p := range []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/fd", "/dev/stdout"} {
		if f.Devices[p] == "" {
			t.Errorf("%s is not there", p)
		}
	}
}

func checkHostname(t *T, f *facts) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if f.Hostname == host || f.Domain == host || f.Hostname == "" {
		t.Errorf("the host name is %q, %q; the host's own is %q", f.Hostname, f.Domain, host)
	}
}

func checkNetwork(t *T, f *facts, linked bool) {
	interfaces, routes := "[lo]", 1 // and a line above them
	if linked {
		interfaces, routes = "[lo "+sandbox.LinkName+"]", 3
	}
	if fmt.Sprint(f.Interfaces) != interfaces {
		t.Errorf("interfaces: %q", f.Interfaces)
	}
	if strings.Count(f.Net["route"], "\n") > routes {
		t.Errorf("routes: %q", f.Net["route"])
	}
	for line := range strings.Lines(f.Net["unix"]) {
		if path := regexp.MustCompile(`[@/].*`).FindString(line); path != "" && path != sandbox.SocketDir+"/"+sandbox.SocketName && !boundByDescriptor.MatchString(path) {
			t.Errorf("a unix socket of somebody else: %q", path)
		}
	}
}

func checkCgroup(t *T, f *facts) {
	for line := range strings.Lines(f.Cgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && parts[2] != "/" {
			t.Errorf("the cgroup's path on the host shows: %q", line)
		}
	}
}

func checkCgroupMounts(t *T, f *facts) {
	for _, m := range f.Mounts {
		if strings.HasPrefix(m.Type, "cgroup") {
			t.Errorf("cgroups are mounted: %+v", m)
		}
	}
}

// checkHostPaths: where the host keeps things shows nowhere.
func (s *suite) checkHostPaths(t *T, f *facts) {
	for line := range strings.Lines(f.Mountinfo) {
		if strings.Contains(line, s.work) || strings.Contains(line, strings.TrimPrefix(s.work, "/tmp")) || strings.Contains(line, s.root) {
			t.Errorf("a path of the host: %s", strings.TrimSpace(line))
		}
	}
	for _, p := range f.Processes {
		if strings.Contains(p.Exe, s.root) || strings.Contains(p.Root, s.root) {
			t.Errorf("a path of the host: process %d runs %s in %s", p.Pid, p.Exe, p.Root)
		}
	}
}

func checkRoots(t *T, f *facts) {
	for _, p := range slices.Sorted(maps.Keys(f.Roots)) {
		switch f.Roots[p] {
		case "", "EACCES", "EPERM", "ENOENT":
		default:
			t.Errorf("%s is not /: %s", p, f.Roots[p])
		}
	}
	expect(t, "/..", f.Roots["/.."], "")
}

func checkVolatile(t *T, f *facts) {
	for _, p := range slices.Sorted(maps.Keys(f.Volatile)) {
		v := f.Volatile[p]
		if v.Mode != "0o1777" {
			t.Errorf("%s has the mode %s", p, v.Mode)
		}
		none(t, p+" at the start", v.Entries)
	}
}

func checkLimits(t *T, f *facts) {
	for name, want := range map[string]string{"CORE": "[0 0]", "NOFILE": "[1024 1024]", "RTPRIO": "[0 0]", "NICE": "[0 0]"} {
		expect(t, "the limit "+name, fmt.Sprint(f.Limits[name]), want)
	}
}
