package runtimes_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/runtimes"
)

// pythonSelf tells everything that a function can see of its process.
const pythonSelf = `
seen = list(__import__("sys").modules)
import builtins, gc, os, posix, signal, sys, time
def handler(event, context):
    def fds():
        for name in sorted(os.listdir("/proc/self/fd"), key=int):
            try:
                yield "%s %s" % (name, os.readlink("/proc/self/fd/" + name).partition(":")[0])
            except FileNotFoundError:
                pass
    def limits():
        return open("/proc/self/limits").read()
    opened = list(fds())  # before anything below opens some
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status"))
    return {
        "environ": list(os.environ.items()), "posix": [[os.fsdecode(k), os.fsdecode(v)] for k, v in posix.environ.items()],
        "c environ": os.popen("env").read().splitlines(),
        "argv": sys.argv, "orig_argv": sys.orig_argv, "cmdline": open("/proc/self/cmdline").read(), "comm": open("/proc/self/comm").read(),
        "path": sys.path, "cwd": os.getcwd(), "fds": opened, "flags": str(sys.flags), "executable": sys.executable, "prefix": [sys.prefix, sys.exec_prefix],
        "modules": seen, "meta_path": [str(getattr(f, "__name__", type(f).__name__)) for f in sys.meta_path], "hooks": len(sys.path_hooks),
        "cache": list(sys.path_importer_cache), "tz": [time.tzname, time.timezone, time.altzone, time.daylight],
        "builtins": sorted(dir(builtins)), "main": sorted(vars(sys.modules["__main__"])), "gc": [gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()],
        "signals": [str(signal.getsignal(s)) for s in sorted(signal.valid_signals())], "mask": str(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "out": [sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering, sys.stderr.encoding, sys.stderr.errors, sys.stderr.line_buffering],
        "encodings": [sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), sys.getdefaultencoding()],
        "recursion": sys.getrecursionlimit(), "switch": sys.getswitchinterval(), "umask": os.umask(0o22), "nice": os.nice(0), "threads": status["Threads"], "limits": limits(),
        "warnings": [sys.warnoptions, [str(f) for f in sys.modules["warnings"].filters] if "warnings" in sys.modules else None],
        "context": [context.function_name, context.memory_limit_in_mb, context.log_stream_name, context.function_version],
    }
`

// nodeSelf does the same in JavaScript.
const nodeSelf = `
const seen = Object.keys(require.cache), loaded = [...process.moduleLoadList];
const fs = require('fs'), v8 = require('v8'), Module = require('module');
exports.handler = async (event, context) => ({
  environ: Object.entries(process.env), 'c environ': String(require('child_process').execFileSync('/usr/bin/env')).trim().split('\n'),
  argv: process.argv, argv0: process.argv0, execArgv: process.execArgv, execPath: process.execPath, title: process.title,
  cmdline: fs.readFileSync('/proc/self/cmdline', 'latin1'), cwd: process.cwd(), umask: process.umask(),
  fds: fs.readdirSync('/proc/self/fd').map(Number).sort((a, b) => a - b).map((fd) => { try { return fd + ' ' + fs.readlinkSync('/proc/self/fd/' + fd).split(':')[0]; } catch { return ''; } }),
  events: process.eventNames().map((e) => [String(e), process.listenerCount(e)]), globals: Object.getOwnPropertyNames(globalThis).sort(),
  cache: seen, modules: loaded, main: require.main?.filename, parent: module.parent?.filename, paths: module.paths, globalPaths: Module.globalPaths,
  children: require.main.children.map((m) => m.filename), pathCache: Object.keys(Module._pathCache),
  heap: v8.getHeapStatistics().heap_size_limit, tz: [new Date(0).toString(), Intl.DateTimeFormat().resolvedOptions().timeZone, Intl.DateTimeFormat().resolvedOptions().locale],
  resources: process.getActiveResourcesInfo(), console: Object.keys(console).sort(), gc: typeof gc, exec: typeof process.exitCode,
  limits: fs.readFileSync('/proc/self/limits', 'latin1'),
  context: [context.functionName, context.memoryLimitInMB, context.logStreamName, context.functionVersion],
});
`

