package gvisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// When a cgroup is out of memory, the kernel ends the process in it that it
// likes least. That may be a stub process, for which the sentry would wait for
// ever: the function hangs instead of ending. So all of a sandbox ends with any
// part of it. Version 2 does that by itself when asked; version 1 tells when it
// is about to choose, and the rest is ours.

// endTogether asks for that. The file, if there is one, is readable when the
// group has run out of memory.
func endTogether(paths []string) (*os.File, error) {
	for _, dir := range paths {
		err := os.WriteFile(filepath.Join(dir, "memory.oom.group"), []byte("1"), 0)
		if err == nil {
			return nil, nil
		}
		control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
		if errors.Is(err, os.ErrNotExist) {
			continue // not where memory is bounded
		}
		if err != nil {
			return nil, fmt.Errorf("memory events: %w", err)
		}
		defer control.Close()
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			return nil, fmt.Errorf("memory events: %w", err)
		}
		event := os.NewFile(uintptr(fd), "memory event")
		order := fmt.Sprintf("%d %d", fd, control.Fd())
		if err := os.WriteFile(filepath.Join(dir, "cgroup.event_control"), []byte(order), 0); err != nil {
			return nil, errors.Join(fmt.Errorf("memory events: %w", err), event.Close())
		}
		return event, nil
	}
	return nil, nil // memory is not bounded
}

// watchMemory ends the sandbox when its cgroup runs out of memory.
func (b *box) watchMemory() {
	var count [8]byte
	if _, err := b.memoryEvent.Read(count[:]); err != nil {
		return // closed: the sandbox has ended
	}
	// The kernel also signals when the group is removed.
	select {
	case <-b.done:
		return
	default:
	}
	b.outOfMemory.Store(true)
	_, _ = b.group.Kill(), b.sentry.kill()
}
