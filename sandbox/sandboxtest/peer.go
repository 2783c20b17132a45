package sandboxtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/alcove-run/alcove/sandbox"
)

// door is the host's end of a sandbox's Runtime API socket. Who connects says
// a name first.
type door struct {
	path string
	mu   sync.Mutex
	wg   sync.WaitGroup
	ls   []net.Listener
	come map[string]chan *peer
	all  []net.Conn
}

// peer is one connection from inside.
type peer struct {
	net.Conn
	r *bufio.Reader
}

func openDoor(t *T, dir string) *door {
	t.Helper()
	path := filepath.Join(dir, sandbox.SocketName)
	l, err := listenIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	// The sandbox's user is none of the host's.
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	d := &door{path: path, come: make(map[string]chan *peer)}
	go d.serve(l)
	return d
}

// listenIn makes the socket under a name that tells nothing of where dir is:
// the kernel shows the name as it was given to whoever connects.
func listenIn(dir string) (*net.UnixListener, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	name := fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), sandbox.SocketName)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by that name it could not be found any more
	return l, nil
}

// boundByDescriptor is such a name as others see it.
var boundByDescriptor = regexp.MustCompile(`^/proc/self/fd/\d+/` + sandbox.SocketName + `$`)

// serve accepts until the listener is closed.
func (d *door) serve(l net.Listener) {
	d.mu.Lock()
	d.ls = append(d.ls, l)
	d.wg.Add(1)
	d.mu.Unlock()
	defer d.wg.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.all = append(d.all, c)
		d.mu.Unlock()
		d.wg.Add(1)
		go func() {
			defer d.wg.Done()
			d.welcome(c)
		}()
	}
}

func (d *door) welcome(c net.Conn) {
	p := &peer{Conn: c, r: bufio.NewReader(c)}
	line, err := p.r.ReadBytes('\n')
	var said struct{ Hello string }
	if err != nil || json.Unmarshal(line, &said) != nil {
		c.Close()
		return
	}
	d.named(said.Hello) <- p
}

func (d *door) named(name string) chan *peer {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.come[name] == nil {
		d.come[name] = make(chan *peer, 64)
	}
	return d.come[name]
}

// close ends all connections and waits for who serves them.
func (d *door) close() {
	d.mu.Lock()
	for _, l := range d.ls {
		l.Close()
	}
	for _, c := range d.all {
		c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// eval runs Python in the agent; what the code leaves in r comes back.
func (p *peer) eval(t *T, code string, r any) {
	t.Helper()
	if said := p.try(t, code, r); said != "" {
		t.Fatalf("inside: %s", said)
	}
}

// try is eval that returns the error from inside, or "".
func (p *peer) try(t *T, code string, r any) string {
	t.Helper()
	if err := p.SetDeadline(time.Now().Add(t.patience)); err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(map[string]string{"code": code})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(append(line, '\n')); err != nil {
		t.Fatalf("the agent does not listen: %v", err)
	}
	if line, err = p.r.ReadBytes('\n'); err != nil {
		t.Fatalf("the agent does not answer: %v", err)
	}
	answer := struct {
		R     json.RawMessage
		Error string
	}{}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatalf("%v in %.500q", err, line)
	}
	if answer.Error == "" && r != nil {
		if err := json.Unmarshal(answer.R, r); err != nil {
			t.Fatalf("%v in %.500q", err, line)
		}
	}
	return answer.Error
}

// str is eval for code that leaves a string, or None, which comes as "".
func (p *peer) str(t *T, code string) string {
	t.Helper()
	var s *string
	p.eval(t, code, &s)
	if s == nil {
		return ""
	}
	return *s
}
