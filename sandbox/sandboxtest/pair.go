package sandboxtest

import (
	"bufio"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// leaveTraces makes one of everything that another sandbox might see.
const leaveTraces = `
import ctypes, mmap, struct, subprocess, threading
mark = %q
libc = ctypes.CDLL(None, use_errno=True)
os.environ['MARK'] = mark
libc.setenv(b'MARK', mark.encode(), 1)
for d in ('/tmp', '/dev/shm'):
    with open(d + '/' + mark, 'w') as f: f.write(mark)
    os.chmod(d + '/' + mark, 0o777)
left = ['files']
abstract = socket.socket(socket.AF_UNIX); abstract.bind('\0' + mark); abstract.listen(); left.append('abstract')
path = socket.socket(socket.AF_UNIX); path.bind('/tmp/sock-' + mark); path.listen(); left.append('path')
tcp = socket.socket(); tcp.bind(('127.0.0.1', %d)); tcp.listen(); left.append('tcp')
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(('127.0.0.1', %d)); left.append('udp')
shm = libc.shmget(%d, 4096, 0o1666)
if shm >= 0:
    left.append('sysv shm')
    libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(shm, None, 0)
    ctypes.memmove(at, mark.encode(), len(mark))
if libc.semget(%d, 1, 0o1666) >= 0: left.append('sysv sem')
if libc.msgget(%d, 0o1666) >= 0: left.append('sysv msg')
libc.mq_open.restype = ctypes.c_int
if libc.mq_open(('/' + mark).encode(), os.O_CREAT | os.O_RDWR, 0o666, None) >= 0: left.append('mq')
child = subprocess.Popen(['/bin/sleep', '1000' + mark[:3].translate(str.maketrans('abcdef', '123456'))])
left.append('process')
got = []
import signal
for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP): signal.signal(n, lambda n, f: got.append(n))
r = left`

// leaveInput leaves a trace where all programs might have got the same from the
// node: a lock, and the flags that go with an open file.
const leaveInput = `
import fcntl
fcntl.flock(0, fcntl.LOCK_EX | fcntl.LOCK_NB)
fcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND)
`

// lookForTraces tries to find what leaveTraces made.
const lookForTraces = `
import ctypes
mark = %[1]q
libc = ctypes.CDLL(None, use_errno=True)
r = {}
def seen(what, how): r[what] = how
for top in ('/', '/tmp', '/dev/shm', '/run', '/var', '/mnt', '/dev', '/run/alcove', '/dev/mqueue'):
    if attempt(os.listdir, top) is None and any(mark in n for n in os.listdir(top)): seen('file in ' + top, 'found')
def go(a, fam=socket.AF_UNIX):
    s = socket.socket(fam); s.settimeout(2); s.connect(a)
for what, a, fam in (('abstract socket', '\0' + mark, socket.AF_UNIX), ('path socket', '/tmp/sock-' + mark, socket.AF_UNIX), ('tcp', ('127.0.0.1', %[2]d), socket.AF_INET)):
    if attempt(go, a, fam) is None: seen(what, 'connected')
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(('127.0.0.1', %[2]d))
attempt(u.send, b'spy'); how = attempt(u.send, b'spy')
shm = libc.shmget(%[2]d, 0, 0)
if shm >= 0: seen('sysv shm', 'id %%d' %% shm)
if libc.semget(%[2]d, 0, 0) >= 0: seen('sysv sem', 'open')
if libc.msgget(%[2]d, 0) >= 0: seen('sysv msg', 'open')
if libc.mq_open(('/' + mark).encode(), os.O_RDWR) >= 0: seen('mq', 'open')
for p in os.listdir('/proc'):
    if not p.isdigit(): continue
    for n in ('cmdline', 'environ'):
        try:
            if mark.encode() in open('/proc/%%s/%%s' %% (p, n), 'rb').read() and int(p) != os.getpid(): seen('process ' + p, n)
        except OSError: pass
for n in ('unix', 'tcp', 'udp'):
    if attempt(open, '/proc/net/' + n) is None:
        text = open('/proc/net/' + n).read()
        if mark in text: seen('/proc/net/' + n, 'listed')
for n in ('shm', 'sem', 'msg'):
    if attempt(open, '/proc/sysvipc/' + n) is None and len(open('/proc/sysvipc/' + n).read().splitlines()) > 1: seen('/proc/sysvipc/' + n, 'listed')
import fcntl
flags = fcntl.fcntl(0, fcntl.F_GETFL)
if flags & (os.O_NONBLOCK | os.O_APPEND): seen('standard input', 'flags %%o' %% flags)
if 'lock:' in open('/proc/self/fdinfo/0').read(): seen('standard input', 'a lock is held')
elif os.stat('/dev/null').st_dev == os.stat('/dev').st_dev: # else none can be made, and it is the host's
    how = attempt(fcntl.flock, 0, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if how is not None: seen('standard input', 'locked')
del u
`

// pair is about two sandboxes that run at the same time: nothing of one shows
// in the other.
func (s *suite) pair(t *testing.T) {
	s.run(t, "traces", func(t *T) { s.traces(t, false) })
	s.run(t, "traces_after_destroy", func(t *T) { s.traces(t, true) })
	s.run(t, "traces_of_the_host", s.hostTraces)
	s.run(t, "signals", s.strayOnes)
	s.run(t, "counted", s.counted)
	s.run(t, "same_addresses", s.sameAddresses)
}

// traces: one leaves traces, the other looks for them, while the first still
// runs, or in a sandbox that takes its place.
func (s *suite) traces(t *T, gone bool) {
	mark := token()
	port := 20000 + int(mark[0])<<4 + int(mark[1])&15
	a, pa := s.agent(t)
	var left []string
	pa.eval(t, fmt.Sprintf(leaveTraces, mark, port, port, port, port, port), &left)
	pa.eval(t, leaveInput, nil)
	t.Logf("left: %q", left)
	if len(left) < 6 {
		t.Errorf("it could leave nothing but %q", left)
	}
	if gone {
		if err := a.Destroy(); err != nil {
			t.Error(err)
		}
	}
	_, pb := s.agent(t)
	var seen map[string]string
	pb.eval(t, fmt.Sprintf(lookForTraces, mark, port), &seen)
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Errorf("another sandbox's %s: %s", what, seen[what])
	}
	if gone {
		return
	}
	// The probe must be able to find: in the same sandbox it does.
	var self map[string]string
	pa.eval(t, fmt.Sprintf(lookForTraces, mark, port), &self)
	for _, what := range []string{"file in /tmp", "file in /dev/shm", "abstract socket", "path socket", "tcp"} {
		if self[what] == "" {
			t.Errorf("the probe does not find its own %s: %v", what, self)
		}
	}
}

