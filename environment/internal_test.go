package environment

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/supervise"
)

// TestInternalExtensionBeginsAgain: where there is no supervisor, the first internal
// extension ends the environment before it has done anything, and its version is known.
func TestInternalExtensionBeginsAgain(t *testing.T) {
	var f Factory
	inited := make(chan error, 1)
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		rt.register("in", `"INVOKE"`) // whose answer its end may outrun
		<-rt.killed
		return sandbox.Exit{}
	}, func(c *Config) {
		c.OnInternal, c.OnInit = f.internals.learn, func(err error) { inited <- err }
	})
	if err := <-inited; !errors.Is(err, ErrNotHandedOver) {
		t.Errorf("Init ended with %v", err)
	}
	<-b.env.Ended()
	v := b.env.Version()
	next := *v
	next.Generation++
	if !f.internals.has(v) || f.internals.has(&next) {
		t.Error("what was learned is not of this version alone")
	}
	if extended, err := f.extended(v); !extended || err != nil {
		t.Errorf("it may be made of a blank one: %v", err)
	}
	for i := range maxInternals + 10 {
		other := *v
		other.Generation = int64(i + 100)
		f.internals.learn(&other)
	}
	if len(f.internals.known) != maxInternals {
		t.Errorf("%d are known", len(f.internals.known))
	}
}

// TestInternalExtensionUnderASupervisor gets telemetry, and its runtime SIGTERM, as the
// half of a second that there is without external extensions begins; nothing is told
// of SHUTDOWN.
func TestInternalExtensionUnderASupervisor(t *testing.T) {
	said := make(chan string, 10)
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		s := superviseIn(rt)
		said <- s.hears("R")
		id, _ := rt.register("in", `"INVOKE"`)
		_, answer := rt.telemetry(id)
		said <- answer
		go echo(rt)
		go func() {
			for ev := rt.event(id); ev != ""; ev = rt.event(id) {
				if strings.Contains(ev, "SHUTDOWN") {
					said <- ev
				}
			}
		}()
		s.hears("S")
		said <- s.hears("T")
		s.says(supervise.SaidEnded, supervise.RuntimeIndex, 0)
		<-rt.killed
		return sandbox.Exit{}
	}, func(c *Config) { c.Extensions.Supervisor.Dir = "/anywhere" })
	b.mustInvoke(t, "blue", "1")
	b.env.Close()
	<-b.env.Ended()
	if left := time.Until(b.env.stopping.deadline); left > stopInternal {
		t.Errorf("it had %s more", left)
	}
	close(said)
	var got []string
	for s := range said {
		got = append(got, s)
	}
	if want := []string{"R", `"OK"`, "T"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}

// TestRuntimeDoneOfAHeldUpAnswer: with extensions, runtimeDone is written when the
// runtime is back, and says how long that took; and once in any case.
func TestRuntimeDoneOfAHeldUpAnswer(t *testing.T) {
	for _, comesBack := range []bool{true, false} {
		back, done := make(chan struct{}), make(chan struct{})
		b := start(t, func(rt *runtimeClient) sandbox.Exit {
			s := superviseIn(rt)
			s.hears("R")
			id, _ := rt.register("in", `"INVOKE"`)
			rt.telemetry(id)
			go func() {
				rt.event(id)
				if comesBack {
					<-back
				} else {
					<-done
				}
				rt.event(id)
			}()
			ev, _, _, _ := rt.next()
			rt.post("invocation/"+ev+"/response", "1")
			if comesBack {
				go rt.next()
				for !strings.Contains(s.hears("D"), "platform.runtimeDone") {
				}
				close(back)
			} else {
				close(done)
				<-rt.killed
				return sandbox.Exit{}
			}
			<-rt.killed
			return sandbox.Exit{}
		}, func(c *Config) {
			c.Extensions.Supervisor.Dir = "/anywhere"
			v := *c.Version
			v.Config.Logging.Format, v.Config.Logging.SystemLevel = "JSON", "DEBUG"
			c.Version = &v
		})
		b.mustInvoke(t, "blue", "1")
		b.env.Kill()
		<-b.env.Ended()
		log := b.log.String()
		overhead, ends := strings.Contains(log, `"name":"runtimeOverhead"`), strings.Count(log, `"platform.runtimeDone"`)
		if overhead != comesBack || ends != 1 || strings.Index(log, `"platform.runtimeDone"`) > strings.Index(log, `"platform.report"`) || !strings.Contains(log, "extensionOverhead") {
			t.Errorf("back %v: overhead %v, %d times:\n%s", comesBack, overhead, ends, log)
		}
	}
}
