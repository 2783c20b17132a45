package environment

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/supervise"
)

func TestInvocationsOneAfterAnother(t *testing.T) {
	b := start(t, echo, nil)
	first := b.mustInvoke(t, "blue", `{"n":1}`)
	if string(first.Payload) != `{"n":1}` {
		t.Errorf("payload %s", first.Payload)
	}
	if r := first.Report; r.Start != alcove.StartCold || r.Init <= 0 || !r.Bound || r.Tenant != "blue" || r.MaxMemoryUsed != 36 {
		t.Errorf("first report %+v", r)
	}
	tail := string(first.LogTail)
	if start, saw, end := strings.Index(tail, "START RequestId: "), strings.Index(tail, `saw {"n":1}`), strings.Index(tail, "\nREPORT RequestId: "); start < 0 || saw < start || end < saw {
		t.Errorf("tail is not START, line, REPORT: %q", tail)
	}
	second := b.mustInvoke(t, "blue", `{"n":2}`)
	if r := second.Report; r.Start != alcove.StartWarm || r.Init != 0 || r.Bound {
		t.Errorf("second report %+v", r)
	}
	if m := b.env.Status().Memory; m != 30<<20 {
		t.Errorf("the environment is said to use %d bytes after its first invocation", m)
	}
	if strings.Contains(string(second.LogTail), `{"n":1}`) {
		t.Errorf("the second tail has the first's lines: %s", second.LogTail)
	}
}

func TestEnvironmentBelongsToOneTenantForLife(t *testing.T) {
	b := start(t, echo, nil)
	b.mustInvoke(t, "blue", "1")
	if _, err := b.invoke(t, "green", "2"); !errors.Is(err, ErrWrongTenant) {
		t.Fatalf("an invocation for another tenant: %v, want ErrWrongTenant", err)
	}
	other := *b.env.Version()
	other.Generation++
	_, err := b.env.Invoke(t.Context(), &alcove.Invocation{Version: &other, Tenant: "blue"}, InvokeOptions{})
	if !errors.Is(err, ErrWrongTenant) {
		t.Fatalf("an invocation of another generation: %v, want ErrWrongTenant", err)
	}
	if got := b.mustInvoke(t, "blue", "3"); string(got.Payload) != "3" {
		t.Errorf("its own tenant got %s", got.Payload)
	}
}

func TestOneInvocationAtATime(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		id, _, _, _ := rt.next()
		close(began)
		<-release
		rt.post("invocation/"+id+"/response", "1")
		return echo(rt)
	}, nil)
	done := make(chan error, 1)
	go func() {
		_, err := b.invoke(t, "blue", "1")
		done <- err
	}()
	<-began
	if _, err := b.invoke(t, "blue", "2"); !errors.Is(err, ErrNotHandedOver) {
		t.Errorf("a second invocation: %v, want ErrNotHandedOver", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTimeoutEndsTheEnvironment(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		rt.next()
		<-rt.killed
		return sandbox.Exit{}
	}, timeout(1))
	res := b.mustInvoke(t, "blue", "x")
	kind, message := errorObject(t, res)
	if kind != "Sandbox.Timedout" || message != "RequestId: r-blue Error: Task timed out after 1.00 seconds" {
		t.Errorf("%s: %s", kind, message)
	}
	if res.Report.Status != alcove.StatusTimeout || !strings.Contains(string(res.LogTail), "Task timed out after 1.00 seconds") {
		t.Errorf("report %+v, tail %s", res.Report, res.LogTail)
	}
	<-b.env.Ended()
}

func TestExitEndsTheEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		exit              sandbox.Exit
		message, reported string
	}{
		"status":  {sandbox.Exit{Code: 127}, "Runtime exited with error: exit status 127", "Runtime.ExitError"},
		"zero":    {sandbox.Exit{}, "Runtime exited without providing a reason", "Runtime.ExitError"},
		"signal":  {sandbox.Exit{Signal: syscall.SIGSEGV}, "Runtime exited with error: signal: segmentation fault", "Runtime.ExitError"},
		"memory":  {sandbox.Exit{Signal: syscall.SIGKILL, OOM: true}, "Runtime exited with error: signal: killed", "Runtime.OutOfMemory"},
		"cleared": {sandbox.Exit{Err: errors.New("unknown"), OOM: true}, "Runtime exited with error: signal: killed", "Runtime.OutOfMemory"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(rt *runtimeClient) sandbox.Exit {
				rt.next()
				io.WriteString(rt.stdout, "last words")
				return c.exit
			}, nil)
			res := b.mustInvoke(t, "blue", "x")
			if kind, message := errorObject(t, res); kind != "Runtime.ExitError" || message != "RequestId: r-blue Error: "+c.message {
				t.Errorf("%s: %s", kind, message)
			}
			if res.Report.ErrorType != c.reported || res.Report.Status != alcove.StatusError {
				t.Errorf("report %+v", res.Report)
			}
			if !strings.Contains(string(res.LogTail), "last words") {
				t.Errorf("the tail misses what the process wrote before it ended: %s", res.LogTail)
			}
			<-b.env.Ended()
		})
	}
}

func TestFunctionErrorKeepsTheEnvironment(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		id, _, _, _ := rt.next()
		rt.post("invocation/"+id+"/error", `{"errorMessage":"no","errorType":"ValueError"}`)
		return echo(rt)
	}, nil)
	res := b.mustInvoke(t, "blue", "1")
	if kind, _ := errorObject(t, res); kind != "ValueError" {
		t.Errorf("error type %s", kind)
	}
	if again := b.mustInvoke(t, "blue", "2"); string(again.Payload) != "2" || again.Report.Start != alcove.StartWarm {
		t.Errorf("after a function error: %s %+v", again.Payload, again.Report)
	}
}

func TestAnswersNobodyAskedFor(t *testing.T) {
	codes := make(chan int, 10)
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		codes <- rt.post("invocation/stale/response", "early")
		id, _, _, _ := rt.next()
		codes <- rt.post("invocation/other/response", "wrong id")
		codes <- rt.post("invocation/"+id+"/response", "right")
		codes <- rt.post("invocation/"+id+"/response", "twice")
		return echo(rt)
	}, nil)
	if res := b.mustInvoke(t, "blue", "x"); string(res.Payload) != "right" {
		t.Errorf("payload %s", res.Payload)
	}
	b.mustInvoke(t, "blue", "y")
	// The first answer is refused whether or not the driver has returned.
	for i, want := range []int{403, 400, 202, 403} {
		if got := <-codes; got != want {
			t.Errorf("answer %d got status %d, want %d", i, got, want)
		}
	}
}

func TestFailedInitIsToldAndSuppressedInitAnswers(t *testing.T) {
	broken := func(rt *runtimeClient) sandbox.Exit {
		rt.post("init/error", `{"errorMessage":"no module","errorType":"Runtime.ImportModuleError","requestId":"","stackTrace":[]}`)
		return sandbox.Exit{Code: 1}
	}
	typed := func(rt *runtimeClient) sandbox.Exit {
		req, _ := http.NewRequest(http.MethodPost, "http://runtime/2018-06-01/runtime/init/error", bytes.NewReader([]byte(`{"errorMessage":"no module","errorType":"Runtime.ImportModuleError"}`)))
		req.Header.Set("Lambda-Runtime-Function-Error-Type", "Runtime.ImportModuleError")
		if resp, err := rt.http.Do(req); err == nil {
			resp.Body.Close()
		}
		return broken(rt)
	}
	b := start(t, typed, nil)
	_, err := b.invoke(t, "blue", "x")
	var ie *InitError
	if !errors.As(err, &ie) || ie.Type != "Runtime.ImportModuleError" {
		t.Fatalf("Invoke = %v, want an Init error", err)
	}
	<-b.env.Ended()
	if _, err := b.invoke(t, "blue", "late"); !errors.As(err, &ie) || ie.Type != "Runtime.ImportModuleError" {
		t.Errorf("after the end Invoke = %v, want an Init error", err)
	}
	if !strings.Contains(b.log.String(), "INIT_REPORT") || !strings.Contains(b.log.String(), "Runtime.ImportModuleError") {
		t.Errorf("the log does not tell: %s", b.log)
	}

	s := start(t, typed, func(c *Config) { c.Suppressed = true })
	res := s.mustInvoke(t, "blue", "x")
	if kind, message := errorObject(t, res); kind != "Runtime.ImportModuleError" || message != "no module" {
		t.Errorf("suppressed Init answered %s: %s", kind, message)
	}
	if log := s.log.String(); strings.Contains(log, "INIT_START") || !strings.Contains(log, "START RequestId: ") {
		t.Errorf("log of a suppressed Init: %s", log)
	}
}

