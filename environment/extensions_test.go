package environment

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/supervise"
)

// supervisorScript is a supervisor in a script: it tells what it hears, and says what
// it is told to say.
type supervisorScript struct {
	*runtimeClient
	conn  net.Conn
	order supervise.Order
	heard chan string // frames, as a letter and their text
}

func superviseIn(rt *runtimeClient) *supervisorScript {
	c, err := dialIn(context.Background(), rt.sockets, supervise.SocketName)
	if err != nil {
		panic(err)
	}
	s := &supervisorScript{runtimeClient: rt, conn: c, heard: make(chan string, 10000)}
	what, body, err := supervise.ReadFrame(c)
	if err != nil || what != supervise.ToldOrder || json.Unmarshal(body, &s.order) != nil {
		panic(fmt.Sprintf("no order: %c %s %v", what, body, err))
	}
	go func() {
		defer close(s.heard)
		for {
			what, body, err := supervise.ReadFrame(c)
			if err != nil {
				return
			}
			s.heard <- string(rune(what)) + string(body)
		}
	}()
	return s
}

// hears waits for a frame that begins so.
func (s *supervisorScript) hears(prefix string) string {
	for f := range s.heard {
		if strings.HasPrefix(f, prefix) {
			return f
		}
	}
	return ""
}

func (s *supervisorScript) says(what byte, index int32, value uint32) {
	_ = supervise.WriteTold(s.conn, supervise.Told{What: what, Index: index, Value: value})
}

// ask is a request of an extension's.
func (rt *runtimeClient) ask(method, path, body string, header ...string) (status int, answer, id string) {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://runtime"+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error(), ""
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := rt.http.Do(req)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer resp.Body.Close()
	raw, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), resp.Header.Get("Lambda-Extension-Identifier")
}

func (rt *runtimeClient) register(name, events string) (id, answer string) {
	_, answer, id = rt.ask("POST", "/2020-01-01/extension/register", `{"events":[`+events+`]}`, "Lambda-Extension-Name", name)
	return id, answer
}

func (rt *runtimeClient) event(id string) string {
	_, answer, _ := rt.ask("GET", "/2020-01-01/extension/event/next", "", "Lambda-Extension-Identifier", id)
	return answer
}

func (rt *runtimeClient) telemetry(id string) (int, string) {
	status, answer, _ := rt.ask("PUT", "/2022-07-01/telemetry", `{"schemaVersion":"2022-12-13","types":["platform","function","extension"],"destination":{"protocol":"TCP","port":4000}}`,
		"Lambda-Extension-Identifier", id)
	return status, answer
}

const both = `"INVOKE","SHUTDOWN"`

// extended gives an environment extensions.
func extended(names ...string) func(*Config) {
	return func(c *Config) {
		for _, n := range names {
			c.Extensions.Paths = append(c.Extensions.Paths, "/opt/extensions/"+n)
		}
		c.Spec.Args = []string{"/var/task/bootstrap"}
		c.Spec.Env = []string{"A=1", "_HANDLER=x", "AWS_XRAY_CONTEXT_MISSING=LOG_ERROR"}
	}
}

