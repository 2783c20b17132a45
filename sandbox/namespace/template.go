package namespace

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/cgroup"
	"github.com/alcove-run/alcove/sandbox/namespace/launch"
)

// templateSource is what a template process executes.
//
//go:embed template/template.py
var templateSource []byte

const (
	// templateForks is how many sandboxes come from one template. They share what
	// an interpreter chose at its start: the seed of its hashes, and where things
	// are in memory.
	templateForks = 64
	// templateAhead is how many are left when the next template is started.
	templateAhead = 24
	// templateIdle is how long a template that nobody needs is kept.
	templateIdle = 10 * time.Minute
	// templateKinds bounds how many kinds of templates there are at a time.
	templateKinds = 4
	// templateMemory bounds a template process, in bytes.
	templateMemory = 256 << 20
	// templatePatience bounds its start.
	templatePatience = 20 * time.Second
)

// A template is a process that holds a Python interpreter, ready for a function
// and without one, and forks the first processes of sandboxes. It is a child of
// the node, and so are those.
type template struct {
	key   string
	group *cgroup.Group
	proc  *child
	conn  *net.UnixConn

	mu sync.Mutex // held while it forks: one answer belongs to one question

	// Guarded by templates.mu.
	users int  // sandboxes that are being forked
	given int  // how often it was taken
	made  int  // how often that succeeded
	spent bool // it is not given to anybody any more
	idle  *time.Timer
}

// msgScout begins what a template says of its scout: the number of the process
// follows, and where it has written is the answer.
const msgScout = 'W'

// templates are those of a driver.
type templates struct {
	d *Driver
	// none is why this driver has no templates at all, or empty.
	none string
	wg   sync.WaitGroup

	mu       sync.Mutex
	ready    map[string][]*template
	starting map[string]bool
	refused  map[string]refusal
	closed   bool
}

func newTemplates(d *Driver) *templates {
	ts := &templates{d: d, ready: map[string][]*template{}, starting: map[string]bool{}, refused: map[string]refusal{}}
	switch {
	case !d.root:
		ts.none = "forking into a sandbox needs root's rights"
	case launch.LandlockABI() == 0:
		// Without it, /proc/self/exe would lead to a file that the sandboxes of
		// one template share.
		ts.none = "the kernel has no Landlock"
	}
	return ts
}

// templateKey is what sandboxes must have in common to come from one template.
func templateKey(spec *sandbox.Spec) string {
	return strings.Join([]string{spec.Root, strings.Join(spec.Args, "\x00"), strings.Join(spec.Env, "\x00"), spec.Dir}, "\x00\x00")
}

// A refusal is that there is no template of a kind for some time: what hindered it
// may have been short of memory or descriptors, or be so for good.
type refusal struct {
	why   string
	times int // in a row
	until time.Time
}

// How long a refusal lasts: twice as long each time.
const (
	minRefusal = 10 * time.Second
	maxRefusal = time.Hour
)

// refuse has no template of a kind started for a while. Callers hold ts.mu.
func (ts *templates) refuse(key, why string) {
	r := ts.refused[key]
	r.why = why
	r.until = time.Now().Add(min(minRefusal<<min(r.times, 10), maxRefusal))
	r.times++
	ts.refused[key] = r
}

// refusedNow is why there is no template of a kind at present, or empty. Callers
// hold ts.mu.
func (ts *templates) refusedNow(key string) string {
	if r := ts.refused[key]; time.Now().Before(r.until) {
		return r.why
	}
	return ""
}

