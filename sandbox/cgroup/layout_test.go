package cgroup

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadLayout(t *testing.T) {
	const (
		v1mounts = "35 31 0:32 / /m/memory rw,relatime - cgroup cgroup rw,memory\n" +
			"36 31 0:33 / /m/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
			"39 31 0:36 / /m/pids rw shared:7 - cgroup cgroup rw,pids\n" +
			"40 31 0:37 / /m/systemd rw - cgroup cgroup rw,name=systemd\n"
		v2mount = "41 31 0:38 / /m/uni\\040fied rw,relatime - cgroup2 cgroup2 rw\n"
		other   = "23 1 254:0 / / rw - ext4 /dev/vda rw\n\nrubbish\n"
	)
	for _, test := range []struct {
		name, mounts, own string
		controllers       int
		memory, cpu       string // own directory, relative to /m
		v2                string
	}{
		{name: "v1", mounts: other + v1mounts, own: "4:memory:/a/b\n3:cpu,cpuacct:/\n8:pids:/c\n9:name=systemd:/\n",
			controllers: 4, memory: "memory/a/b", cpu: "cpu,cpuacct"},
		{name: "hybrid", mounts: v1mounts + v2mount, own: "4:memory:/\n3:cpu,cpuacct:/x\n8:pids:/c\n0::/u\n",
			controllers: 4, memory: "memory", cpu: "cpu,cpuacct/x", v2: "uni fied/u"},
		{name: "v2", mounts: v2mount, own: "0::/u/v\n", v2: "uni fied/u/v"},
		{name: "container that sees its own part of the tree",
			mounts: "35 31 0:32 /docker/1 /m/memory rw - cgroup cgroup rw,memory\n",
			own:    "4:memory:/docker/1/a\n", controllers: 1, memory: "memory/a"},
		{name: "own group is not visible",
			mounts: "35 31 0:32 /docker/1 /m/memory rw - cgroup cgroup rw,memory\n",
			own:    "4:memory:/elsewhere\n", controllers: 1, memory: "memory"},
		{name: "own group is above what is mounted", mounts: v2mount, own: "0::/../..\n", v2: "uni fied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) string {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			l, err := readLayout(write("mountinfo", test.mounts), write("cgroup", test.own))
			if err != nil || len(l.v1) != test.controllers || (l.v2 != nil) != (test.v2 != "") {
				t.Fatalf("%+v, %v", l, err)
			}
			own := func(h hierarchy, want string) {
				t.Helper()
				h.mount = filepath.Join(dir, h.mount)
				want = filepath.Join(dir, "m", want)
				if err := os.MkdirAll(want, 0o755); err != nil {
					t.Fatal(err)
				}
				if got := h.own(); got != want {
					t.Errorf("own group %q, want %q", got, want)
				}
			}
			if test.memory != "" {
				own(l.v1[memoryController], test.memory)
			}
			if test.cpu != "" {
				own(l.v1[cpuController], test.cpu)
			}
			if test.v2 != "" {
				own(*l.v2, test.v2)
			}
		})
	}
}

func TestNoHierarchyIsAnError(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLayout(empty, empty); err == nil {
		t.Error("no error for a machine without control groups")
	}
	if _, err := readLayout(filepath.Join(dir, "none"), filepath.Join(dir, "none")); err == nil {
		t.Error("no error for missing files")
	}
}
