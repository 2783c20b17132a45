package artifact

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alcove-run/alcove"
)

// PutZip verifies a deployment package and keeps it. What it refuses is the
// caller's fault, in AWS's words (recorded answers of CreateFunction). A package
// that is kept already costs its digest.
//
// The zip is on the disk when PutZip answers. It stays until Remove is told that nobody wants it,
// so a caller that has no record of it yet says so to Remove by other means.
func (s *Store) PutZip(ctx context.Context, zip []byte) (alcove.Code, error) {
	switch {
	case len(zip) == 0:
		return alcove.Code{}, errEmpty()
	case len(zip) >= alcove.MaxUnzipped: // those that are sent have a limit of their own
		return alcove.Code{}, errUnzippedSize()
	}
	code := alcove.Code{SHA256: digest(zip), Size: int64(len(zip))}
	// Under the lock: a removal that was decided before the caller pinned the
	// digest is over, and any later one asks again.
	s.mu.Lock()
	kept := exists(s.path("zip", code.SHA256))
	s.mu.Unlock()
	if kept {
		_, err := s.Tree(ctx, code)
		return code, err
	}
	err := s.once(ctx, "put "+code.SHA256, func() error { return s.put(zip, code.SHA256) })
	if err != nil {
		return alcove.Code{}, err
	}
	return code, nil
}

func (s *Store) put(zip []byte, sha string) error {
	if err := s.room(int64(len(zip))); err != nil {
		return err
	}
	work, err := os.MkdirTemp(s.path("tmp"), "put-")
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	defer s.discard(work)
	if err := s.unpack(zip, filepath.Join(work, "tree")); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(work, "zip"), zip); err != nil {
		return err
	}
	return s.publish(work, sha)
}

// unpack verifies a package and writes its tree to dir, which must not exist.
func (s *Store) unpack(zip []byte, dir string) error {
	p, err := readPlan(zip)
	if err != nil {
		return err
	}
	if err := s.room(int64(len(zip)) + p.size); err != nil {
		return err
	}
	return p.write(dir)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	return nil
}
