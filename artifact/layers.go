package artifact

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/alcove-run/alcove"
)

// Unpacked is how many bytes the files of a package have, unpacked.
func (s *Store) Unpacked(code alcove.Code) (int64, error) {
	f, err := s.OpenZip(code.SHA256)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	r, err := zipOf(f)
	if err != nil {
		return 0, err
	}
	var total int64
	for _, f := range r.File {
		total += int64(f.UncompressedSize64) // what was verified when it came
	}
	return total, nil
}

// Layers gives the directory in which layers lie over each other in their order:
// of two files with one path, the later layer's is there. It is made if it is not
// there; nobody may write to it. Without layers it is empty.
func (s *Store) Layers(ctx context.Context, layers []alcove.Layer) (string, error) {
	switch len(layers) {
	case 0:
		return "", nil
	case 1:
		return s.Tree(ctx, layers[0].Code)
	}
	sha := alcove.LayersDigest(layers)
	dir := filepath.Join(s.trees, sha)
	if exists(dir) {
		return dir, nil
	}
	if err := s.once(ctx, "tree "+sha, func() error { return s.merge(layers, sha) }); err != nil {
		return "", err
	}
	return dir, nil
}

// merge makes the tree of layers.
func (s *Store) merge(layers []alcove.Layer, sha string) error {
	if exists(filepath.Join(s.trees, sha)) {
		return nil
	}
	var merged plan
	for _, l := range layers {
		f, err := s.OpenZip(l.Code.SHA256)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return fmt.Errorf("artifact: %w", err)
		}
		if hex.EncodeToString(h.Sum(nil)) != l.Code.SHA256 {
			return fmt.Errorf("artifact: package %s is damaged on the disk", l.Code.SHA256)
		}
		r, err := zipOf(f)
		if err != nil {
			return err
		}
		p, err := planOf(r)
		if err != nil {
			return err
		}
		merged = merged.under(p)
	}
	merged.sort()
	if err := s.room(merged.size); err != nil {
		return err
	}
	work, err := os.MkdirTemp(s.path("tmp"), "layers-")
	if err != nil {
		return fmt.Errorf("artifact: %w", err)
	}
	defer s.discard(work)
	if err := merged.write(filepath.Join(work, "tree")); err != nil {
		return fmt.Errorf("artifact: layers %s: %w", sha, err)
	}
	return s.publish(work, sha)
}

// under is what is there when p was unpacked over q: what p has replaces what it
// cannot be beside.
func (q plan) under(p *plan) plan {
	files, dirs := make(map[string]bool), make(map[string]bool)
	for _, e := range append(append([]entry{}, p.files...), p.links...) {
		files[e.path] = true
	}
	for _, d := range p.dirs {
		dirs[d] = true
	}
	// stays says whether what q has at a path can stay. What p has as a file or a
	// link replaces a directory with all that is in it.
	stays := func(path string, isDir bool) bool {
		if files[path] || !isDir && dirs[path] {
			return false
		}
		for i := range len(path) {
			if path[i] == '/' && files[path[:i]] {
				return false
			}
		}
		return true
	}
	out := plan{dirs: p.dirs, files: p.files, links: p.links, size: p.size}
	for _, d := range q.dirs {
		if stays(d, true) && !dirs[d] {
			out.dirs = append(out.dirs, d)
		}
	}
	for _, e := range q.files {
		if stays(e.path, false) {
			out.files = append(out.files, e)
			out.size += int64(e.file.UncompressedSize64)
		}
	}
	for _, e := range q.links {
		if stays(e.path, false) {
			out.links = append(out.links, e)
		}
	}
	return out
}

// zipOf reads the directory of a zip file, from wherever it is read.
func zipOf(f *os.File) (*zip.Reader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	r, err := zip.NewReader(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("artifact: package %s: %w", filepath.Base(f.Name()), err)
	}
	return r, nil
}
