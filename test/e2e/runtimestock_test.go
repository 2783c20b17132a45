package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// variables sets a function's environment variables.
func variables(kv map[string]string) option {
	return func(in *lambda.CreateFunctionInput) { in.Environment = &types.Environment{Variables: kv} }
}

func tmpSize(mb int32) option {
	return func(in *lambda.CreateFunctionInput) { in.EphemeralStorage = &types.EphemeralStorage{Size: &mb} }
}

// blank waits until an environment of a shape waits for a function.
func (n *node) blank(t *testing.T, shape string) {
	t.Helper()
	eventually(t, "an environment of "+shape+" waits for a function", func() bool {
		for _, e := range n.all(t, "") {
			if e.State == "blank" && regexp.MustCompile(shape).MatchString(e.Shape) {
				return true
			}
		}
		return false
	})
}

// Shapes of functions with memory and /tmp of those sizes.
const (
	pythonShape    = `^python.*, /tmp 512 MB$`
	pythonLargeTmp = `^python.*, /tmp 1024 MB$`
	nodeShape512   = `^node.*, 512 MB, /tmp 512 MB$`
	heldShape      = `^a sandbox for %s.*, /tmp 512 MB$`
)

// Programs that tell everything of their sandbox and process that a function can
// see, and that must not depend on how it was made. The numbers of processes do:
// those before them are threads of a sandbox's first.
const (
	pythonSees = `
import os, sys, time, socket
def text(name):
    try:
        return open(name).read()
    except OSError as e:
        return str(e)
def fds():
    out = []
    for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            out.append("%d %s" % (fd, os.readlink("/proc/self/fd/%d" % fd).partition(":")[0]))
        except OSError:
            pass
    return out
def size(of):
    s = os.statvfs(of)
    return s.f_blocks * s.f_frsize
def write(name):
    try:
        open(name, "w").close()
        return "written"
    except OSError as e:
        return e.strerror
def handler(event, context):
    if event and "mb" in event:
        return len(bytearray(event["mb"] << 20))
    status = dict(l.split(":", 1) for l in text("/proc/self/status").splitlines() if ":" in l)
    return {
        "env": dict(os.environ), "argv": sys.argv, "orig": sys.orig_argv, "cmdline": text("/proc/self/cmdline"), "path": sys.path, "cwd": os.getcwd(),
        "flags": str(sys.flags), "comm": text("/proc/self/comm"), "fds": fds(), "ids": [os.getresuid(), os.getresgid(), os.getgroups(), os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid()],
        "status": {k: status.get(k, "").strip() for k in ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")},
        "limits": text("/proc/self/limits"), "umask": os.umask(0o22), "nice": os.nice(0), "host": socket.gethostname(), "tz": [time.tzname, time.timezone],
        "mounts": sorted(set(" ".join((m.split()[4], m.split()[5], m.split(" - ")[1].split()[0])) for m in text("/proc/self/mountinfo").splitlines())),
        "sizes": [size("/tmp"), size("/dev/shm")], "task": [sorted(os.listdir("/var/task")), write("/var/task/new"), oct(os.stat("/var/task").st_mode), os.stat("/var/task/main.py").st_uid],
        "writes": [write("/opt/new"), write("/new"), write("/var/runtime/new"), write("/tmp/new")], "root": sorted(os.listdir("/")), "opt": os.listdir("/opt"), "tmp": sorted(os.listdir("/tmp")),
        "run": sorted(os.listdir("/run/alcove")), "processes": len([p for p in os.listdir("/proc") if p.isdigit()]), "cpus": os.cpu_count(), "affinity": len(os.sched_getaffinity(0)),
    }
`
	nodeSees = `
const fs = require('fs'), os = require('os'), v8 = require('v8');
const text = (name) => { try { return fs.readFileSync(name, 'latin1'); } catch (e) { return e.code; } };
const write = (name) => { try { fs.writeFileSync(name, ''); return 'written'; } catch (e) { return e.code; } };
const size = (of) => { const s = fs.statfsSync(of); return s.blocks * s.bsize; };
exports.handler = async () => {
  const status = Object.fromEntries(text('/proc/self/status').split('\n').map((l) => l.split(':\t')));
  return {
    env: process.env, argv: process.argv, execArgv: process.execArgv, title: process.title, cmdline: text('/proc/self/cmdline'), cwd: process.cwd(),
    fds: fs.readdirSync('/proc/self/fd').map(Number).sort((a, b) => a - b).map((fd) => { try { return fd + ' ' + fs.readlinkSync('/proc/self/fd/' + fd).split(':')[0]; } catch { return ''; } }),
    status: ['Uid', 'Gid', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'].map((k) => [k, status[k]]),
    ids: [process.getuid(), process.getgid(), process.getgroups()], limits: text('/proc/self/limits'), host: os.hostname(), heap: v8.getHeapStatistics().heap_size_limit,
    mounts: [...new Set(text('/proc/self/mountinfo').trim().split('\n').map((m) => [m.split(' ')[4], m.split(' ')[5], m.split(' - ')[1].split(' ')[0]].join(' ')))].sort(),
    sizes: [size('/tmp'), size('/dev/shm')], task: [fs.readdirSync('/var/task').sort(), write('/var/task/new')], globalPaths: require('module').globalPaths, paths: module.paths,
    writes: ['/opt/new', '/new', '/var/runtime/new', '/tmp/new'].map(write), opt: fs.readdirSync('/opt'), tz: new Date(0).toString(), globals: Object.getOwnPropertyNames(globalThis).sort(),
  };
};
`
)