// TestSuppressedInitThatFailsAtOnce has Init fail in every way before the invocation
// that it is part of has come.
func TestSuppressedInitThatFailsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		run    script
		change func(*Config)
		kind   string
	}{
		"says so": {run: func(rt *runtimeClient) sandbox.Exit {
			rt.post("init/error", `{"errorMessage":"no module","errorType":"Runtime.Unknown"}`)
			return sandbox.Exit{Code: 1}
		}, kind: "Runtime.Unknown"},
		"says so and goes on": {run: func(rt *runtimeClient) sandbox.Exit {
			rt.post("init/error", `{"errorMessage":"no module","errorType":"Runtime.Unknown"}`)
			return echo(rt)
		}, kind: "Runtime.Unknown"},
		"ends": {run: func(*runtimeClient) sandbox.Exit { return sandbox.Exit{Code: 3} }, kind: "Runtime.ExitError"},
		"an extension ends": {run: func(rt *runtimeClient) sandbox.Exit {
			s := superviseIn(rt)
			s.says(supervise.SaidEnded, 0, 3<<8)
			<-rt.killed
			return sandbox.Exit{}
		}, change: extended("one"), kind: "Extension.Crash"},
		"cannot be started": {change: func(c *Config) {
			c.Driver.(*scripted).createErr = &sandbox.ProgramError{Path: "/var/task/bootstrap", Err: syscall.ENOENT}
		}, kind: "Runtime.InvalidEntrypoint"},
		"is not there": {change: func(c *Config) { c.InvalidEntrypoint = "nothing" }, kind: "Runtime.InvalidEntrypoint"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, c.run, func(cfg *Config) {
				cfg.Suppressed = true
				if c.change != nil {
					c.change(cfg)
				}
			})
			// White box: until the environment's goroutine has heard of it.
			for owed := false; !owed; runtime.Gosched() {
				if err := b.env.ask(t.Context(), func() error { owed = b.env.owed != nil; return nil }); err != nil {
					t.Fatal("it did not wait for its invocation")
				}
			}
			if kind, message := errorObject(t, b.mustInvoke(t, "blue", "x")); kind != c.kind {
				t.Errorf("answered %s: %s; want %s", kind, message, c.kind)
			}
			<-b.env.Ended()
		})
	}
}

// TestSuppressedInitThatNobodyComesFor ends an environment that keeps an error for an
// invocation.
func TestSuppressedInitThatNobodyComesFor(t *testing.T) {
	b := start(t, nil, func(c *Config) {
		c.Suppressed = true
		c.Driver.(*scripted).createErr = &sandbox.ProgramError{Path: "/var/task/bootstrap", Err: syscall.ENOENT}
	})
	b.env.Close()
	<-b.env.Ended()
}

func TestSuppressedInitThatWorks(t *testing.T) {
	b := start(t, echo, func(c *Config) { c.Suppressed = true })
	res := b.mustInvoke(t, "blue", "x")
	if string(res.Payload) != "x" || res.Report.Start != alcove.StartCold || res.Report.Init != 0 {
		t.Errorf("%s %+v", res.Payload, res.Report)
	}
}

func TestInitTimeout(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit { <-rt.killed; return sandbox.Exit{} },
		func(c *Config) { c.InitTimeout = 50 * time.Millisecond })
	_, err := b.invoke(t, "blue", "x")
	var ie *InitError
	if !errors.As(err, &ie) || ie.Type != "Sandbox.Timedout" {
		t.Errorf("Invoke = %v, want an Init timeout", err)
	}
	<-b.env.Ended()
}

func TestASandboxThatCannotBeMadeIsThePlatformsFault(t *testing.T) {
	b := start(t, echo, func(c *Config) {
		c.Driver.(*scripted).createErr = errors.New("no cgroup at /sys/fs/secret")
		c.Suppressed = true
	})
	_, err := b.invoke(t, "blue", "x")
	if err == nil || strings.Contains(alcove.AsError(err).Message, "secret") {
		t.Errorf("Invoke = %v", err)
	}
	<-b.env.Ended()
}