// TestBlankProcessIsLikeAnyOther: a function in a process that was started before
// the function was known sees what it would see in one of its own. What may
// differ is named here and nowhere else.
func TestBlankProcessIsLikeAnyOther(t *testing.T) {
	own := map[string]string{"GREETING": "grüß \"dich\"", "PATH": "/opt/bin:/usr/bin:/bin", "TZ": "Europe/Berlin", "NODE_ENV": "production"}
	for name, f := range map[string]function{
		"python": {runtime: "python3.12", files: map[string]string{"lambda_function.py": pythonSelf}},
		"nodejs": {runtime: "nodejs20.x", files: map[string]string{"index.js": nodeSelf}},
	} {
		f.env, f.logging = own, alcove.Logging{Format: "JSON", ApplicationLevel: "WARN", Group: "/own/group"}
		f.memory = 512
		f.dir = t.TempDir()
		t.Run(name, func(t *testing.T) {
			ordinary := self(t, f)
			f.blank = true
			blank := self(t, f)
			for what, want := range ordinary {
				got := blank[what]
				switch {
				case what == "modules" || what == "cache" && name == "python":
					reviewModules(t, what, want, got)
				case what == "warnings":
					// None in an ordinary process, which has not imported it.
				case string(got) != string(want):
					t.Errorf("%s:\n%s\n%s, in an ordinary process", what, got, want)
				}
			}
		})
	}
}