// take returns a template to fork this sandbox from, which is to be given back,
// or why there is none; no reason if none was asked for. It never waits: a
// template is started in the background for those who come next.
func (ts *templates) take(spec *sandbox.Spec) (*template, string) {
	if !spec.Template {
		return nil, ""
	}
	if ts.none != "" {
		return nil, ts.none
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	key := templateKey(spec)
	if why := ts.refusedNow(key); why != "" {
		return nil, why
	}
	list := ts.ready[key]
	if len(list) == 0 {
		ts.start(key, spec)
		return nil, "the template is being started"
	}
	t := list[0]
	t.users++
	t.given++
	t.idle.Reset(templateIdle)
	if t.given == templateForks-templateAhead && len(list) == 1 {
		ts.start(key, spec)
	}
	if t.given >= templateForks {
		ts.withdraw(t)
	}
	return t, ""
}

// Forks implements sandbox.Forker.
func (d *Driver) Forks(spec sandbox.Spec) bool {
	ts := d.templates
	if !spec.Template || ts.none != "" {
		return false
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	key := templateKey(&spec)
	if len(ts.ready[key]) > 0 {
		return true
	}
	if ts.refusedNow(key) == "" {
		ts.start(key, &spec)
	}
	return false
}

// give gives a template back. why says what went wrong, if something did.
func (ts *templates) give(t *template, why string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.users--
	if why == "" {
		t.made++
		delete(ts.refused, t.key)
	} else {
		if t.made == 0 {
			ts.refuse(t.key, why)
		}
		ts.withdraw(t)
	}
	ts.retire(t)
}

// withdraw has nobody get the template any more. Callers hold ts.mu.
func (ts *templates) withdraw(t *template) {
	t.spent = true
	kept := ts.ready[t.key][:0]
	for _, other := range ts.ready[t.key] {
		if other != t {
			kept = append(kept, other)
		}
	}
	ts.ready[t.key] = kept
	if len(kept) == 0 {
		delete(ts.ready, t.key)
	}
}

// retire ends a spent template that nobody uses. Callers hold ts.mu.
func (ts *templates) retire(t *template) {
	if t.spent && t.users == 0 && t.idle.Stop() {
		ts.wg.Go(func() { ts.end(t) })
	}
}

func (ts *templates) end(t *template) {
	if err := t.close(); err != nil {
		ts.d.conf.Log.Warn("a template could not be removed", "error", err)
	}
}

// start starts a template in the background. Callers hold ts.mu.
func (ts *templates) start(key string, spec *sandbox.Spec) {
	if ts.closed || ts.starting[key] || len(ts.ready) >= templateKinds && len(ts.ready[key]) == 0 {
		return
	}
	ts.starting[key] = true
	like := sandbox.Spec{Root: spec.Root, Args: spec.Args, Env: spec.Env, Dir: spec.Dir}
	ts.wg.Go(func() {
		t, err := ts.d.startTemplate(key, &like)
		ts.mu.Lock()
		defer ts.mu.Unlock()
		delete(ts.starting, key)
		if err != nil {
			ts.refuse(key, err.Error())
			ts.d.conf.Log.Warn("no template: sandboxes are started without", "error", err)
			return
		}
		t.idle = time.AfterFunc(templateIdle, func() { ts.expire(t) })
		if ts.closed {
			t.idle.Stop()
			ts.end(t)
			return
		}
		ts.ready[key] = append(ts.ready[key], t)
	})
}

// expire withdraws a template that has not been needed for long.
func (ts *templates) expire(t *template) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed || t.spent {
		return
	}
	ts.withdraw(t)
	if t.users == 0 {
		ts.wg.Go(func() { ts.end(t) })
	} else {
		t.idle.Reset(templateIdle) // for retire, which wants it running
	}
}

// Close ends all templates. Nobody takes any by now.
func (ts *templates) Close() {
	ts.mu.Lock()
	ts.closed = true
	for _, list := range ts.ready {
		for _, t := range list {
			t.spent = true
			ts.retire(t)
		}
	}
	clear(ts.ready)
	ts.mu.Unlock()
	ts.wg.Wait()
}

// startTemplate starts a template and waits until it can fork.
func (d *Driver) startTemplate(key string, spec *sandbox.Spec) (_ *template, err error) {
	var id [8]byte
	rand.Read(id[:])
	t := &template{key: key}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	t.group, err = d.conf.Cgroups.New("template-"+hex.EncodeToString(id[:]), cgroup.Limits{Memory: templateMemory, CPU: 1, Processes: ownProcesses})
	if err != nil {
		return nil, err
	}
	source, err := executable("template", templateSource)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	if _, err := source.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	said, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer said.Close()
	t.conn, t.proc, err = d.spawn(t.group, 0, w, w, source)
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("start the template: %w", err)
	}
	if err := t.await(d, spec); err != nil {
		t.proc.Kill() // or what it said would have no end
		text, _ := io.ReadAll(io.LimitReader(said, 4096))
		return nil, fmt.Errorf("template: %w: %s", err, strings.TrimSpace(string(text)))
	}
	t.group.Settle()
	return t, nil
}

func (t *template) await(d *Driver, spec *sandbox.Spec) error {
	if err := t.conn.SetDeadline(time.Now().Add(templatePatience)); err != nil {
		return err
	}
	order := &launch.Order{
		Root: spec.Root, Empty: d.empty, V1Groups: t.group.V1Paths(), Marker: d.marker,
		Args: spec.Args, Env: spec.Env, Dir: spec.Dir, Template: true,
	}
	if err := sendOrder(t.conn, order); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := t.conn.Read(buf)
		switch {
		case err != nil || n == 0:
			return fmt.Errorf("it ended: %w", orEOF(err))
		case buf[0] == launch.MsgNote:
		case buf[0] == launch.MsgReady:
			return nil
		case buf[0] == msgScout && n == 9:
			if _, err := t.conn.Write(d.written(t.proc.Pid, int(word(buf[1:])))); err != nil {
				return fmt.Errorf("it ended: %w", err)
			}
		default:
			return errors.New(string(buf[1:n]))
		}
	}
}

// fork asks for a sandbox's first process. It returns its number on the host.
func (t *template) fork(packet []byte, fds ...int) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.conn.SetDeadline(time.Now().Add(forkMax)); err != nil {
		return 0, err
	}
	if _, _, err := t.conn.WriteMsgUnix(packet, unix.UnixRights(fds...), nil); err != nil {
		return 0, err
	}
	buf := make([]byte, 1024)
	n, err := t.conn.Read(buf)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("the template ended: %w", orEOF(err))
	}
	if n != 9 || buf[0] != 'P' {
		return 0, fmt.Errorf("the template said %q", buf[:n])
	}
	return int(word(buf[1:])), nil
}

// close ends the process, and waits for a fork that it is at.
func (t *template) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	if t.conn != nil {
		t.conn.Close()
	}
	if t.proc != nil {
		errs = append(errs, t.proc.end())
	}
	if t.group != nil {
		errs = append(errs, t.group.Kill(), t.group.Remove())
	}
	return errors.Join(errs...)
}
