package environment

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove/sandbox"
)

// Whatever is paid and whenever, nothing beyond a bucket and what the time
// brings gets through without owing, and what is owed is paid off in time.
func TestMeterKeepsItsRates(t *testing.T) {
	synctest.Test(t, func(st *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			began := time.Now()
			m := newMeter(began)
			var work, size float64
			for range rapid.IntRange(1, 200).Draw(t, "steps") {
				time.Sleep(time.Duration(rapid.IntRange(0, 20).Draw(t, "gap")) * time.Millisecond)
				if m.owes(0) {
					time.Sleep(m.pause())
					if m.owes(0.001) {
						t.Fatalf("after its pause the meter owes %v and %v", m.work, m.bytes)
					}
				}
				w, b := rapid.IntRange(1, 4097).Draw(t, "work"), rapid.IntRange(0, 1<<20).Draw(t, "bytes")
				m.pay(w, b)
				work, size = work+float64(w), size+float64(b)
			}
			// A bucket that was full when nobody looked may be filled once more.
			passed := time.Since(began).Seconds()
			if most := 2*workBurst + passed*workRate + 4097; work > most {
				t.Fatalf("%v of work in %v s, at most %v", work, passed, most)
			}
			if most := 2*byteBurst + passed*byteRate + (1 << 20); size > most {
				t.Fatalf("%v bytes in %v s, at most %v", size, passed, most)
			}
		})
	})
}

// A function that writes more lines than it may gets its answer, and its log
// says how many are missing; the next environment's log is whole.
func TestAFloodBeforeAnAnswerIsCountedNotStored(t *testing.T) {
	const lines = 3 * workBurst
	flood := func(rt *runtimeClient) sandbox.Exit {
		for {
			id, _, event, ok := rt.next()
			if !ok {
				return sandbox.Exit{}
			}
			junk := bytes.Repeat([]byte("\n"), lines) // no more than a pipe holds
			if string(event) == "quiet" {
				junk = []byte("all of it\n")
			}
			if _, err := rt.stdout.Write(junk); err != nil {
				return sandbox.Exit{}
			}
			rt.post("invocation/"+id+"/response", "{}")
		}
	}
	b := start(t, flood, nil)
	b.mustInvoke(t, "blue", "x")
	var missing, size int
	kept := 0
	b.log.mu.Lock()
	for i, line := range b.log.lines {
		if line == "\n" {
			kept++
		}
		if _, err := fmt.Sscanf(line, "LOGS_DROPPED Records: %d\tBytes: %d", &missing, &size); err == nil && !strings.HasPrefix(b.log.lines[i+1], "END ") {
			t.Errorf("after what is missing comes %q", b.log.lines[i+1])
		}
	}
	b.log.mu.Unlock()
	if missing == 0 || kept+missing != lines || size != missing {
		t.Errorf("%d lines are stored and %d, of %d bytes, missing; %d were written", kept, missing, size, lines)
	}
	other := start(t, flood, nil)
	other.mustInvoke(t, "green", "quiet")
	if log := other.log.String(); !strings.Contains(log, "all of it\n") || strings.Contains(log, "LOGS_DROPPED") {
		t.Errorf("the log of one who wrote little: %s", log)
	}
}

// A function that writes without end is held up in its writes: nothing is lost,
// and no more is read than it may write.
func TestAFloodIsHeldUp(t *testing.T) {
	began := time.Now()
	b := start(t, func(rt *runtimeClient) sandbox.Exit {
		rt.next()
		for {
			if _, err := io.WriteString(rt.stdout, strings.Repeat("\n", 512)); err != nil {
				return sandbox.Exit{}
			}
		}
	}, timeout(1))
	if kind, _ := errorObject(t, b.mustInvoke(t, "blue", "x")); kind != "Sandbox.Timedout" {
		t.Errorf("the flood ended with %s", kind)
	}
	most := 2*workBurst + (debt+time.Since(began).Seconds())*workRate
	if kept := strings.Count(b.log.String(), "\n"); float64(kept) > most+100 {
		t.Errorf("%d lines were read, at most %v may be", kept, most)
	}
}
