// Package purge takes everything of a tenant off the node: each package that owns
// bytes of tenants takes out its own, in an order, while no invocation of the tenant
// is let in.
//
// It owns one directory with a note of each purge that is not complete, so that one
// which a kill -9 cut off goes on at the next start. A tenant's id is in the note,
// never in its name, and the note goes last.
package purge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
)

// Owner is one of those that have bytes of tenants. Purge returns when none of the
// tenant's is left in its files; it is called again after an error or a kill, and
// may be asked for a tenant that it never heard of.
type Owner struct {
	Name  string
	Purge func(ctx context.Context, tenant alcove.Tenant) error
}

// Config is what [Purges] are made from.
type Config struct {
	Dir string // made if it is not there
	// Hold refuses invocations of a tenant until what it gives is called.
	Hold func(alcove.Tenant) (release func())
	// Owners are asked one after the other.
	Owners []Owner
	Log    *slog.Logger
	// Retry is how long after an error an owner is asked again; zero means
	// DefaultRetry.
	Retry time.Duration
}

// DefaultRetry is that of [Config].
const DefaultRetry = 5 * time.Second

// Purges carries purges out, one at a time. Its methods are for any number of
// goroutines.
type Purges struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	turn   chan struct{} // one element while a purge is worked at

	mu     sync.Mutex
	jobs   map[alcove.Tenant]*job // guarded by mu
	closed bool                   // guarded by mu
}

// job is a purge that is not complete.
type job struct {
	note    note
	path    string
	release func()
	tried   chan struct{} // closed when every owner was asked once
	err     error         // of that; set before tried is closed
	took    time.Duration
}

// note is what is kept of a purge.
type note struct {
	Tenant alcove.Tenant `json:"tenant"`
	Began  time.Time     `json:"began"`
}

// ErrClosed is what closed purges answer.
var ErrClosed = errors.New("purge: the node is shutting down; it goes on with the purge at its next start")

const suffix = ".purge"

// Open goes on with the purges that are not complete. Their tenants are held when it
// returns.
func Open(cfg Config) (*Purges, error) {
	if cfg.Retry <= 0 {
		cfg.Retry = DefaultRetry
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("purge: make directory: %w", err)
	}
	p := &Purges{cfg: cfg, turn: make(chan struct{}, 1), jobs: make(map[alcove.Tenant]*job)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("purge: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(cfg.Dir, e.Name())
		if !strings.HasSuffix(e.Name(), suffix) { // a note that was not finished: nothing had begun
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("purge: %w", err)
			}
			continue
		}
		b, err := os.ReadFile(path)
		var n note
		if err == nil {
			err = json.Unmarshal(b, &n)
		}
		if err == nil {
			_, err = alcove.ParseTenant(string(n.Tenant))
		}
		if err != nil {
			return nil, fmt.Errorf("purge: note %s cannot be read, and whose purge is not complete is not known: purge the tenant again and delete the file: %w", path, err)
		}
		cfg.Log.Info("a purge goes on that was cut off", "began", n.Began)
		p.begin(n, path)
	}
	return p, nil
}

// Close ends what is under way; the next start goes on with it.
func (p *Purges) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.work.Wait()
	return nil
}

// Purge takes everything of a tenant off the node and returns when that is done. It
// goes on if ctx ends, and after an error, until it is done; invocations of the
// tenant are refused until then. Who comes back afterwards begins anew.
func (p *Purges) Purge(ctx context.Context, tenant alcove.Tenant) (took time.Duration, err error) {
	j, err := p.start(tenant)
	if err != nil {
		return 0, err
	}
	select {
	case <-j.tried:
		return j.took, j.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// start notes a purge and begins it, or gives the one that is under way.
func (p *Purges) start(tenant alcove.Tenant) (*job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if j := p.jobs[tenant]; j != nil {
		return j, nil
	}
	n := note{Tenant: tenant, Began: time.Now().UTC()}
	path, err := p.keep(n)
	if err != nil {
		return nil, fmt.Errorf("purge: note what is to be done: %w", err)
	}
	return p.begin(n, path), nil
}

// keep writes a note.
func (p *Purges) keep(n note) (path string, err error) {
	b, err := json.Marshal(n)
	if err != nil {
		return "", err
	}
	path = filepath.Join(p.cfg.Dir, uuid.NewString()+suffix)
	unfinished := strings.TrimSuffix(path, suffix)
	f, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(unfinished))
	}
	return path, p.syncDir()
}

func (p *Purges) syncDir() error {
	d, err := os.Open(p.cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// begin works at a purge. Preconditions: p.mu is held, or nobody knows p yet.
func (p *Purges) begin(n note, path string) *job {
	j := &job{note: n, path: path, release: p.cfg.Hold(n.Tenant), tried: make(chan struct{})}
	p.jobs[n.Tenant] = j
	p.work.Go(func() { p.run(j) })
	return j
}

// run carries a purge out, however often it takes.
func (p *Purges) run(j *job) {
	for first := true; ; first = false {
		err := p.attempt(j)
		if err == nil {
			err = p.finish(j)
		}
		if p.ctx.Err() != nil && err != nil {
			err = errors.Join(ErrClosed, err)
		}
		if first {
			j.err, j.took = err, time.Since(j.note.Began)
			close(j.tried)
		}
		if err == nil {
			return
		}
		p.cfg.Log.Error("purge is not complete", "began", j.note.Began, "error", err, "retryIn", p.cfg.Retry)
		select {
		case <-time.After(p.cfg.Retry):
		case <-p.ctx.Done():
			return
		}
	}
}

// attempt asks every owner. Those after one that fails are asked as well.
func (p *Purges) attempt(j *job) error {
	select {
	case p.turn <- struct{}{}:
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
	defer func() { <-p.turn }()
	var errs []error
	for _, o := range p.cfg.Owners {
		if err := o.Purge(p.ctx, j.note.Tenant); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.Name, err))
		}
	}
	return errors.Join(errs...)
}

// finish takes the note away and lets the tenant in again.
func (p *Purges) finish(j *job) error {
	if err := os.Remove(j.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("purge: remove note: %w", err)
	}
	if err := p.syncDir(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.jobs, j.note.Tenant)
	j.release()
	p.cfg.Log.Info("a tenant was purged", "began", j.note.Began, "took", time.Since(j.note.Began))
	return nil
}
