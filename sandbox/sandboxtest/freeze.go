package sandboxtest

import (
	"fmt"
	"io"
	"maps"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// counting makes two processes send bytes for ever, each through a connection
// of its own.
const counting = `
import threading, time
def count(name):
    f = dial(name)
    while True:
        f.write(b'.')
        f.flush()
        time.sleep(0.001)
if os.fork() == 0:
    count('child')
threading.Thread(target=count, args=('parent',), daemon=True).start()
`

// counter counts what a peer sends.
type counter struct{ n atomic.Int64 }

func count(p *peer) *counter {
	c := &counter{}
	go func() {
		_, _ = io.Copy(c, p.r) // ends with the connection
	}()
	return c
}

func (c *counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

func (s *suite) freeze(t *testing.T) {
	s.run(t, "stops", s.freezeStops)
	s.run(t, "exited", s.freezeExited)
}

func (s *suite) freezeStops(t *T) {
	b, p := s.agent(t)
	p.eval(t, counting, nil)
	counters := map[string]*counter{"first process": count(b.wait(t, "parent")), "its child": count(b.wait(t, "child"))}
	for round := range 3 {
		for name, c := range counters {
			was := c.n.Load()
			await(t, name+" to go on", func() bool { return c.n.Load() > was+5 })
		}
		began := time.Now()
		if err := b.Freeze(); err != nil {
			t.Fatalf("Freeze: %v", err)
		}
		took := time.Since(began)
		if err := b.Freeze(); err != nil {
			t.Errorf("Freeze, again: %v", err)
		}
		// What was sent before may still be on its way to us, the longer the
		// busier this machine is; who is frozen sends no more at some point.
		var one sandbox.Usage
		stood := func() map[string]int64 {
			now := make(map[string]int64)
			for name, c := range counters {
				now[name] = c.n.Load()
			}
			return now
		}
		await(t, fmt.Sprintf("round %d: everybody to stand still", round), func() bool {
			was := stood()
			var err error
			if one, err = b.Usage(); err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond) // a hundred turns of each counter
			return maps.Equal(was, stood())
		})
		if two, err := b.Usage(); err != nil || two.CPU-one.CPU > int64(10*time.Millisecond) {
			t.Errorf("round %d: frozen, it used %v, %v", round, time.Duration(two.CPU-one.CPU), err)
		}
		began = time.Now()
		for range 2 {
			if err := b.Thaw(); err != nil {
				t.Fatalf("Thaw: %v", err)
			}
		}
		t.Logf("froze in %v, thawed twice in %v", took, time.Since(began))
	}
	if got := p.str(t, "r = 'alive'"); got != "alive" {
		t.Errorf("got %q", got)
	}
	// A frozen sandbox does not even end by a signal to its processes; Destroy
	// ends it, which create's clean-up checks.
	if err := b.Freeze(); err != nil {
		t.Error(err)
	}
	if err := b.Destroy(); err != nil {
		t.Errorf("Destroy while frozen: %v", err)
	}
	if err := p.SetReadDeadline(time.Now().Add(t.patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("after Destroy: %v", err)
	}
}

// Freezing what has ended by itself does no harm and does not hang.
func (s *suite) freezeExited(t *T) {
	b := s.start(t, sh("exit 4"))
	b.exit(t)
	_ = b.Freeze()
	_ = b.Thaw()
	if e := b.Exit(); e.Code != 4 {
		t.Errorf("ended with %+v", e)
	}
	if err := b.Freeze(); err == nil {
		if err := b.Destroy(); err != nil {
			t.Error(err)
		}
	}
}
