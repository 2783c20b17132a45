package sandboxtest

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// limits is what a sandbox may take, and that what one takes is not the
// others' loss.
func (s *suite) limits(t *testing.T) {
	s.run(t, "memory", s.memory)
	s.run(t, "memory_of_children", s.memoryOfChildren)
	s.run(t, "memory_of_sockets", s.memoryOfSockets)
	s.run(t, "memory_usable", s.memoryUsable)
	s.run(t, "tmp", func(t *T) { s.fileSystem(t, "/tmp", 24<<20) })
	s.run(t, "shm", func(t *T) { s.fileSystem(t, "/dev/shm", 12<<20) })
	s.run(t, "tmp_is_not_memory", s.tmpIsNotMemory)
	s.run(t, "shm_is_not_memory", s.shmIsNotMemory)
	s.run(t, "tmp_runs_programs", s.tmpRunsPrograms)
	s.run(t, "processes", s.processes)
	s.run(t, "threads", s.threads)
	s.run(t, "fork_bomb", s.forkBomb)
	s.run(t, "open_files", s.openFiles)
	s.run(t, "cpu", s.cpuShare)
}

// memoryOfSockets: what is sent and not read counts as memory.
func (s *suite) memoryOfSockets(t *T) {
	const memory = 128 << 20
	const most = 4 * memory // a sandbox may need something itself
	b := s.start(t, py(fmt.Sprintf(`
import os, socket
l = socket.socket()
l.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
l.bind(('127.0.0.1', 0))
l.listen()
keep, sent = [], 0
for i in range(100):
    s = socket.create_connection(l.getsockname())
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
    s.setblocking(False)
    keep.append((s, l.accept()))
    try:
        while sent < %d: sent += s.send(bytes(65536))
    except BlockingIOError: pass
os._exit(3 if sent >= %d else 0)
`, most, most)), limit(func(l *sandbox.Limits) { l.Memory = memory }))
	if e := b.exit(t); e.Code == 3 {
		t.Errorf("with %d bytes of memory it has sent %d that nobody reads", memory, most)
	}
}

// eat takes memory until it is ended, with pages that are really there.
const eat = `
keep = []
for i in range(64):
    keep.append(b'\xa5' * (16 << 20))
`

func (s *suite) memory(t *T) {
	other, p := s.agent(t)
	b := s.start(t, py(eat), limit(func(l *sandbox.Limits) { l.Memory = 128 << 20 }))
	e := b.exit(t)
	if !e.OOM || e.Err != nil {
		t.Errorf("beyond its memory it ended with %+v; stderr %q", e, b.stderr)
	}
	if e.Code == 0 && e.Signal == 0 {
		t.Errorf("beyond its memory it ended well: %+v", e)
	}
	if e.Signal != 0 && e.Signal != syscall.SIGKILL {
		t.Errorf("beyond its memory it ended by %v", e.Signal)
	}
	if err := b.Destroy(); err != nil {
		t.Error(err)
	}
	if got := p.str(t, "r = 'alive'"); got != "alive" {
		t.Errorf("another sandbox: %q", got)
	}
	select {
	case <-other.Done():
		t.Errorf("another sandbox ended with it: %+v", other.Exit())
	default:
	}
	// A plain kill is not taken for it.
	k := s.start(t, py("import os; os.kill(os.getpid(), 9)"))
	if e := k.exit(t); e.OOM {
		t.Errorf("killed by itself, it ended with %+v", e)
	}
}

