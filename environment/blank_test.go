package environment

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/sandbox"
)

// becomes is a runtime that waits for its function, and goes on with run.
func becomes(got chan<- string, run script) script {
	return func(rt *runtimeClient) sandbox.Exit {
		status, body := rt.function()
		got <- body
		if status != http.StatusOK {
			return sandbox.Exit{Code: 1}
		}
		return run(rt)
	}
}

// startBlank starts a blank environment and waits until it is ready, or has ended.
func startBlank(t *testing.T, run script, change func(*Config)) *bench {
	t.Helper()
	ready := make(chan struct{})
	b := start(t, run, func(c *Config) {
		c.Version, c.Stream, c.StreamName, c.OnFree = nil, nil, "", nil
		c.Spec.Late = []string{runtimes.TaskDir}
		c.OnBlank = func() { close(ready) }
		if change != nil {
			change(c)
		}
	})
	select {
	case <-ready:
	case <-b.env.Ended():
	}
	return b
}

func (b *bench) specialise(t *testing.T, change func(*Config)) error {
	t.Helper()
	cfg := b.config()
	cfg.Spec.Env = []string{"A=1", "_HANDLER=f.h", `Z=ü "=x`}
	cfg.Spec.Mounts = []sandbox.Mount{{Source: "/code", Target: runtimes.TaskDir}}
	cfg.Spec.Limits.Memory = 128 << 20
	if change != nil {
		change(&cfg)
	}
	return b.env.Specialise(t.Context(), cfg)
}

func TestABlankEnvironmentBecomesOneFunctions(t *testing.T) {
	got := make(chan string, 1)
	b := startBlank(t, becomes(got, func(rt *runtimeClient) sandbox.Exit {
		io.WriteString(rt.stdout, "during init\n")
		return echo(rt)
	}), nil)
	if s := b.env.Status(); s.State != Blank || s.Version != nil || s.LogStream != "" || s.Bound {
		t.Errorf("blank: %+v", s)
	}
	var mounts []sandbox.Mount
	var limits sandbox.Limits
	b.driver.specialise = func(m []sandbox.Mount, l sandbox.Limits) error { mounts, limits = m, l; return nil }
	if err := b.specialise(t, nil); err != nil {
		t.Fatal(err)
	}
	if body := <-got; body != `{"environment":{"A":"1","_HANDLER":"f.h","Z":"ü \"=x"}}` {
		t.Errorf("the runtime was told %s", body)
	}
	if !slices.Equal(mounts, []sandbox.Mount{{Source: "/code", Target: runtimes.TaskDir}}) || limits.Memory != 128<<20 {
		t.Errorf("the driver was told %v %+v", mounts, limits)
	}
	res := b.mustInvoke(t, "blue", "1")
	if r := res.Report; r.Start != alcove.StartRuntimeStock || r.Init <= 0 || !r.Bound || r.Environment != b.env.ID() {
		t.Errorf("report %+v", r)
	}
	if s := b.env.Status(); s.Version == nil || s.LogStream != "stream" || s.Tenant != "blue" {
		t.Errorf("afterwards: %+v", s)
	}
	log := b.log.String()
	if init, line, begin := strings.Index(log, "INIT_START"), strings.Index(log, "during init"), strings.Index(log, "START RequestId"); init < 0 || line < init || begin < line {
		t.Errorf("the log is not INIT_START, output of Init, START: %q", log)
	}
	if _, err := b.invoke(t, "green", "2"); !errors.Is(err, ErrWrongTenant) {
		t.Errorf("an invocation for another tenant: %v", err)
	}
	if again := b.mustInvoke(t, "blue", "2"); again.Report.Start != alcove.StartWarm || again.Report.Init != 0 {
		t.Errorf("second report %+v", again.Report)
	}
}

