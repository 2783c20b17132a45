package artifact

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/alcove-run/alcove"
)

// The test binary runs itself again for what needs a process of its own.
const (
	childEnv = "ALCOVE_ARTIFACT_TEST_CHILD"
	dirEnv   = "ALCOVE_ARTIFACT_TEST_DIR"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "put":
		os.Exit(childPut())
	case "full":
		os.Exit(childFull())
	}
	os.Exit(2)
}

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "artifact"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// item is an entry of a zip that a test makes.
type item struct {
	name string
	body string
	mode fs.FileMode // 0 means 0644
	head func(*zip.FileHeader)
	raw  bool // the header is written as head leaves it
}

func makeZip(t testing.TB, items ...item) []byte {
	t.Helper()
	b, err := buildZip(items...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func buildZip(items ...item) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, it := range items {
		h := &zip.FileHeader{Name: it.name, Method: zip.Deflate}
		if it.mode == 0 {
			it.mode = 0o644
		}
		h.SetMode(it.mode)
		create := w.CreateHeader
		if it.raw {
			h.Method = zip.Store
			h.UncompressedSize64, h.CompressedSize64 = uint64(len(it.body)), uint64(len(it.body))
			create = w.CreateRaw
		}
		if it.head != nil {
			it.head(h)
		}
		f, err := create(h)
		if err != nil {
			return nil, err
		}
		if len(it.body) > 0 {
			if _, err := f.Write([]byte(it.body)); err != nil {
				return nil, err
			}
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// left lists what is under the store's directories.
func left(t testing.TB, s *Store) []string {
	t.Helper()
	var names []string
	for _, d := range []string{s.path("zip"), s.trees, s.path("tmp")} {
		entries, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, filepath.Join(filepath.Base(d), e.Name()))
		}
	}
	return names
}

// wantRefused checks that a package is refused with that text and leaves nothing.
func wantRefused(t *testing.T, s *Store, raw []byte, code, text string) {
	t.Helper()
	before := left(t, s)
	_, err := s.Put(t.Context(), Sent(raw))
	e, ok := errors.AsType[*alcove.Error](err)
	if !ok || e.Fault != alcove.FaultClient || e.Code != code || e.Message != text {
		t.Errorf("Put: %v; want %s: %s", err, code, text)
	}
	if after := left(t, s); !slices.Equal(before, after) {
		t.Errorf("a refused package left %v, there was %v", after, before)
	}
}