// self is what a function sees of its process.
func self(t *testing.T, f function) map[string]json.RawMessage {
	t.Helper()
	p := start(t, f)
	if f.blank {
		p.become()
	}
	o := p.invoke(runtimeapi.Event{})
	if o.Fault != nil {
		t.Fatalf("%s", o.Fault.Body)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(o.Payload, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// mayBeReady are the modules, by the first part of their names, that may be there
// before the function asks for them: the standard library's, in which nothing is
// a function's own.
var mayBeReady = strings.Fields(`
	_ast _bisect _collections _collections_abc _datetime _functools _heapq _locale _opcode _operator _sre _string _struct _thread _tokenize _warnings _weakref _weakrefset
	ast base64 binascii bisect collections contextlib copyreg datetime dis enum functools heapq importlib inspect io itertools json keyword linecache
	math opcode operator re reprlib string struct textwrap threading token tokenize traceback types typing warnings weakref`)

func reviewModules(t *testing.T, what string, want, got json.RawMessage) {
	t.Helper()
	var ordinary, blank []string
	if err := json.Unmarshal(want, &ordinary); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &blank); err != nil {
		t.Fatal(err)
	}
	for _, name := range ordinary {
		if !slices.Contains(blank, name) {
			t.Errorf("%s: a blank process lacks %s", what, name)
		}
	}
	var more []string
	for _, name := range blank {
		if slices.Contains(ordinary, name) {
			continue
		}
		more = append(more, name)
		first, _, _ := strings.Cut(name, ".")
		builtin := strings.HasPrefix(name, "NativeModule ") || strings.HasPrefix(name, "Internal Binding ")
		if !builtin && !slices.Contains(mayBeReady, first) && what == "modules" {
			t.Errorf("%s: a blank process has %s, which is not reviewed", what, name)
		}
	}
	t.Logf("%s: more in a blank process: %s", what, more)
}

// TestRehearsalLeavesNoTrace: an invocation has been rehearsed in a process by the
// time that its function is loaded, and the function finds nothing of it, neither
// then nor when it is invoked.
func TestRehearsalLeavesNoTrace(t *testing.T) {
	f := node(`
const seen = () => ({
  request: globalThis[Symbol.for('aws.lambda.runtime.requestId')], tenant: globalThis[Symbol.for('aws.lambda.runtime.tenantId')],
  trace: process.env._X_AMZN_TRACE_ID, loaded: require.main.loaded, modules: Object.keys(require.cache).length, resources: process.getActiveResourcesInfo(),
});
const atInit = seen();
exports.handler = async (event, context) => ({ atInit, now: seen(), name: context.functionName, id: context.awsRequestId });
`)
	for _, blank := range []bool{false, true} {
		f.blank = blank
		f.dir = t.TempDir()
		p := start(t, f)
		if blank {
			p.become()
		}
		o := p.invoke(runtimeapi.Event{RequestID: "r1", Tenant: "blue"})
		var got struct {
			AtInit, Now struct {
				Request, Tenant, Trace string
				Loaded                 bool
				Modules                int
				Resources              []string
			}
			Name, ID string
		}
		if err := json.Unmarshal(o.Payload, &got); err != nil {
			t.Fatalf("%v: %s %+v", err, o.Payload, o.Fault)
		}
		if i := got.AtInit; i.Request != "" || i.Tenant != "" || i.Trace != "" || i.Modules != 2 {
			t.Errorf("blank %v: at Init %+v", blank, i)
		}
		if !blank && got.AtInit.Loaded {
			t.Error("the handler is loaded later than it was")
		}
		if n := got.Now; n.Request != "r1" || n.Tenant != "blue" || n.Trace != "" || got.Name != "f" || got.ID != "r1" {
			t.Errorf("blank %v: when invoked %+v", blank, got)
		}
		t.Logf("blank %v: %+v", blank, got)
	}
}

// TestPythonRehearsalLeavesNoTrace is the same for Python.
func TestPythonRehearsalLeavesNoTrace(t *testing.T) {
	f := python(`
import os
at_init = os.environ.get("_X_AMZN_TRACE_ID")
def handler(event, context):
    return [at_init, context.function_name, context.aws_request_id, context.tenant_id, context.log_stream_name]
`)
	for _, blank := range []bool{false, true} {
		f.blank, f.dir = blank, t.TempDir()
		p := start(t, f)
		if blank {
			p.become()
		}
		o := p.invoke(runtimeapi.Event{RequestID: "r1", Tenant: "blue"})
		if want := `[null, "f", "r1", "blue", "2026/01/01/[$LATEST]abc"]`; string(o.Payload) != want {
			t.Errorf("blank %v: %s %+v, want %s", blank, o.Payload, o.Fault, want)
		}
	}
}

var timestamps = regexp.MustCompile(`[0-9-]{10}T[0-9:.]+Z`)

// TestBlankLogs: the format and the level are the function's, not those of the
// time before.
func TestBlankLogs(t *testing.T) {
	for name, f := range map[string]function{
		"python": python("import logging\nlogging.warning('w')\nlogging.getLogger().info('i')\ndef handler(event, context):\n return 1\n"),
		"nodejs": node(`console.warn('w'); console.info('i'); exports.handler = async () => 1;`),
	} {
		f.blank = true
		for _, logging := range []alcove.Logging{{Format: "Text"}, {Format: "JSON"}, {Format: "JSON", ApplicationLevel: "WARN"}} {
			f.logging = logging
			t.Run(name+" "+logging.Format+" "+logging.ApplicationLevel, func(t *testing.T) {
				t.Parallel()
				frames := func(f function) (out []string) {
					p := start(t, f)
					if f.blank {
						p.become()
					}
					p.invoke(runtimeapi.Event{})
					p.await("record", func() bool { return len(p.frames) > 0 })
					p.mu.Lock()
					defer p.mu.Unlock()
					for _, fr := range p.frames {
						out = append(out, timestamps.ReplaceAllString(fr.text, "TIME"))
					}
					return out
				}
				blank := frames(f)
				f.blank = false
				if ordinary := frames(f); !slices.Equal(blank, ordinary) {
					t.Errorf("a blank process logs\n%q, an ordinary one\n%q", blank, ordinary)
				}
			})
		}
	}
}

// TestBlankInitFailure: what goes wrong in Init is told as ever.
func TestBlankInitFailure(t *testing.T) {
	for name, f := range map[string]function{
		"python": python("import nonesuch\n"),
		"nodejs": node(`require("nonesuch")`),
	} {
		f.blank = true
		t.Run(name, func(t *testing.T) {
			p := start(t, f)
			p.become()
			select {
			case fault := <-p.env.InitFailed():
				if fault.Type != "Runtime.ImportModuleError" {
					t.Errorf("%+v", fault)
				}
			case <-time.After(patience):
				t.Error("no failure is told")
			}
		})
	}
}

// TestBlankFindsTheFunctionsOwnModules: a module of the function comes before the
// standard library's of that name, though that one is there already.
func TestBlankFindsTheFunctionsOwnModules(t *testing.T) {
	f := python("import json\ndef handler(event, context):\n return json.WHOSE\n")
	f.files["json.py"] = "WHOSE = 'own'\ndef dumps(o): return '{}'\n"
	f.blank = true
	p := start(t, f)
	p.become()
	if o := p.invoke(runtimeapi.Event{}); string(o.Payload) != `"own"` {
		t.Errorf("%s %+v", o.Payload, o.Fault)
	}
}

// TestBlankForks: a function's own children know nothing of its threads, although the
// module threading was imported in a process that others may be forked from.
func TestBlankForks(t *testing.T) {
	f := python(`import os, threading
def handler(event, context):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(w, b"%d" % len(threading.enumerate()))
        os._exit(0)
    os.waitpid(pid, 0)
    stop.set()
    thread.join()
    return os.read(r, 99).decode()
`)
	f.blank = true
	p := start(t, f)
	p.become()
	if o := p.invoke(runtimeapi.Event{}); string(o.Payload) != `"1"` {
		t.Errorf("%s %+v", o.Payload, o.Fault)
	}
}

// TestBlankModules: handlers that are ES modules, or in a folder.
func TestBlankModules(t *testing.T) {
	for name, f := range map[string]function{
		"mjs": {runtime: "nodejs20.x", files: map[string]string{"index.mjs": `import fs from 'fs'; export const handler = async () => typeof fs.read;`}},
		"cjs": {runtime: "nodejs22.x", handler: "src/app.run", files: map[string]string{"src/app.cjs": `exports.run = async () => typeof require('fs').read;`}},
	} {
		f.blank = true
		t.Run(name, func(t *testing.T) {
			p := start(t, f)
			p.become()
			if o := p.invoke(runtimeapi.Event{}); string(o.Payload) != `"function"` {
				t.Errorf("%s %+v", o.Payload, o.Fault)
			}
		})
	}
}

// TestOwnStart: whose process has to be started for it, and why.
func TestOwnStart(t *testing.T) {
	for _, tt := range []struct{ runtime, key, want string }{
		{"python3.12", "GREETING", ""},
		{"python3.12", "TZ", ""},
		{"python3.12", "NODE_OPTIONS", ""},
		{"python3.12", "PYTHONHASHSEED", "start-time variable PYTHONHASHSEED"},
		{"python3.12", "PYTHONPATH", "start-time variable PYTHONPATH"},
		{"python3.12", "LD_PRELOAD", "start-time variable LD_PRELOAD"},
		{"python3.12", "LC_ALL", "start-time variable LC_ALL"},
		{"nodejs20.x", "NODE_OPTIONS", "start-time variable NODE_OPTIONS"},
		{"nodejs20.x", "NODE_EXTRA_CA_CERTS", "start-time variable NODE_EXTRA_CA_CERTS"},
		{"nodejs20.x", "NODE_ENV", ""},
		{"nodejs20.x", "PYTHONPATH", ""},
		{"nodejs20.x", "AWS_LAMBDA_EXEC_WRAPPER", "start-time variable AWS_LAMBDA_EXEC_WRAPPER"},
		{"provided.al2023", "A", "custom runtime"},
	} {
		r, err := found().Resolve(tt.runtime)
		if err != nil {
			t.Fatal(err)
		}
		v := &alcove.Version{Config: alcove.Config{Runtime: tt.runtime, Environment: map[string]string{tt.key: "x"}}}
		if got := r.OwnStart(v); got != tt.want {
			t.Errorf("%s with %s: %q, want %q", tt.runtime, tt.key, got, tt.want)
		}
	}
}

// TestBlankEnvironKnowsNoFunction: what a process is started with is a part of
// what it will be told, and has nothing of a function's.
func TestBlankEnvironKnowsNoFunction(t *testing.T) {
	place := alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	for _, name := range []string{"python3.12", "nodejs20.x"} {
		r, err := found().Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		full := runtimes.Environ(version(function{runtime: name, env: map[string]string{"A": "b"}}), r, place, "stream")
		for _, kv := range runtimes.BlankEnviron(r, place) {
			if !slices.Contains(full, kv) && kv != "_ALCOVE_BLANK=1" {
				t.Errorf("%s: %s is not what the function has", name, kv)
			}
		}
	}
}