// hostTraces: the host itself leaves the same traces.
func (s *suite) hostTraces(t *T) {
	mark := token()
	port := 20000 + int(mark[0])<<4 + int(mark[1])&15
	script := "import os, socket, sys\n" + fmt.Sprintf(leaveTraces, mark, port, port, port, port, port) + `
print(' '.join(left), flush=True)
sys.stdin.read()
child.kill()
child.wait()
libc.shmctl(shm, 0, None)
libc.semctl(libc.semget(` + fmt.Sprint(port) + `, 0, 0), 0, 0)
libc.msgctl(libc.msgget(` + fmt.Sprint(port) + `, 0), 0, None)
libc.mq_unlink(('/' + mark).encode())
for p in ('/tmp/' + mark, '/dev/shm/' + mark, '/tmp/sock-' + mark): os.unlink(p)
`
	cmd := exec.Command("/usr/bin/python3", "-c", script)
	cmd.Env = []string{"MARK=" + mark}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("clearing the host's traces: %v", err)
		}
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("left on the host: %s", line)
	_, p := s.agent(t)
	var seen map[string]string
	p.eval(t, fmt.Sprintf(lookForTraces, mark, port), &seen)
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Errorf("the host's %s: %s", what, seen[what])
	}
}

// strayOnes: signals to every number there may be, and to all at once, reach
// nobody else.
func (s *suite) strayOnes(t *T) {
	a, pa := s.agent(t)
	pa.eval(t, "import signal\ngot = []\nfor n in (1, 10, 15): signal.signal(n, lambda n, f: got.append(n))", nil)
	_, pb := s.agent(t)
	pb.eval(t, `
import signal
me = os.getpid()
for n in (1, 10, 15): signal.signal(n, signal.SIG_IGN)
for pid in range(2, 70000):
    if pid != me:
        for n in (10, 15): attempt(os.kill, pid, n)
attempt(os.kill, -1, 15)
attempt(os.killpg, 0, 10)`, nil)
	var got []int
	pa.eval(t, "r = got", &got)
	if len(got) > 0 {
		t.Errorf("signals from another sandbox arrived: %v", got)
	}
	select {
	case <-a.Done():
		t.Errorf("ended by another sandbox: %+v", a.Exit())
	default:
	}
}

// counted: what the kernel counts by user is not used up by another sandbox.
func (s *suite) counted(t *T) {
	const take = `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
class Event(ctypes.Structure): _fields_ = [('value', ctypes.c_long), ('signal', ctypes.c_int), ('notify', ctypes.c_int), ('rest', ctypes.c_char * 48)]
def timer(): return libc.timer_create(1, ctypes.byref(Event(0, 34, 0)), ctypes.byref(ctypes.c_int()))
def aio(): return libc.syscall(%d, 8192, ctypes.byref(ctypes.c_ulong(0)))
r = [0, 0, 0]
for i, (f, n) in enumerate(((libc.inotify_init, %d), (timer, %d), (aio, 64))):
    while r[i] < n and f() >= 0: r[i] += 1`
	_, pa := s.agent(t)
	var took [3]int
	pa.eval(t, fmt.Sprintf(take, unix.SYS_IO_SETUP, 8192, 8192), &took)
	t.Logf("one takes %d inotify instances, %d timers, %d contexts of asynchronous I/O", took[0], took[1], took[2])
	_, pb := s.agent(t)
	var left [3]int
	pb.eval(t, fmt.Sprintf(take, unix.SYS_IO_SETUP, 8, 8), &left)
	if left[0] != 8 || left[1] != 8 || left[2] == 0 && took[2] > 0 {
		t.Errorf("the other gets %d inotify instances, %d timers, %d contexts of asynchronous I/O", left[0], left[1], left[2])
	}
}

// sameAddresses: both may use the same ports, names and paths.
func (s *suite) sameAddresses(t *T) {
	for range 2 {
		_, p := s.agent(t)
		if how := p.str(t, `
def take():
    global a, b, c
    a = socket.socket(); a.bind(('127.0.0.1', 18080)); a.listen()
    b = socket.socket(socket.AF_UNIX); b.bind('\0same'); b.listen()
    c = socket.socket(socket.AF_UNIX); c.bind('/tmp/same'); c.listen()
r = attempt(take)`); how != "" {
			t.Errorf("taking common names: %s", how)
		}
	}
}
