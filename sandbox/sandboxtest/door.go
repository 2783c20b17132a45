package sandboxtest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// doors is about what a sandbox can reach.
func (s *suite) doors(t *testing.T) {
	s.run(t, "unix", func(t *T) { s.through(t, "unix") })
	s.run(t, "tcp", func(t *T) { s.through(t, "tcp") })
	s.run(t, "no_tcp", s.noTCP)
	s.run(t, "tamper", s.tamperDoor)
	s.run(t, "host_tcp", s.hostTCP)
	s.run(t, "host_udp", s.hostUDP)
	s.run(t, "host_unix", s.hostUnix)
	s.run(t, "loopback", s.loopback)
}

// through sends a lot in both directions, on several connections at once, from
// the very first instruction of the first process on.
func (s *suite) through(t *T, network string) {
	b, p := s.agent(t, args("/usr/bin/python3", "-B", "/var/task/agent.py", network), func(p *sandbox.Spec) { p.TCP = network == "tcp" })
	const size = 3 << 20
	p.eval(t, fmt.Sprintf(`
import threading, hashlib
def echo(name):
    f = dial(name, %q)
    got = f.read(%d)
    f.write(hashlib.sha256(got).digest() + got[::-1])
    f.flush()
    f.raw._sock.shutdown(socket.SHUT_WR)
    f.read()
for i in range(4):
    threading.Thread(target=echo, args=('echo%%d' %% i,), daemon=True).start()
`, network, size), nil)
	for i := range 4 {
		e := b.wait(t, fmt.Sprintf("echo%d", i))
		if err := e.SetDeadline(time.Now().Add(t.patience)); err != nil {
			t.Fatal(err)
		}
		sent := make([]byte, size)
		for j := range sent {
			sent[j] = byte(j * (i + 3) >> 4)
		}
		if _, err := e.Write(sent); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(e.r) // the sandbox's half-close must arrive
		if err != nil || len(got) != 32+size {
			t.Fatalf("%d bytes came back: %v", len(got), err)
		}
		if sum := sha256.Sum256(sent); string(got[:32]) != string(sum[:]) {
			t.Error("what arrived inside is not what was sent")
		}
		for j := range sent {
			if got[32+j] != sent[size-1-j] {
				t.Fatalf("byte %d came back as another", j)
			}
		}
		e.Close()
	}
}

func (s *suite) noTCP(t *T) {
	_, p := s.agent(t)
	if how := p.str(t, "r = attempt(socket.create_connection, ('127.0.0.1', 9001), 5)"); how != "ECONNREFUSED" && how != "ENETUNREACH" {
		t.Errorf("without Spec.TCP, a connection to %s ends with %q", sandbox.RuntimeAPIAddr, how)
	}
}

// The socket's directory shows the socket and can be changed in nothing.
func (s *suite) tamperDoor(t *T) {
	b, p := s.agent(t)
	before, err := os.Lstat(b.door.path)
	if err != nil {
		t.Fatal(err)
	}
	var done map[string]string
	p.eval(t, `
d, k = '/run/alcove', '/run/alcove/runtime.sock'
def bind():
    s = socket.socket(socket.AF_UNIX); s.bind(d + '/other.sock')
r = {
    'create': attempt(lambda: open(d + '/x', 'w')), 'mkdir': attempt(os.mkdir, d + '/y'), 'symlink': attempt(os.symlink, '/', d + '/l'),
    'unlink': attempt(os.unlink, k), 'rename': attempt(os.rename, k, d + '/z'), 'move': attempt(os.rename, '/tmp', k), 'chmod': attempt(os.chmod, d, 0o777),
    'link': attempt(os.link, k, '/tmp/k'), 'bind': attempt(bind), 'rmdir': attempt(os.rmdir, d), 'truncate': attempt(os.truncate, k, 0),
    'chmod socket': attempt(os.chmod, k, 0), 'utime': attempt(os.utime, k), 'xattr': attempt(os.setxattr, d, 'user.x', b'1'),
}`, &done)
	for what, how := range done {
		if how == "" {
			t.Errorf("%s succeeded", what)
		}
	}
	if got := p.str(t, "r = ' '.join(os.listdir('/run/alcove'))"); got != sandbox.SocketName {
		t.Errorf("inside, the directory has %q", got)
	}
	entries, err := os.ReadDir(b.spec.SocketDir)
	if err != nil || len(entries) != 1 || entries[0].Name() != sandbox.SocketName {
		t.Errorf("on the host, the directory has %v, %v", entries, err)
	}
	if after, err := os.Lstat(b.door.path); err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
		t.Errorf("the socket is not what it was: %v", err)
	}
	p.eval(t, "dial('again')", nil)
	b.wait(t, "again")
}

