package namespace

import (
	"bufio"
	"strings"
	"testing"
)

// Where a template's scout has written, processes have their own copies of the
// template's memory from their start, and elsewhere not; of what the scout has
// written they have nothing.
func TestScout(t *testing.T) {
	s := newSite(t)
	args := []string{"/usr/bin/python3", "-S", "-c", `
import ctypes, mmap, os, socket, struct
PAGES, SIZE = 64, mmap.PAGESIZE
memory = mmap.mmap(-1, PAGES * SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory[:] = b"t" * len(memory)
first = ctypes.addressof(ctypes.c_char.from_buffer(memory)) // SIZE
def rehearse():
    for i in range(0, PAGES, 2):
        memory[i * SIZE] = ord("s")
try: exec(compile(open(4).read(), "template", "exec"), {"rehearse": rehearse})
except OSError: pass
with open("/proc/self/pagemap", "rb", 0) as f:
    f.seek(8 * first)
    entries = struct.unpack("%dQ" % PAGES, f.read(8 * PAGES))
own = "".join(str(e >> 56 & 1) for e in entries)
s = socket.socket(socket.AF_UNIX); s.connect("/run/alcove/runtime.sock")
s.send(b"%b %b\n" % (own.encode(), bytes(set(memory[:])))); s.recv(1)`}
	s.awaitTemplate(args)
	for range 2 {
		spec, l := s.spec(args...)
		spec.Template = true
		b := s.create(spec).(*box)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if forked, why := b.Forked(); !forked {
			t.Errorf("not forked: %s", why)
		}
		if want := strings.Repeat("10", 32) + " t\n"; got != want {
			t.Errorf("own pages and content:\n%swant\n%s", got, want)
		}
		if err := b.Destroy(); err != nil {
			t.Error(err)
		}
		c.Close()
		l.Close()
	}
}

// What a process may write to and shares with nobody but by forks.
func TestPrivateMappings(t *testing.T) {
	got := privateMappings(`00400000-0041f000 r--p 00000000 fe:00 1 /usr/bin/python3.11
00a3b000-00bb1000 rw-p 0053a000 fe:00 1 /usr/bin/python3.11
7f0000000000-7f0000001000 rw-s 00000000 00:01 2 /dev/zero (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
nonsense
`)
	want := []stretch{{0xa3b000, 0xbb1000}, {0x7ffc00000000, 0x7ffc00021000}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%x, want %x", got, want)
	}
}
