package gvisor

import (
	"bufio"
	"os"
	"testing"
	"time"
)

// TestFreezeAndGoOn freezes a sandbox many times between requests, as a warm
// environment is, and has it take memory, files and processes each time: what
// the sentry asks of its stub processes then must survive the freezer.
func TestFreezeAndGoOn(t *testing.T) {
	d, root := newDriver(t), pythonRoot(t)
	spec := newSpec(t, root)
	spec.Args = []string{"/usr/bin/python3", "-u", "-c", `
import mmap, os, socket, subprocess, threading
c = socket.socket(socket.AF_UNIX)
c.connect('/run/alcove/runtime.sock')
kept = []
while True:
    n = c.recv(1)
    if not n: break
    kept.append(mmap.mmap(-1, 1 << 20))
    kept[-1][:] = n * (1 << 20)
    if len(kept) > 16: kept.pop(0).close()
    if os.fork() == 0:
        x = bytearray(1 << 20)
        os._exit(0)
    os.wait()
    t = threading.Thread(target=bytearray, args=(1 << 20,))
    t.start()
    t.join()
    with open('/tmp/f', 'wb') as f: f.write(x := bytes(100000))
    c.send(n)
`}
	l := listen(t, spec)
	spec.Stderr = os.Stderr
	s, err := d.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for i := range 60 {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte{byte(i)}); err != nil {
			t.Fatalf("after %d freezes: %v; %+v", i, err, s.Exit())
		}
		// Every third time while it works.
		if i%3 != 0 {
			if b, err := r.ReadByte(); err != nil || b != byte(i) {
				t.Fatalf("after %d freezes: %d, %v; %+v", i, b, err, s.Exit())
			}
		}
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := s.Thaw(); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if b, err := r.ReadByte(); err != nil || b != byte(i) {
				t.Fatalf("frozen at work, after %d freezes: %d, %v; %+v", i, b, err, s.Exit())
			}
		}
	}
	if err := s.Destroy(); err != nil {
		t.Error(err)
	}
}