// hostAddrs are this machine's own addresses.
func hostAddrs(t *T) []string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	return out
}

func (s *suite) hostTCP(t *T) {
	var ports []int
	came := make(chan string, 64)
	for _, network := range []string{"tcp4", "tcp6"} {
		l, err := net.Listen(network, ":0")
		if err != nil {
			if network == "tcp6" {
				continue // a host without IPv6
			}
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				came <- c.LocalAddr().String()
				c.Close()
			}
		}()
	}
	addrs := append(hostAddrs(t), "0.0.0.0", "::", "10.0.0.1", "169.254.169.254", "192.0.2.1", "8.8.8.8")
	_, p := s.agent(t, func(p *sandbox.Spec) { p.TCP = true })
	var reached []string
	p.eval(t, fmt.Sprintf(`
r = []
for addr in '%s'.split():
    for port in %s:
        try:
            socket.create_connection((addr, port), timeout=1).close()
            r.append('%%s %%d' %% (addr, port))
        except OSError:
            pass`, strings.Join(addrs, " "), strings.ReplaceAll(fmt.Sprint(append(ports, 53, 80)), " ", ",")), &reached)
	if len(reached) > 0 {
		t.Errorf("from inside, these can be reached: %q", reached)
	}
	select {
	case a := <-came:
		t.Errorf("a connection from inside came to the host's %s", a)
	default:
	}
}

func (s *suite) hostUDP(t *T) {
	c, err := net.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	port := c.LocalAddr().(*net.UDPAddr).Port
	_, p := s.agent(t)
	var names []string
	p.eval(t, fmt.Sprintf(`
for addr in '%s 255.255.255.255 224.0.0.1'.split():
    u = socket.socket(socket.AF_INET6 if ':' in addr else socket.AF_INET, socket.SOCK_DGRAM)
    u.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    attempt(u.sendto, b'x', (addr, %d))
r = []
for name in ('example.com', 'localhost.localdomain.example', '%s'):
    try:
        r.append(str(socket.getaddrinfo(name, 80)))
    except OSError:
        pass`, strings.Join(hostAddrs(t), " "), port, hostName()), &names)
	if len(names) > 0 {
		t.Errorf("names are resolved inside: %q", names)
	}
	// Local datagrams are there when sendto returns.
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, from, err := c.ReadFrom(make([]byte, 16)); err == nil {
		t.Errorf("a datagram from inside came to the host from %v", from)
	}
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil || name == "localhost" {
		return "no.such.host.example"
	}
	return name
}

func (s *suite) hostUnix(t *T) {
	name := "alcove-test-" + token()
	l, err := net.Listen("unix", "@"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	byPath := filepath.Join(s.work, "host.sock")
	lp, err := net.Listen("unix", byPath)
	if err != nil {
		t.Fatal(err)
	}
	defer lp.Close()
	if err := os.Chmod(byPath, 0o777); err != nil {
		t.Fatal(err)
	}
	_, p := s.agent(t)
	var how map[string]string
	p.eval(t, fmt.Sprintf(`
def go(a):
    s = socket.socket(socket.AF_UNIX); s.connect(a)
r = {'abstract': attempt(go, '\0%s'), 'path': attempt(go, %q), 'net': 'E' if %q not in open('/proc/net/unix').read() else None}`, name, byPath, name), &how)
	for what, h := range how {
		if h == "" {
			t.Errorf("a unix socket of the host can be seen or reached: %s", what)
		}
	}
}

// Loopback is there, since programs count on it, and is all there is.
func (s *suite) loopback(t *T) {
	_, p := s.agent(t)
	if got := p.str(t, "r = ' '.join(n for _, n in socket.if_nameindex())"); got != "lo" {
		t.Errorf("interfaces: %q", got)
	}
	got := p.str(t, `
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()
c = socket.create_connection(l.getsockname(), timeout=5)
a = l.accept()[0]; a.sendall(b'hi'); r = c.recv(2).decode()`)
	if got != "hi" {
		t.Errorf("loopback: %q", got)
	}
}