func TestIdleEnvironmentIsFrozenAndThawed(t *testing.T) {
	b := start(t, echo, func(c *Config) { c.FreezeAfter = time.Millisecond })
	b.mustInvoke(t, "blue", "1")
	deadline := time.Now().Add(slow.Patience(time.Minute))
	for !b.env.Status().Frozen && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if _, frozen := b.driver.counts(); frozen != 1 {
		t.Fatal("an idle environment was not frozen")
	}
	b.mustInvoke(t, "blue", "2")
	deadline = time.Now().Add(slow.Patience(time.Minute))
	for !b.env.Status().Frozen && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if _, frozen := b.driver.counts(); frozen != 1 {
		t.Fatal("it was not thawed and frozen again")
	}
}

func TestCloseWaitsForTheInvocation(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		id, _, _, _ := rt.next()
		close(began)
		<-release
		rt.post("invocation/"+id+"/response", "done")
		return echo(rt)
	}, nil)
	got := make(chan string, 1)
	go func() {
		res, err := b.invoke(t, "blue", "x")
		if err != nil {
			got <- err.Error()
			return
		}
		got <- string(res.Payload)
	}()
	<-began
	b.env.Close()
	close(release)
	if s := <-got; s != "done" {
		t.Errorf("the invocation under way answered %q", s)
	}
	<-b.env.Ended()
}

func TestInitOutputHasNoTenantAndLaterOutputHas(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		io.WriteString(rt.stdout, "during init\n")
		return echo(rt)
	}, nil)
	select {
	case <-b.freed: // Init is done, nobody has asked yet
	case <-b.env.Ended():
		t.Fatalf("Init failed: %s", b.log)
	}
	b.mustInvoke(t, "blue", "x")
	b.log.mu.Lock()
	defer b.log.mu.Unlock()
	for i, line := range b.log.lines {
		switch {
		case strings.HasPrefix(line, "during init") && b.log.who[i] != "":
			t.Errorf("output of Init is %q's", b.log.who[i])
		case strings.HasPrefix(line, "saw ") && b.log.who[i] != "blue":
			t.Errorf("output of the invocation is %q's", b.log.who[i])
		}
	}
}

func TestARuntimeThatHangsUpOnNextIsGivenUp(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		id, _, _, _ := rt.next()
		rt.post("invocation/"+id+"/response", "1")
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://runtime/2018-06-01/runtime/invocation/next", nil)
		if err != nil {
			panic(err)
		}
		time.AfterFunc(20*time.Millisecond, cancel)
		if resp, err := rt.http.Do(req); err == nil {
			resp.Body.Close()
		}
		<-rt.killed // it lives on, and asks for nothing
		return sandbox.Exit{}
	}, func(c *Config) { c.FreezeAfter, c.SettlePatience = time.Millisecond, 0 })
	b.mustInvoke(t, "blue", "1")
	deadline := time.Now().Add(slow.Patience(time.Minute))
	for b.env.State() != Idle && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	left := make(chan bool, 1)
	for time.Now().Before(deadline) {
		if b.env.send(t.Context(), func() { left <- b.env.State() == Idle && b.env.waiting == nil }) != nil || <-left {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := b.invoke(t, "blue", "2"); !errors.Is(err, ErrNotHandedOver) {
		t.Errorf("Invoke = %v, want ErrNotHandedOver", err)
	}
	<-b.env.Ended()
}

func TestAFloodOfOutputDoesNotOutliveTheDeadline(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		rt.next()
		junk := bytes.Repeat([]byte("flood "), 16<<10)
		for {
			select {
			case <-rt.killed:
				return sandbox.Exit{}
			default:
				if _, err := rt.stdout.Write(junk); err != nil {
					return sandbox.Exit{}
				}
			}
		}
	}, func(c *Config) { timeout(1)(c); c.Stream = discard{} })
	if kind, _ := errorObject(t, b.mustInvoke(t, "blue", "x")); kind != "Sandbox.Timedout" {
		t.Errorf("the flood ended with %s", kind)
	}
	<-b.env.Ended()
}
