package namespace

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/internal/slow"
)

// A template that cannot be one is told, and sandboxes are started without it.
func TestNoTemplate(t *testing.T) {
	for name, c := range map[string]struct{ program, want string }{
		"it ends":        {"import os\ntry: os.fstat(4)\nexcept OSError: pass\nelse: raise SystemExit('not today')\n", "not today"},
		"it hangs up":    {"import os\ntry: os.fstat(4)\nexcept OSError: pass\nelse: os.close(3); os._exit(0)\n", "it ended"},
		"not its python": {"import os, sys\ntry: os.fstat(4)\nexcept OSError: pass\nelse: sys.modules['ctypes'] = None; exec(open(4).read(), {})\n", "ctypes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			why := ""
			err := eventually(t.Context(), slow.Patience(time.Minute), func() (bool, error) {
				spec, l := s.spec("/usr/bin/python3", "-S", "-c", c.program+pythonClient)
				defer l.Close()
				spec.Template = true
				b := s.create(spec).(*box)
				if _, err := l.Accept(); err != nil { // it runs all the same
					return false, err
				}
				_, why = b.Forked()
				return !strings.Contains(why, "being started"), b.Destroy()
			})
			if err != nil || !strings.Contains(why, c.want) {
				t.Errorf("not forked because of %q: %v", why, err)
			}
		})
	}
}

// One template's sandboxes are few, and the next has other secrets.
func TestTemplatesAreReplaced(t *testing.T) {
	s := newSite(t)
	args := []string{"/usr/bin/python3", "-S", "-c", `
import os, socket
try: exec(compile(open(4).read(), "template", "exec"), {})
except OSError: pass
s = socket.socket(socket.AF_UNIX); s.connect("/run/alcove/runtime.sock"); s.send(b"%d\n" % hash("seed")); s.recv(1)`}
	s.awaitTemplate(args)
	seeds := map[string]int{}
	for range templateForks + 8 {
		spec, l := s.spec(args...)
		spec.Template = true
		b := s.create(spec).(*box)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		seed, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if forked, why := b.Forked(); forked {
			seeds[seed]++
		} else {
			t.Log("not forked:", why)
		}
		if err := b.Destroy(); err != nil {
			t.Error(err)
		}
		c.Close()
		l.Close()
	}
	if len(seeds) < 2 {
		t.Errorf("all have one seed: %v", seeds)
	}
	for seed, n := range seeds {
		if n > templateForks {
			t.Errorf("%d sandboxes have the seed %s", n, seed)
		}
	}
}