// TestFirstCallFromRuntimeStock checks that a function's first ever call is served
// by an environment that was there before the function, and that the function
// cannot tell: it sees what it sees in one that was made for it from the start.
func TestFirstCallFromRuntimeStock(t *testing.T) {
	ownEach(t, func(t *testing.T, n *node) {
		for _, c := range []struct {
			runtime types.Runtime
			file    string
			code    string
			own     string // a variable that a process reads at its start
			shape   string
		}{
			{python, "main.py", pythonSees, "PYTHON_E2E", pythonShape},
			{nodejs, "main.js", nodeSees, "NODE_E2E", nodeShape512},
		} {
			t.Run(string(c.runtime), func(t *testing.T) {
				kv := map[string]string{"TZ": "Europe/Berlin", "GREETING": "grüß \"dich\"\n"}
				see := func(start, why string, kv map[string]string, opts ...option) map[string]json.RawMessage {
					f := n.deploy(t, c.runtime, files{c.file: c.code}, append(opts, isolated, variables(kv), memory(512))...)
					switch start {
					case "runtime-stock":
						n.blank(t, c.shape)
					case "sandbox":
						n.blank(t, fmt.Sprintf(heldShape, strings.TrimRight(string(c.runtime), "js.x0123456789")))
					}
					out, explained, err := n.alcove(t, "invoke", f, "--tenant", "blue")
					if err != nil {
						t.Fatalf("%v: %s", err, explained)
					}
					if want := fmt.Sprintf("--- %s start: %s\n", start, why); !strings.Contains(explained, want) {
						t.Errorf("want %q, got %q", want, tail(explained, 200))
					}
					if !regexp.MustCompile(`REPORT .*Init Duration: [\d.]+ ms`).MatchString(explained) {
						t.Errorf("its caller waited for Init, and the report does not say so: %s", explained)
					}
					var seen map[string]json.RawMessage
					if err := json.Unmarshal([]byte(out), &seen); err != nil {
						t.Fatal(err)
					}
					n.checkLogStream(t, f, seen["env"])
					again := n.run(t, f, call{tenant: "blue"}, nil)
					if again.start != "warm" || strings.Contains(again.tail, "Init Duration") {
						t.Errorf("the second call: %s, %s", again.start, again.tail)
					}
					return seen
				}
				blank := see("runtime-stock", "first call of the version", kv)
				kv[c.own] = "1"
				// With a process of its own, in a sandbox that there was if the driver can.
				own := "cold"
				if slices.Contains(n.flags, "gvisor") {
					own = "sandbox"
				}
				ordinary := see(own, "start-time variable "+c.own, kv)
				compareSeen(t, ordinary, blank, c.own)
			})
		}
	})
}

// checkLogStream checks that the function logs where its variables say it does,
// with one Init.
func (n *node) checkLogStream(t *testing.T, f string, env json.RawMessage) {
	t.Helper()
	var kv map[string]string
	if err := json.Unmarshal(env, &kv); err != nil {
		t.Fatal(err)
	}
	if kv["AWS_LAMBDA_INITIALIZATION_TYPE"] != "on-demand" {
		t.Errorf("initialization type %q", kv["AWS_LAMBDA_INITIALIZATION_TYPE"])
	}
	group, stream := kv["AWS_LAMBDA_LOG_GROUP_NAME"], kv["AWS_LAMBDA_LOG_STREAM_NAME"]
	var text string
	eventually(t, "a report in the log stream", func() bool {
		out, err := n.logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true)})
		if err != nil {
			return false
		}
		text = ""
		for _, e := range out.Events {
			text += *e.Message
		}
		return strings.Contains(text, "REPORT ")
	})
	if !strings.HasPrefix(text, "INIT_START ") || strings.Count(text, "INIT_START ") != 1 {
		t.Errorf("the log stream does not begin with its one Init: %s", text)
	}
}

