package artifact

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// A package that was spooled is kept like one that was sent, and takes no place
// that has a name before.
func TestSpool(t *testing.T) {
	s := open(t)
	s.SetReserve(0)
	raw := makeZip(t, item{name: "a", body: "x"})
	var during []os.DirEntry
	p, err := s.Spool(func(w io.Writer) error {
		for _, b := range raw {
			if _, err := w.Write([]byte{b}); err != nil {
				return err
			}
		}
		var err error
		during, err = os.ReadDir(s.path("tmp"))
		return err
	})
	if err != nil || len(during) > 0 || p.Code() != Sent(raw).Code() {
		t.Fatalf("%+v, %v, with %v", p, err, during)
	}
	for range 2 { // the second time it is there
		code, err := s.Put(t.Context(), p)
		if err != nil || code != p.Code() {
			t.Fatalf("%+v, %v", code, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	f, err := s.OpenZip(p.Code().SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("%d bytes are kept, %v", len(got), err)
	}
}

// What is not spooled to its end leaves nothing.
func TestSpoolFails(t *testing.T) {
	s := open(t)
	broken := errors.New("it broke off")
	if _, err := s.Spool(func(w io.Writer) error {
		_, err := w.Write([]byte("half"))
		return errors.Join(err, broken)
	}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	s.SetReserve(math.MaxInt64)
	if _, err := s.Spool(func(w io.Writer) error {
		_, err := w.Write([]byte("x"))
		return err
	}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("without room: %v", err)
	}
	if names := left(t, s); len(names) > 0 {
		t.Errorf("%v are left", names)
	}
}

// Counting a piece at a time counts as often as counting all at once.
func TestCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 3, 64<<10 - 5, 64<<10 + 5, 128<<10 - 3, 300 << 10}).Draw(t, "n")
		b := make([]byte, n)
		for range rapid.IntRange(0, 8).Draw(t, "times") {
			edge := rapid.IntRange(0, n/(64<<10)+1).Draw(t, "edge")
			at := edge*(64<<10) + rapid.IntRange(-24, 24).Draw(t, "at")
			if at >= 0 && at < n {
				copy(b[at:], headerSignature)
			}
		}
		got, err := count(bytes.NewReader(b), headerSignature)
		if want := bytes.Count(b, headerSignature); err != nil || got != want {
			t.Fatalf("%d, %v, want %d", got, err, want)
		}
	})
}