func TestExtensionsLiveWithTheEnvironment(t *testing.T) {
	said, working, back := make(chan string, 100), make(chan struct{}), make(chan struct{})
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		s := superviseIn(rt)
		said <- "order " + strings.Join(append(s.order.Extensions, s.order.ExtensionEnv...), " ") + " then " + strings.Join(s.order.Args, " ")
		one, _ := rt.register("one", both)
		for len(s.heard) > 0 {
			if strings.HasPrefix(<-s.heard, "R") {
				said <- "the runtime was to start too early"
			}
		}
		two, _ := rt.register("two", `"INVOKE"`)
		s.hears("R")
		go echo(rt)
		go func() {
			said <- "two " + rt.event(two)
			working <- struct{}{}
			<-back
			rt.event(two) // which the end of the environment ends: nobody listens any more
		}()
		said <- "one " + rt.event(one)
		ended := make(chan string)
		go func() { ended <- rt.event(one) }()
		said <- s.hears("F")
		said <- s.hears("T")
		s.says(supervise.SaidEnded, supervise.RuntimeIndex, uint32(syscall.SIGTERM))
		said <- "one " + <-ended
		io.WriteString(rt.stderr, "last words\n")
		s.says(supervise.SaidEnded, 0, 0)
		<-rt.killed
		return sandbox.Exit{}
	}, func(c *Config) {
		extended("one", "two")(c)
		c.FreezeAfter = time.Nanosecond
	})
	done := make(chan *alcove.Result, 1)
	go func() { done <- b.mustInvoke(t, "blue", "1") }()
	<-working
	select {
	case <-done:
		t.Error("an answer before the extensions have done")
	default:
	}
	if s := b.env.State(); s != Busy && s != Finishing {
		t.Errorf("state %s", s)
	}
	back <- struct{}{}
	res := <-done
	if string(res.Payload) != "1" {
		t.Errorf("payload %s", res.Payload)
	}
	for b.env.Status().Frozen == false {
		time.Sleep(time.Millisecond)
	}
	b.env.Close()
	<-b.env.Ended()
	close(said)
	var all []string
	for s := range said {
		all = append(all, s)
	}
	slices.SortStableFunc(all[1:3], strings.Compare)
	want := []string{"order /opt/extensions/one /opt/extensions/two A=1 then /var/task/bootstrap", `one {"eventType":"INVOKE"`, `two {"eventType":"INVOKE"`, "F", "T", `one {"eventType":"SHUTDOWN"`}
	if len(all) != len(want) {
		t.Fatalf("it went so: %q", all)
	}
	for i, w := range want {
		if !strings.HasPrefix(all[i], w) || strings.Contains(all[i], "blue") && strings.Contains(all[i], "enant") {
			t.Errorf("step %d is %q, want %q", i, all[i], w)
		}
	}
	if !strings.HasSuffix(strings.TrimSpace(all[5]), `"shutdownReason":"spindown"}`) {
		t.Errorf("the end is %s", all[5])
	}
	if log := b.log.String(); !strings.Contains(log, "EXTENSION\tName: one\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\nEXTENSION\tName: two\tState: Ready\tEvents: [INVOKE]\nSTART") ||
		!strings.Contains(log, "last words\n") {
		t.Errorf("log:\n%s", log)
	}
}

// TestExtensionsThatEnd has an extension end, or hang, in each phase.
func TestExtensionsThatEnd(t *testing.T) {
	ended := func(status uint32) func(s *supervisorScript, id string) {
		return func(s *supervisorScript, _ string) { s.says(supervise.SaidEnded, 0, status<<8) }
	}
	for name, c := range map[string]struct {
		inInit, inInvoke, inIdle func(s *supervisorScript, id string)
		kind, message            string
		hangs                    bool // from the start: its time may be over before it does anything
	}{
		"crash in init":    {inInit: ended(3), kind: "Extension.Crash"},
		"hang in init":     {hangs: true, inInit: func(*supervisorScript, string) {}, kind: "Sandbox.Timedout"},
		"error in init":    {inInit: func(s *supervisorScript, id string) { s.fails("init", id) }, kind: "Extension.InitError"},
		"not to start":     {inInit: func(s *supervisorScript, _ string) { s.says(supervise.SaidNotStarted, 0, uint32(syscall.ENOEXEC)) }, kind: "Extension.LaunchError"},
		"runtime not to":   {inInit: func(s *supervisorScript, _ string) { s.says(supervise.SaidNotStarted, -1, uint32(syscall.ENOENT)) }, kind: "Runtime.InvalidEntrypoint"},
		"crash in invoke":  {inInvoke: ended(4), kind: "Extension.Crash", message: "exit status 4"},
		"exit in invoke":   {inInvoke: ended(0), kind: "Extension.Crash", message: "exit code 0"},
		"error in invoke":  {inInvoke: func(s *supervisorScript, id string) { s.fails("exit", id) }, kind: "Extension.ExitError", message: "Extension.Bad"},
		"hang in invoke":   {inInvoke: func(s *supervisorScript, _ string) { <-s.killed }, kind: "Sandbox.Timedout", message: "Task timed out after 1.00 seconds"},
		"runtime ends":     {inInvoke: func(s *supervisorScript, _ string) { s.says(supervise.SaidEnded, -1, 5<<8) }, kind: "Runtime.ExitError", message: "Runtime exited with error: exit status 5"},
		"crash while idle": {inIdle: ended(6)},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(rt *runtimeClient) sandbox.Exit {
				if c.hangs {
					<-rt.killed
					return sandbox.Exit{}
				}
				s := superviseIn(rt)
				id, _ := rt.register("one", `"INVOKE"`)
				if c.inInit != nil {
					c.inInit(s, id)
					<-rt.killed
					return sandbox.Exit{}
				}
				go echo(rt)
				rt.event(id)
				if c.inInvoke != nil {
					c.inInvoke(s, id)
					<-rt.killed
					return sandbox.Exit{}
				}
				go rt.event(id)
				<-b0
				c.inIdle(s, id)
				<-rt.killed
				return sandbox.Exit{}
			}, func(cfg *Config) {
				extended("one")(cfg)
				if c.kind == timeoutKind {
					timeout(1)(cfg)
				}
				if c.hangs {
					cfg.InitTimeout = 200 * time.Millisecond
				}
			})
			res, err := b.invoke(t, "blue", "1")
			switch {
			case c.inInit != nil:
				if e, ok := err.(*InitError); !ok || e.Type != c.kind {
					t.Errorf("%v, want %s", err, c.kind)
				}
				if !strings.Contains(b.log.String(), "INIT_REPORT") {
					t.Errorf("log:\n%s", b.log)
				}
			case err != nil:
				t.Fatal(err)
			case c.inInvoke != nil:
				if kind, message := errorObject(t, res); kind != c.kind || !strings.Contains(message, c.message) {
					t.Errorf("%s: %s", kind, message)
				}
			default:
				b0 <- struct{}{}
			}
			<-b.env.Ended()
			if strings.Count(b.log.String(), "REPORT RequestId") > 1 {
				t.Errorf("more than one report:\n%s", b.log)
			}
		})
	}
}

