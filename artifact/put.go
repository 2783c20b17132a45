package artifact

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/alcove-run/alcove"
)

// Put verifies a deployment package and keeps it. What it refuses is the
// caller's fault, in AWS's words (recorded answers of CreateFunction). It may go on
// reading the package after ctx has ended.
//
// The zip is on the disk when Put answers. It stays until Remove is told that nobody wants it,
// so a caller that has no record of it yet says so to Remove by other means.
func (s *Store) Put(ctx context.Context, zip *Package) (alcove.Code, error) {
	code := zip.code
	switch {
	case code.Size == 0:
		return alcove.Code{}, errEmpty()
	case code.Size >= alcove.MaxUnzipped: // those that are sent have a limit of their own
		return alcove.Code{}, errUnzippedSize()
	}
	// Under the lock: a removal that was decided before the caller pinned the
	// digest is over, and any later one asks again.
	s.mu.Lock()
	kept := exists(s.path("zip", code.SHA256))
	s.mu.Unlock()
	if kept {
		_, err := s.Tree(ctx, code)
		return code, err
	}
	err := s.once(ctx, "put "+code.SHA256, func() error { return s.put(zip) })
	if err != nil {
		return alcove.Code{}, err
	}
	return code, nil
}

func (s *Store) put(zip *Package) error {
	if err := s.room(zip.code.Size); err != nil {
		return err
	}
	work, err := os.MkdirTemp(s.path("tmp"), "put-")
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	defer s.discard(work)
	if err := s.unpack(zip.Reader(), filepath.Join(work, "tree")); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(work, "zip"), zip.Reader()); err != nil {
		return err
	}
	return s.publish(work, zip.code.SHA256)
}

// unpack verifies a package and writes its tree to dir, which must not exist.
func (s *Store) unpack(zip *io.SectionReader, dir string) error {
	p, err := readPlan(zip)
	if err != nil {
		return err
	}
	if err := s.room(zip.Size() + p.size); err != nil {
		return err
	}
	return p.write(dir)
}

func writeSynced(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	if _, err = io.Copy(f, from); err == nil {
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
