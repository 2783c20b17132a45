package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockWait is how long New waits for a directory that is in use. A process that
// was killed while it started another one leaves, for some milliseconds, a child
// that holds its files.
const lockWait = 2 * time.Second

// lockDir makes sure that this process alone uses dir, until it ends or closes
// the file.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	deadline := time.Now().Add(lockWait)
	for {
		f, err := tryLock(filepath.Join(dir, lockName))
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("gvisor: %w", err)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("gvisor: %s is used by another process", dir)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// tryLock makes and locks a file. The error is EWOULDBLOCK if somebody else has
// locked it, or had and has removed it meanwhile.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	locked, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(locked, there) {
		return nil, errors.Join(unix.EWOULDBLOCK, f.Close())
	}
	return f, nil
}