var b0 = make(chan struct{}, 1)

func (rt *runtimeClient) fails(phase, id string) {
	rt.ask("POST", "/2020-01-01/extension/"+phase+"/error", "{}", "Lambda-Extension-Identifier", id, "Lambda-Extension-Function-Error-Type", "Extension.Bad")
}

// TestTelemetryIsBounded has a supervisor that does not read while a function writes.
func TestTelemetryIsBounded(t *testing.T) {
	read, got := make(chan struct{}), make(chan string, 1)
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		c, err := dialIn(context.Background(), rt.sockets, supervise.SocketName)
		if err != nil {
			return sandbox.Exit{Code: 1}
		}
		id, _ := rt.register("one", `"SHUTDOWN"`)
		if status, answer := rt.telemetry(id); status != 200 {
			got <- answer
		}
		go rt.event(id)
		ev, _, _, _ := rt.next()
		for range 2000 {
			io.WriteString(rt.stdout, strings.Repeat("x", 999)+"\n")
		}
		rt.post("invocation/"+ev+"/response", "1")
		<-read
		ev, _, _, _ = rt.next()
		var all strings.Builder
		go rt.post("invocation/"+ev+"/response", "2")
		for !strings.Contains(all.String(), "droppedRecords") {
			what, body, err := supervise.ReadFrame(c)
			if err != nil {
				break
			}
			if what == supervise.ToldRecord {
				all.Write(body[2:])
			}
		}
		got <- all.String()
		<-rt.killed
		return sandbox.Exit{}
	}, extended("one"))
	b.mustInvoke(t, "blue", "1")
	b.env.supervisor.mu.Lock()
	if n := len(b.env.supervisor.queue); n > maxQueue+16<<10 {
		t.Errorf("%d bytes wait", n)
	}
	b.env.supervisor.mu.Unlock()
	close(read)
	b.mustInvoke(t, "blue", "2")
	all := <-got
	if !strings.Contains(all, `"type":"platform.logsDropped"`) || !strings.Contains(all, `"type":"platform.start"`) || len(all) > 1<<20 {
		t.Errorf("%d bytes: %.300s", len(all), all)
	}
}

// TestSupervisorThatLies says what cannot be.
func TestSupervisorThatLies(t *testing.T) {
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		s := superviseIn(rt)
		s.says(supervise.SaidEnded, 7, 0)
		s.says(supervise.SaidEnded, -5, 0)
		s.says(supervise.SaidEnded, 1<<30, 0) // one more than there are processes: not heard
		s.says(supervise.SaidEnded, 0, 0)
		s.conn.Write([]byte("garbage beyond what is read"))
		id, _ := rt.register("one", both)
		go rt.event(id)
		return echo(rt)
	}, extended("one"))
	if res := b.mustInvoke(t, "blue", "1"); res.FunctionError != "" {
		// An extension that has ended ends the environment; the lie is the function's own.
		t.Logf("the lie was believed: %s", res.Payload)
	}
	b.env.Kill()
	<-b.env.Ended()
}