// startHeld starts an environment that has a sandbox and no program, and waits
// until it is ready.
func startHeld(t *testing.T, started func(args, env []string, dir string) error) *bench {
	t.Helper()
	ready := make(chan struct{})
	d := &scripted{run: echo, started: started}
	b := start(t, nil, func(c *Config) {
		c.Version, c.Stream, c.StreamName, c.OnFree = nil, nil, "", nil
		c.Shape.Held, c.Driver, c.Spec.Late = true, d, []string{runtimes.TaskDir}
		c.OnBlank = func() { close(ready) }
	})
	b.driver = d
	<-ready
	return b
}

func TestAHeldSandboxIsGivenItsProgram(t *testing.T) {
	var got []string
	b := startHeld(t, func(args, env []string, dir string) error {
		got = slices.Concat(args, env, []string{dir})
		return nil
	})
	if s := b.env.Status(); s.State != Blank || s.Bound {
		t.Errorf("before: %+v", s)
	}
	err := b.specialise(t, func(c *Config) { c.Spec.Args, c.Spec.Dir = []string{"/bin/program"}, runtimes.TaskDir })
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/bin/program", "A=1", "_HANDLER=f.h", `Z=ü "=x`, runtimes.TaskDir}; !slices.Equal(got, want) {
		t.Errorf("started with %q, want %q", got, want)
	}
	if r := b.mustInvoke(t, "blue", "1").Report; r.Start != alcove.StartSandbox || r.Init <= 0 || !r.Bound {
		t.Errorf("report %+v", r)
	}
	if r := b.mustInvoke(t, "blue", "2").Report; r.Start != alcove.StartWarm || r.Init != 0 {
		t.Errorf("second report %+v", r)
	}
	if _, err := b.invoke(t, "green", "3"); !errors.Is(err, ErrWrongTenant) {
		t.Errorf("an invocation for another tenant: %v", err)
	}
	if err := b.specialise(t, nil); !errors.Is(err, ErrNotBlank) {
		t.Errorf("specialised again: %v", err)
	}
}

// TestAHeldSandboxWithoutItsProgram: who waits is told that the platform failed.
func TestAHeldSandboxWithoutItsProgram(t *testing.T) {
	b := startHeld(t, func([]string, []string, string) error { return errors.New("no") })
	failed := make(chan error, 1)
	if err := b.specialise(t, func(c *Config) { c.OnInit = func(err error) { failed <- err } }); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("Init is said to have succeeded")
	}
	<-b.env.Ended()
}

func TestABlankEnvironmentIsSpecialisedOnce(t *testing.T) {
	b := startBlank(t, becomes(make(chan string, 1), echo), nil)
	if err := b.specialise(t, nil); err != nil {
		t.Fatal(err)
	}
	other := version()
	other.FunctionID = "f-2"
	if err := b.specialise(t, func(c *Config) { c.Version = other }); !errors.Is(err, ErrNotBlank) {
		t.Errorf("specialised again: %v, want ErrNotBlank", err)
	}
	if b.env.Version().FunctionID != "f-1" {
		t.Error("it is another function's now")
	}
	b.mustInvoke(t, "blue", "1")
	if _, err := b.env.Invoke(t.Context(), &alcove.Invocation{Version: other, Tenant: "blue"}, InvokeOptions{}); !errors.Is(err, ErrWrongTenant) {
		t.Errorf("an invocation of another function: %v", err)
	}

	ordinary := start(t, echo, nil)
	ordinary.mustInvoke(t, "blue", "1")
	if err := ordinary.specialise(t, nil); !errors.Is(err, ErrNotBlank) {
		t.Errorf("an ordinary environment was specialised: %v", err)
	}
}

func TestWhatABlankEnvironmentWritesIsNotTheFunctions(t *testing.T) {
	got := make(chan string, 1)
	b := startBlank(t, func(rt *runtimeClient) sandbox.Exit {
		io.WriteString(rt.stdout, "warning of an interpreter, unfinished")
		return becomes(got, echo)(rt)
	}, nil)
	if err := b.specialise(t, nil); err != nil {
		t.Fatal(err)
	}
	res := b.mustInvoke(t, "blue", "x")
	if log := b.log.String() + string(res.LogTail); strings.Contains(log, "interpreter") {
		t.Errorf("it is in the function's log: %q", log)
	}
}

func TestABlankEnvironmentTakesNoInvocation(t *testing.T) {
	asked := make(chan int, 2)
	b := startBlank(t, func(rt *runtimeClient) sandbox.Exit {
		resp, err := rt.http.Get("http://runtime/2018-06-01/runtime/invocation/next")
		if err != nil {
			return sandbox.Exit{Code: 1}
		}
		resp.Body.Close()
		asked <- resp.StatusCode
		return becomes(make(chan string, 1), echo)(rt)
	}, nil)
	if status := <-asked; status != http.StatusForbidden {
		t.Errorf("next of a blank environment: status %d", status)
	}
	if _, err := b.env.Invoke(t.Context(), &alcove.Invocation{Version: version(), Tenant: "blue"}, InvokeOptions{}); !errors.Is(err, ErrWrongTenant) {
		t.Errorf("Invoke = %v, want ErrWrongTenant", err)
	}
}

// TestASpecialisationThatFails: the function hears nothing of it, and the
// environment is of no use any more.
func TestASpecialisationThatFails(t *testing.T) {
	for name, fail := range map[string]func(*bench) error{
		"driver": func(*bench) error { return errors.New("no mount at /secret/path") },
		"kill":   func(b *bench) error { b.env.Kill(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := startBlank(t, becomes(make(chan string, 1), echo), nil)
			b.driver.specialise = func([]sandbox.Mount, sandbox.Limits) error { return fail(b) }
			hooked := func() { t.Error("a hook was called") }
			err := b.specialise(t, func(c *Config) {
				c.OnInit, c.OnFree, c.OnEnd = func(error) { hooked() }, hooked, hooked
			})
			if err == nil {
				t.Fatal("it did not fail")
			}
			<-b.env.Ended()
			if log := b.log.String(); log != "" {
				t.Errorf("log of the function: %q", log)
			}
		})
	}
}

func TestABlankEnvironmentWhoseRuntimeEndsIsGivenUp(t *testing.T) {
	for name, run := range map[string]script{
		"exit":    func(*runtimeClient) sandbox.Exit { return sandbox.Exit{Code: 1} },
		"init":    func(rt *runtimeClient) sandbox.Exit { rt.post("init/error", "{}"); <-rt.killed; return sandbox.Exit{} },
		"silence": func(rt *runtimeClient) sandbox.Exit { <-rt.killed; return sandbox.Exit{} },
		"hangs up": func(rt *runtimeClient) sandbox.Exit {
			rt.http.Timeout = 1e7
			rt.function()
			<-rt.killed
			return sandbox.Exit{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			b := startBlank(t, run, func(c *Config) {
				c.InitTimeout = 50e6
				c.OnEnd = func() { close(ended) }
			})
			<-b.env.Ended()
			<-ended
			if err := b.specialise(t, nil); err == nil {
				t.Error("it was specialised")
			}
		})
	}
}

// A process that is forked is told its function's variables once, and is no blank
// environment's for that.
func TestAForkedProcessIsToldItsVariables(t *testing.T) {
	got := make(chan string, 2)
	b := start(t, becomes(got, func(rt *runtimeClient) sandbox.Exit {
		if status, _ := rt.function(); status == http.StatusOK {
			got <- "told again"
		}
		return echo(rt)
	}), func(c *Config) {
		c.Tell, c.Spec.Env = []string{"A=1", "_HANDLER=f.h"}, []string{"A=0"}
	})
	res := b.mustInvoke(t, "blue", "1")
	if r := res.Report; r.Start != alcove.StartCold || r.Init <= 0 || !r.Bound {
		t.Errorf("report %+v", r)
	}
	if body := <-got; body != `{"environment":{"A":"1","_HANDLER":"f.h"}}` {
		t.Errorf("the runtime was told %s", body)
	}
	select {
	case more := <-got:
		t.Error(more)
	default:
	}
}
