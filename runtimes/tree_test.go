package runtimes_test

import (
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/sandbox/rootfs"
)

// TestInTree runs both bootstraps on nothing but the root tree that they ask
// for, as the sandbox's user, with the command and the environment that the
// platform gives them.
func TestInTree(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("chroot needs root")
	}
	store, err := rootfs.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ file, code, want string }{
		// Modules that are loaded from shared objects, and that need libraries
		// of their own.
		"python3.12": {"lambda_function.py", `
import asyncio, ctypes, decimal, hashlib, json, logging, lzma, os, sqlite3, ssl, sys, urllib.request, uuid, zoneinfo
def handler(event, context):
    zoneinfo.ZoneInfo("Europe/Berlin")
    ssl.create_default_context()
    return [os.getuid(), os.getcwd(), sqlite3.connect(":memory:").execute("select 1").fetchone(), sys.stdout.encoding, __file__,
        logging.getLogger().handlers[0].__class__.__name__, event]
`, `[993, "/var/task", [1], "utf-8", "/var/task/lambda_function.py", "LambdaLoggerHandler", {"n": 1}]`},
		"nodejs20.x": {"index.mjs", `
import crypto from "node:crypto"; import os from "node:os"; import https from "node:https";
export const handler = async (event) => [process.getuid(), process.cwd(), crypto.createHash("sha256").update("").digest("hex").slice(0, 4),
	new Date(0).toLocaleString("de", {timeZone: "Europe/Berlin"}), import.meta.url, event];
`, `[993,"/var/task","e3b0","1.1.1970, 01:00:00","file:///var/task/index.mjs",{"n":1}]`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := found().Resolve(name)
			if err != nil {
				t.Fatal(err)
			}
			tree, err := store.Tree(t.Context(), r.Want)
			if err != nil {
				t.Fatal(err)
			}
			dir, err := os.MkdirTemp("/var/tmp", "alcove-runtimes-") // all may enter, unlike t.TempDir
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			task, run := filepath.Join(dir, "task"), filepath.Join(dir, "run")
			for _, d := range []string{dir, task, run} {
				if err := os.MkdirAll(d, 0o755); err == nil {
					err = os.Chmod(d, 0o755)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(task, tt.file), []byte(tt.code), 0o644); err != nil {
				t.Fatal(err)
			}
			p := &process{t: t, env: runtimeapitest.New(), exited: make(chan struct{})}
			server := runtimeapi.NewServer(p.env, runtimeapi.OwnConns, nil, slog.New(slog.DiscardHandler))
			socket := filepath.Join(run, "runtime.sock")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(socket, 0o666); err != nil {
				t.Fatal(err)
			}
			go func() { _ = server.Serve(l) }()

			v := version(function{runtime: name})
			r = r.For(v)
			// The mounts are in a namespace that ends with the process.
			const script = `mount --bind "$2" "$1/var/task" && mount --bind "$3" "$1/run/alcove" && root=$1 && shift 3 &&
				exec /usr/sbin/chroot --userspec=993:990 "$root" /usr/bin/env -C /var/task "$@"`
			cmd := exec.Command("/usr/bin/unshare", append([]string{"--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", tree.Dir, task, run}, r.Args...)...)
			cmd.Env = runtimes.Environ(v, r, alcove.Place{Region: "us-east-1"}, "s")
			p.run(cmd, true, server)
			p.ready()
			if o := p.invoke(runtimeapi.Event{}); string(o.Payload) != tt.want {
				t.Errorf("got  %s\nwant %s", o.Payload, tt.want)
				if o.Fault != nil {
					t.Errorf("fault %s", o.Fault.Body)
				}
			}
		})
	}
}
