package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/internal/disk"
)

// Errors that callers tell apart. All others mean that the outcome is unknown.
var (
	// ErrNotFound: there is no such key.
	ErrNotFound = errors.New("store: key not found")
	// ErrExists: Create found the key taken. Nothing was written.
	ErrExists = errors.New("store: key exists")
	// ErrConflict: the key is at another revision. Nothing was written.
	ErrConflict = errors.New("store: key is at another revision")
	// ErrNoSpace: less than the reserve is free. Nothing was written.
	ErrNoSpace = errors.New("store: too little space is left on the device")
	// ErrTooLarge: a key or value is over the limit. Nothing was written.
	ErrTooLarge = errors.New("store: key or value is too large")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
	// ErrUnavailable: the engine failed and is being replaced.
	ErrUnavailable = errors.New("store: engine is not available")
)

// The pause before a failed engine is started again doubles from one to the other.
const (
	minRestart = 20 * time.Millisecond
	maxRestart = 5 * time.Second
)

// MaxValue is the longest value, in bytes.
const MaxValue = 512 << 10

// Config says where the store is and how it treats the disk.
type Config struct {
	// Dir is the store's own directory, made with mode 0700 if it is missing.
	// One process at a time has it open.
	Dir string
	// Log gets what the engine has to say: warnings and errors as such, the rest
	// as debug records. Nil discards.
	Log *slog.Logger
	// Reserve is how many bytes have to be free on Dir's file system for a write
	// to be tried. Deletions go on down to a quarter of it, for they are how a
	// full disk becomes less full.
	Reserve int64
}

// Store is an open store. Its methods may be called from many goroutines.
type Store struct {
	cfg  Config
	log  *slog.Logger
	lock *os.File

	stop context.CancelFunc // ends the supervisor and every watch
	ctx  context.Context
	wg   sync.WaitGroup

	mu      sync.Mutex
	current *engine       // guarded by mu; nil while it is being replaced
	changed chan struct{} // guarded by mu; closed when current is set, and made anew
}

// Open opens the store in cfg.Dir, or makes it. The context bounds the opening
// only.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// An engine that was shared would be one that is corrupted: JetStream itself
	// takes no lock.
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: log, lock: lock, changed: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	eng, err := startEngine(ctx, cfg.Dir, log)
	if err != nil {
		s.stop()
		return nil, errors.Join(err, lock.Close())
	}
	s.current = eng
	s.wg.Go(s.supervise)
	return s, nil
}

// Close ends every watch, waits for them, and stops the engine. What was
// acknowledged is on the disk already.
func (s *Store) Close() error {
	s.mu.Lock()
	s.stop() // under the lock, after which no watch begins
	s.mu.Unlock()
	s.wg.Wait()
	s.mu.Lock()
	eng := s.current
	s.current = nil
	s.mu.Unlock()
	if eng != nil {
		eng.close()
	}
	return s.lock.Close()
}

func lockDir(dir string) (*os.File, error) {
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// Of the open file, so a process that is killed leaves none behind.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("store: %s is in use by another process: %w", dir, err)
	}
	return f, nil
}

// engine gives the engine that works now, waiting for one if it is being
// replaced.
func (s *Store) engine(ctx context.Context) (*engine, error) {
	for {
		s.mu.Lock()
		eng, changed := s.current, s.changed
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			return nil, ErrClosed
		}
		if eng != nil && eng.ctx.Err() == nil {
			return eng, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		case <-s.ctx.Done():
			return nil, ErrClosed
		}
	}
}

// supervise replaces engines that failed, until the store closes.
func (s *Store) supervise() {
	wait := minRestart
	for {
		s.mu.Lock()
		eng := s.current
		s.mu.Unlock()
		started := time.Now()
		select {
		case <-s.ctx.Done():
			return
		case <-eng.ctx.Done():
		}
		// One that fails again at once is not started again at once.
		if time.Since(started) > time.Minute {
			wait = minRestart
		}
		s.log.Error("storage engine failed, starting it again", "cause", context.Cause(eng.ctx), "in", wait)
		s.mu.Lock()
		s.current = nil
		s.mu.Unlock()
		eng.close()
		for {
			select {
			case <-time.After(wait):
			case <-s.ctx.Done():
				return
			}
			wait = min(2*wait, maxRestart)
			if s.replace() {
				break
			}
		}
	}
}

// replace starts another engine over the files of one that was closed, and says
// whether it works.
func (s *Store) replace() bool {
	eng, err := startEngine(s.ctx, s.cfg.Dir, s.log)
	if err != nil {
		s.log.Error("storage engine did not start", "error", err)
		return false
	}
	s.mu.Lock()
	s.current = eng
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	s.log.Info("storage engine works again")
	return true
}

// room says whether n bytes may be written. The question costs a system call of
// about a microsecond; a put costs a sync.
func (s *Store) room(n int, reserve int64) error {
	_, free, err := disk.Space(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if free-int64(n) < reserve {
		return fmt.Errorf("%w: %d bytes are free, %d are kept in reserve", ErrNoSpace, free, reserve)
	}
	return nil
}
