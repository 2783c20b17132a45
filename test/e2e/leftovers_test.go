package e2e

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLeftoversAreRemovedBehindTheStart kills a node twice. A mount over one of its
// sandboxes' groups keeps that one from being removed: the next nodes answer calls all
// the same, say what is left, and remove it once they can.
func TestLeftoversAreRemovedBehindTheStart(t *testing.T) {
	ownEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
		for _, tenant := range []string{"a", "b", "c"} {
			n.run(t, f, call{tenant: tenant}, nil)
		}
		var ids []string
		for _, e := range n.all(t, "") {
			ids = append(ids, e.ID)
		}
		group := groupOf(t, n, n.environments(t, f)[0].ID)
		before := n.traces()
		n.kill(t)
		// What an image's pull had on the disk.
		pulled := filepath.Join(n.data, "artifact/tmp/image-1/files")
		if err := os.MkdirAll(pulled, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(pulled, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(t.TempDir(), group, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		mounted := true
		unmount := func() {
			if mounted {
				mounted = false
				if err := unix.Unmount(group, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			}
		}
		t.Cleanup(unmount)

		for range 2 {
			again := startIn(t, n.data, n.flags...)
			var got identity
			if inv := again.run(t, f, call{tenant: "a"}, &got); got.Count != 1 || inv.start == "warm" {
				t.Errorf("while something is left: %+v, %s start", got, inv.start)
			}
			if out := envs(t, again); !strings.Contains(out, "still to be removed") {
				t.Errorf("while something is left, envs says\n%s", out)
			}
			if _, err := os.Stat(group); err != nil {
				t.Errorf("the group that a mount is over: %v", err)
			}
			for _, e := range again.all(t, "") {
				ids = append(ids, e.ID)
			}
			maps.Copy(before.processes, again.traces().processes)
			again.kill(t)
		}
		again := startIn(t, n.data, n.flags...)
		again.run(t, f, call{tenant: "b"}, nil)
		// It may be the tenant's, so its purge is not complete, and says so.
		if out, errs, err := again.alcove(t, "tenants", "purge", "c"); err == nil || !strings.Contains(errs, "not complete") || !strings.Contains(again.Log.String(), "cannot be removed, and may hold") {
			t.Errorf("a purge while something is left: %v %s %s", err, out, errs)
		}
		unmount()
		eventually(t, "nothing to be left", func() bool {
			return !strings.Contains(envs(t, again), "still to be removed") && strings.Contains(again.Log.String(), "what an earlier process left is removed")
		})
		eventually(t, "the purge to be complete", func() bool {
			notes, err := filepath.Glob(filepath.Join(again.data, "purge/*.purge"))
			return err == nil && len(notes) == 0
		})
		if left := before.alive(); len(left) > 0 {
			t.Errorf("processes of the killed nodes: %q", left)
		}
		for _, where := range append(again.cgroups(), paths(t, again.data)...) {
			for _, id := range ids {
				if strings.Contains(where, id) {
					t.Errorf("left of a killed node's environment: %s", where)
				}
			}
		}
		eventually(t, "files to be removed", func() bool {
			aside, err := filepath.Glob(filepath.Join(again.data, "*gone-*"))
			more, merr := filepath.Glob(filepath.Join(again.data, "artifact/*gone-*"))
			return err == nil && merr == nil && len(aside)+len(more) == 0
		})
	})
}

// groupOf is a control group of an environment's; one of the hierarchy that is not
// needed to freeze it, where there is one.
func groupOf(t *testing.T, n *node, id string) string {
	t.Helper()
	var found string
	for _, g := range n.cgroups() {
		if filepath.Base(g) == id && (found == "" || strings.Contains(g, "/cpu/")) {
			found = g
		}
	}
	if found == "" {
		t.Fatalf("no group of %s", id)
	}
	return found
}

// envs is what `alcove envs` prints.
func envs(t *testing.T, n *node) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, "envs", "--endpoint", n.url)
	cmd.Env = cleanEnv("AWS_ACCESS_KEY_ID="+n.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+n.key.SecretAccessKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("alcove envs: %v\n%s", err, out)
	}
	return string(out)
}