// What many processes take together counts, and a child that takes too much
// does not take the sandbox's word with it.
func (s *suite) memoryOfChildren(t *T) {
	b := s.start(t, py(`
import os, time
for i in range(16):
    if os.fork() == 0:
        keep = b'\xa5' * (32 << 20)
        time.sleep(1000)
time.sleep(1000)`), limit(func(l *sandbox.Limits) { l.Memory = 128 << 20 }))
	// The sandbox as a whole ends, or single children do; either way it stays
	// below what it may take.
	end := time.Now().Add(3 * time.Second)
	for time.Now().Before(end) {
		u, err := b.Usage()
		if err == nil && u.Memory > (128+256)<<20 {
			t.Errorf("it uses %d MB of 128 and the sandbox's own needs", u.Memory>>20)
			break
		}
		select {
		case <-b.Done():
			if e := b.Exit(); !e.OOM {
				t.Errorf("ended with %+v", e)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
	u, err := b.Usage()
	t.Logf("after 3 s: %+v, %v", u, err)
}

func (s *suite) memoryUsable(t *T) {
	got := s.output(t, py("x = b'\\xa5' * (96 << 20); print(len(x))"), limit(func(l *sandbox.Limits) { l.Memory = 128 << 20 }))
	if got != "100663296\n" {
		t.Errorf("96 MB of 128: %q", got)
	}
}

// fileSystem fills dir: it has the size asked for, and says so.
func (s *suite) fileSystem(t *T, dir string, size int64) {
	_, p := s.agent(t, limit(func(l *sandbox.Limits) {
		if dir == "/tmp" {
			l.Tmp = size
		} else {
			l.Shm = size
		}
	}))
	var r struct {
		Written int64
		How     string
		Size    int64
		Again   string
	}
	p.eval(t, fmt.Sprintf(`
st = os.statvfs(%[1]q)
r = {'size': st.f_blocks * st.f_frsize, 'written': 0, 'how': ''}
fd = os.open(%[1]q + '/big', os.O_CREAT | os.O_WRONLY)
block = b'x' * 65536
try:
    while r['written'] < 200 << 20:
        r['written'] += os.write(fd, block)
except OSError as e:
    r['how'] = errno.errorcode[e.errno]
os.close(fd)
os.unlink(%[1]q + '/big')
r['again'] = attempt(lambda: open(%[1]q + '/small', 'wb').write(block)) or ''
`, dir), &r)
	if r.How != "ENOSPC" || r.Written > size || r.Written < size-(1<<20) {
		t.Errorf("after %d of %d bytes: %q", r.Written, size, r.How)
	}
	if r.Size != size {
		t.Errorf("it says that it has %d bytes, not %d", r.Size, size)
	}
	if r.Again != "" {
		t.Errorf("emptied, it takes no more: %s", r.Again)
	}
}

const fill = `
block = os.urandom(1 << 20)
with open(%q, 'wb') as f:
    for i in range(%d):
        f.write(block)
r = 'fine'`

func (s *suite) tmpIsNotMemory(t *T) {
	for _, f := range s.driver.Findings() {
		if f.Name == "/tmp" && f.State != sandbox.OK {
			t.Fatalf("/tmp is not on the disk here: %s. %s", f.Detail, f.Fix)
		}
	}
	b, p := s.agent(t, limit(func(l *sandbox.Limits) { l.Memory, l.Tmp = 128<<20, 512<<20 }))
	if got := p.str(t, fmt.Sprintf(fill, "/tmp/big", 300)); got != "fine" {
		t.Errorf("got %q", got)
	}
	if meter, ok := s.driver.(sandbox.DiskMeter); ok {
		if n := meter.DiskUse()[b.ID()]; n < 290<<20 || n > 360<<20 {
			t.Errorf("with 300 MB in /tmp it is said to hold %d bytes of the disk", n)
		}
	}
	// And what is left of its memory is all there.
	if got := p.str(t, "x = b'\\xa5' * (64 << 20); r = str(len(x)); del x"); got != "67108864" {
		t.Errorf("got %q", got)
	}
}

func (s *suite) shmIsNotMemory(t *T) {
	_, p := s.agent(t, limit(func(l *sandbox.Limits) { l.Memory, l.Shm = 128<<20, 128<<20 }))
	if got := p.str(t, fmt.Sprintf(fill, "/dev/shm/big", 120)); got != "fine" {
		t.Errorf("got %q", got)
	}
	if got := p.str(t, "x = b'\\xa5' * (64 << 20); r = str(len(x)); del x"); got != "67108864" {
		t.Errorf("got %q", got)
	}
}

// Functions unpack programs to /tmp and start them; on AWS they can.
func (s *suite) tmpRunsPrograms(t *T) {
	if got := s.output(t, sh("cp /usr/bin/env /tmp/prog && chmod 755 /tmp/prog && /tmp/prog -i /bin/sh -c 'echo ran'")); got != "ran\n" {
		t.Errorf("got %q", got)
	}
}

const bound = 48

// processes has memory to spare: where a sandbox has a kernel of its own, each
// child may be a whole copy of its parent.
func (s *suite) processes(t *T) {
	_, p := s.agent(t, limit(func(l *sandbox.Limits) { l.Processes, l.Memory = bound, 512<<20 }))
	var r struct {
		N   int
		How string
	}
	p.eval(t, `
pids, how = [], ''
try:
    while len(pids) < 2000:
        pid = os.fork()
        if pid == 0:
            import time
            while True: time.sleep(1000)
        pids.append(pid)
except OSError as e:
    how = errno.errorcode[e.errno]
for pid in pids:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
r = {'n': len(pids), 'how': how}`, &r)
	if r.How != "EAGAIN" || r.N > bound || r.N < bound/2 {
		t.Errorf("bound to %d, it started %d processes: %q", bound, r.N, r.How)
	}
	if got := p.str(t, "import subprocess; r = subprocess.check_output(['/bin/echo', 'again']).decode()"); got != "again\n" {
		t.Errorf("afterwards: %q", got)
	}
}

func (s *suite) threads(t *T) {
	_, p := s.agent(t, limit(func(l *sandbox.Limits) { l.Processes = bound }))
	var r struct {
		N   int
		How string
	}
	p.eval(t, `
import threading
stop, started, how = threading.Event(), [], ''
threading.stack_size(65536)
try:
    while len(started) < 2000:
        th = threading.Thread(target=stop.wait, daemon=True)
        th.start()
        started.append(th)
except RuntimeError as e:
    how = str(e)
stop.set()
for th in started: th.join()
r = {'n': len(started), 'how': how}`, &r)
	if r.How == "" || r.N > bound || r.N < bound/2 {
		t.Errorf("bound to %d, it started %d threads: %q", bound, r.N, r.How)
	}
}

func (s *suite) forkBomb(t *T) {
	_, other := s.agent(t)
	b, p := s.agent(t, limit(func(l *sandbox.Limits) { l.Processes = bound }))
	p.eval(t, `
import subprocess, time
bomb = subprocess.Popen([sys.executable, '-S', '-c', """
import os, time
while True:
    try: os.fork()
    except OSError: time.sleep(0.001)
"""], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)`, nil)
	// It is at its bound as soon as a fork fails.
	await(t, "the bomb to fill its bound", func() bool {
		return p.try(t, "time.sleep(0.01)\npid = os.fork()\nif pid == 0: os._exit(0)\nos.waitpid(pid, 0)", nil) != ""
	})
	if got := other.str(t, "import subprocess; r = subprocess.check_output(['/bin/echo', 'alive']).decode()"); got != "alive\n" {
		t.Errorf("another sandbox: %q", got)
	}
	if s.o.SharesKernel {
		if n := len(hostProcesses(b.spec.ID)); n > bound+8 {
			t.Errorf("bound to %d, it has %d processes on the host", bound, n)
		}
	}
	if err := b.Destroy(); err != nil {
		t.Error(err)
	}
}

func (s *suite) openFiles(t *T) {
	_, p := s.agent(t)
	var r struct {
		N      int
		How    string
		Limits []int64
	}
	p.eval(t, `
import resource
fds, how = [], ''
try:
    while len(fds) < 5000: fds.append(os.open('/dev/null', os.O_RDONLY))
except OSError as e:
    how = errno.errorcode[e.errno]
for fd in fds: os.close(fd)
r = {'n': len(fds), 'how': how, 'limits': resource.getrlimit(resource.RLIMIT_NOFILE)}`, &r)
	if r.How != "EMFILE" || r.N > 1024 || r.N < 1000 || fmt.Sprint(r.Limits) != "[1024 1024]" {
		t.Errorf("%+v", r)
	}
}

// cpuShare looks for the weight and the bound on the host: what they do shows
// only when processors are short.
func (s *suite) cpuShare(t *T) {
	shares := make(map[float64]float64)
	for _, cpu := range []float64{0.25, 1, 2} {
		b := s.start(t, limit(func(l *sandbox.Limits) { l.CPU = cpu }))
		b.wait(t, "agent")
		share, quota, err := cpuOf(b.spec.ID)
		if err != nil {
			t.Fatal(err)
		}
		shares[cpu] = share
		if want := math.Max(1, cpu); math.Abs(quota-want) > 0.05 {
			t.Errorf("with a share of %v it may use %v processors, want %v", cpu, quota, want)
		}
		checkWeigh(t, b, share, quota)
	}
	for _, cpu := range []float64{0.25, 2} {
		if r := shares[cpu] / shares[1]; math.Abs(r/cpu-1) > 0.2 {
			t.Errorf("a share of %v weighs %v times what one of 1 does", cpu, r)
		}
	}
}

// checkWeigh has a sandbox of this share and bound count for less, and for as much again.
func checkWeigh(t *T, b *box, share, quota float64) {
	w, ok := b.Sandbox.(sandbox.Weigher)
	if !ok {
		t.Error("it cannot be made to count for less")
		return
	}
	for _, parts := range []int{8, 1} {
		if err := w.Weigh(parts); err != nil {
			t.Errorf("one in %d parts: %v", parts, err)
		}
		is, bound, err := cpuOf(b.spec.ID)
		// Version 2 has whole numbers from 1 on, of which one processor is 100.
		if want := max(1, math.Floor(share/float64(parts))); err != nil || math.Abs(is-want) > 1 || bound != quota {
			t.Errorf("one in %d parts of %v weighs %v and may use %v processors, %v", parts, share, is, bound, err)
		}
	}
}

// cpuOf reads weight and bound (in processors, 0 if there is none) of the
// cgroup with this name.
func cpuOf(id string) (weight, quota float64, err error) {
	for _, dir := range cgroupsOf(id) {
		number := func(file string, field int) float64 {
			raw, rerr := os.ReadFile(filepath.Join(dir, file))
			if rerr != nil {
				return 0
			}
			fields := strings.Fields(string(raw))
			if field >= len(fields) {
				return 0
			}
			n, _ := strconv.ParseFloat(fields[field], 64) // "max" is no bound: 0
			return n
		}
		if w := number("cpu.shares", 0); w > 0 { // v1
			weight = w
			if q := number("cpu.cfs_quota_us", 0); q > 0 {
				quota = q / number("cpu.cfs_period_us", 0)
			}
		}
		if w := number("cpu.weight", 0); w > 0 { // v2
			weight = w
			if q := number("cpu.max", 0); q > 0 {
				quota = q / number("cpu.max", 1)
			}
		}
	}
	if weight == 0 {
		return 0, 0, errors.New("no cgroup of the sandbox has a processor share")
	}
	return weight, quota, nil
}