// TestInternalExtension is one of the runtime's own, without a supervisor.
func TestInternalExtension(t *testing.T) {
	said := make(chan string, 100)
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		_, answer := rt.register("in", both)
		said <- answer
		id, answer := rt.register("in", `"INVOKE"`)
		said <- answer
		_, answer = rt.register("in", `"INVOKE"`)
		said <- answer
		_, answer = rt.telemetry(id)
		said <- answer
		for i := range 11 {
			other, answer := rt.register(strings.Repeat("n", i+1), "")
			if other == "" {
				said <- answer
				break
			}
			go rt.event(other)
		}
		events := make(chan string)
		go func() {
			for {
				events <- rt.event(id)
			}
		}()
		ev, _, _, _ := rt.next()
		said <- <-events
		_, answer = rt.register("late", "")
		said <- answer
		rt.post("invocation/"+ev+"/response", "1")
		<-rt.killed
		return sandbox.Exit{}
	}, nil)
	b.mustInvoke(t, "blue", "1")
	for _, want := range []string{
		`{"errorMessage":"SHUTDOWN: ErrorInvalidEventType","errorType":"Extension.InvalidEventType"}`,
		`{"functionName":"f","functionVersion":"$LATEST","handler":""}`,
		`{"errorMessage":"Extension with this name already registered","errorType":"Extension.InvalidExtensionState"}`,
		`{"errorMessage":"Telemetry API is not supported","errorType":"Telemetry.NotSupported"}`,
		`{"errorMessage":"Extension limit (10) reached","errorType":"Extension.TooManyExtensions"}`,
		`{"eventType":"INVOKE"`,
		`{"errorMessage":"Extension registration closed already","errorType":"Extension.RegistrationClosed"}`,
	} {
		if got := <-said; !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestLinger has environments end for which there is no time, and then again some.
func TestLinger(t *testing.T) {
	room := NewLinger(40 << 20) // one has 30 MB
	told := make(chan string, 3)
	begin := func(hold <-chan struct{}) *bench {
		b := start(t, func(rt *runtimeClient) sandbox.Exit {
			s := superviseIn(rt)
			id, _ := rt.register("one", `"SHUTDOWN"`)
			go echo(rt)
			go func() {
				ev := rt.event(id)
				if !strings.Contains(ev, "SHUTDOWN") {
					return // killed
				}
				told <- ev
				<-hold
				s.says(supervise.SaidEnded, 0, 0)
			}()
			s.hears("T")
			s.says(supervise.SaidEnded, supervise.RuntimeIndex, 0)
			<-rt.killed
			return sandbox.Exit{}
		}, func(c *Config) { extended("one")(c); c.Linger = room })
		b.mustInvoke(t, "blue", "1")
		return b
	}
	hold := make(chan struct{})
	first, second, third := begin(hold), begin(hold), begin(hold)
	first.env.Close()
	<-told
	second.env.Close() // at once: there is no room
	<-second.env.Ended()
	if len(told) != 0 {
		t.Error("an environment without room for it was told of its end")
	}
	room.Free()
	third.env.Close()
	<-told
	close(hold)
	<-first.env.Ended()
	<-third.env.Ended()
	if room.left != 40<<20 {
		t.Errorf("%d bytes are left", room.left)
	}
}

// TestKillWaitsForNobody ends an environment that has begun to end by itself.
func TestKillWaitsForNobody(t *testing.T) {
	told := make(chan struct{})
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		s := superviseIn(rt)
		id, _ := rt.register("one", both)
		go echo(rt)
		go func() {
			for rt.event(id) != "" {
			}
		}()
		s.hears("T")
		close(told)
		<-rt.killed
		return sandbox.Exit{}
	}, extended("one"))
	b.mustInvoke(t, "blue", "1")
	b.env.Close()
	<-told
	b.env.Kill()
	<-b.env.Ended()
	if b.env.stopping.told {
		t.Error("it went on to tell its extensions")
	}
}