// compareSeen checks that two environments look the same from inside.
func compareSeen(t *testing.T, ordinary, blank map[string]json.RawMessage, own string) {
	t.Helper()
	for what, want := range ordinary {
		got := blank[what]
		switch what {
		case "env":
			var a, b map[string]string
			if json.Unmarshal(want, &a) != nil || json.Unmarshal(got, &b) != nil {
				t.Fatalf("env: %s, %s", want, got)
			}
			delete(a, own)
			for _, differs := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "_X_AMZN_TRACE_ID"} {
				if a[differs] != "" && b[differs] == "" {
					t.Errorf("no %s", differs)
				}
				delete(a, differs)
				delete(b, differs)
			}
			want, _ = json.Marshal(a)
			got, _ = json.Marshal(b)
		case "mounts": // where layers would be, a blank one has a directory that could be mounted at
			want, got = withoutOpt(t, want), withoutOpt(t, got)
		}
		if string(got) != string(want) {
			t.Errorf("%s:\n%s\n%s, in an environment made for the function", what, got, want)
		}
	}
}

func withoutOpt(t *testing.T, mounts json.RawMessage) json.RawMessage {
	t.Helper()
	var list []string
	if err := json.Unmarshal(mounts, &list); err != nil {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(m string) bool { return strings.HasPrefix(m, "/opt ro,") })
	out, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLimitsOfAFirstCall checks that the limits of an environment that was there
// before its function are the function's.
func TestLimitsOfAFirstCall(t *testing.T) {
	ownEach(t, func(t *testing.T, n *node) {
		for _, mb := range []int32{192, 640} {
			f := n.deploy(t, python, files{"main.py": pythonSees}, isolated, memory(mb))
			n.blank(t, pythonShape)
			inv := n.run(t, f, call{tenant: "less", payload: fmt.Sprintf(`{"mb": %d}`, mb*6/10)}, nil)
			if inv.start != "runtime-stock" {
				t.Fatalf("%d MB: a %s start", mb, inv.start)
			}
			g := n.deploy(t, python, files{"main.py": pythonSees}, isolated, memory(mb))
			n.blank(t, pythonShape)
			failed, inv := n.fail(t, g, call{tenant: "more", payload: fmt.Sprintf(`{"mb": %d}`, mb*2)})
			if inv.start != "runtime-stock" || failed.ErrorType != "Runtime.ExitError" && failed.ErrorType != "MemoryError" {
				t.Errorf("%d MB of %d: %s, a %s start", mb*2, mb, failed.ErrorType, inv.start)
			}
		}
		f := n.deploy(t, python, files{"main.py": pythonSees}, isolated, tmpSize(1024))
		n.blank(t, pythonLargeTmp)
		var seen struct{ Sizes []int64 }
		inv := n.run(t, f, call{tenant: "x"}, &seen)
		// A file system takes a part of its size for itself.
		if size := seen.Sizes[0] >> 20; size < 900 || size > 1024 {
			t.Errorf("/tmp has %d MB, want 1024 (%s start)", size, inv.start)
		}
	})
}

// TestBlankServesOneFunction checks that environments that were there before their
// function become one function's, and stay it.
func TestBlankServesOneFunction(t *testing.T) {
	ownEach(t, func(t *testing.T, n *node) {
		of := map[string]string{} // environment -> function
		var functions []string
		for range 4 {
			f := n.deploy(t, python, files{"main.py": whoAmI}, isolated)
			functions = append(functions, f)
			n.blank(t, pythonShape)
			var got identity
			if inv := n.run(t, f, call{tenant: "same"}, &got); inv.start != "runtime-stock" {
				t.Errorf("%s: a %s start", f, inv.start)
			}
			if got.Count != 1 || len(got.Seen) != 1 {
				t.Errorf("%s found %+v", f, got)
			}
		}
		for _, f := range functions {
			if inv := n.run(t, f, call{tenant: "same"}, nil); inv.start != "warm" {
				t.Errorf("%s again: a %s start", f, inv.start)
			}
			for _, e := range n.environments(t, f) {
				if other := of[e.ID]; other != "" {
					t.Errorf("environment %s is %s's and %s's", e.ID, other, f)
				}
				of[e.ID] = f
			}
		}
		if len(of) != len(functions) {
			t.Errorf("%d environments for %d functions", len(of), len(functions))
		}
	})
}

// TestInitErrorOfAFirstCall checks that what goes wrong in Init is told as ever.
func TestInitErrorOfAFirstCall(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": "import nonesuch\n"}, isolated)
		n.blank(t, pythonShape)
		failed, inv := n.fail(t, f, call{tenant: "x"})
		if failed.ErrorType != "Runtime.ImportModuleError" || !strings.Contains(failed.ErrorMessage, "nonesuch") {
			t.Errorf("%+v", failed)
		}
		if strings.Count(inv.tail, "\nREPORT ") != 1 {
			t.Errorf("tail %s", inv.tail)
		}
	})
}
