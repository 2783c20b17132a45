package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/alcove-run/alcove"
)

// Package is a deployment package as it came, which nobody has looked into: bytes
// in memory, or a file without a name.
type Package struct {
	at   io.ReaderAt
	file *os.File // nil for one in memory
	code alcove.Code
}

// Sent is a package that is in memory, which must not change any more.
func Sent(zip []byte) *Package {
	return &Package{at: bytes.NewReader(zip), code: alcove.Code{SHA256: digest(zip), Size: int64(len(zip))}}
}

// Spool has fill write a package to a file, so that it takes no memory however large it
// turns out to be. How large it may be is fill's to say; what it writes fails where
// it would take the reserve of the file system. The caller closes the package, and
// whatever is left of one goes with the process.
func (s *Store) Spool(fill func(io.Writer) error) (*Package, error) {
	f, err := os.CreateTemp(s.path("tmp"), "spool-")
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	w := &spooling{s: s, f: f}
	if err = os.Remove(f.Name()); err != nil {
		err = fmt.Errorf("artifact: %w", err)
	} else {
		hash := sha256.New()
		if err = fill(io.MultiWriter(w, hash)); err == nil {
			return &Package{at: f, file: f, code: alcove.Code{SHA256: hex.EncodeToString(hash.Sum(nil)), Size: w.n}}, nil
		}
	}
	_ = f.Close() // nobody reads it
	return nil, err
}

// spooling writes to a file as long as there is room.
type spooling struct {
	s *Store
	f *os.File
	n int64
}

func (w *spooling) Write(p []byte) (int, error) {
	if err := w.s.room(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.f.Write(p)
	if w.n += int64(n); err != nil {
		err = fmt.Errorf("artifact: %w", err)
	}
	return n, err
}

// Code is what the package is known by.
func (p *Package) Code() alcove.Code { return p.code }

// Reader reads the package from its beginning.
func (p *Package) Reader() *io.SectionReader { return io.NewSectionReader(p.at, 0, p.code.Size) }

// Close lets go of a package that was spooled.
func (p *Package) Close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}
