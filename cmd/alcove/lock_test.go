package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDataLockIsWaitedFor: whoever held the directory a moment ago, as the child of
// a killed node does, does not keep the next node from starting; whoever goes on to
// hold it does.
func TestDataLockIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := lockData(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		f, err := lockData(t.Context(), path)
		if err == nil {
			err = f.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("while it is held: %v", err) // EWOULDBLOCK: it did not wait
	default:
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("when it is free: %v", err)
	}

	held, err = lockData(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockData(ended, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a node that is told to end: %v", err)
	}
	if _, err := lockData(t.Context(), path); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a directory in use: %v", err)
	}
}
