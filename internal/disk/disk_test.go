package disk

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestSpace(t *testing.T) {
	size, free, err := Space(t.TempDir())
	if err != nil || size <= 0 || free < 0 || free > size {
		t.Errorf("%d of %d bytes are free, %v", free, size, err)
	}
	if _, _, err := Space(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	// One without blocks of its own.
	if size, free, err := Space("/proc"); size != 0 || free != 0 || err != nil {
		t.Errorf("/proc: %d of %d bytes are free, %v", free, size, err)
	}
}
