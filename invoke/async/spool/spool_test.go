package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove/invoke/async/spool"
	"github.com/alcove-run/alcove/invoke/async/spool/spooltest"
)

type read struct {
	meta string
	body int
	at   spool.Place
}

func openAll(t interface{ Fatal(...any) }, fs spool.FS, segment int64) (*spool.Spool, []read) {
	var all []read
	s, err := spool.Open(spool.Config{FS: fs, SegmentBytes: segment}, func(meta []byte, body int, at spool.Place) error {
		all = append(all, read{string(meta), body, at})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		s.Hold(r.at)
	}
	return s, all
}

// A spool is used, its machine crashes, and it is used again: what was synced is
// there, in order, and nothing that was never written is.
func TestWhatWasSyncedSurvivesPowerLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs := spooltest.New()
		chance := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "chance") }
		bodies := map[string]string{} // of every record that was ever appended
		var promised []string         // metas that were synced and not released, in order
		released := map[string]bool{}
		next := 0
		for range rapid.IntRange(1, 4).Draw(t, "lives") {
			s, all := openAll(t, fs, int64(rapid.IntRange(50, 400).Draw(t, "segment")))
			var there []string
			places := map[string]spool.Place{}
			for _, r := range all {
				if _, ok := bodies[r.meta]; !ok {
					t.Fatalf("%q was never written", r.meta)
				}
				there = append(there, r.meta)
				places[r.meta] = r.at
			}
			i := 0
			for _, m := range there {
				if i < len(promised) && m == promised[i] {
					i++
				}
			}
			if i < len(promised) {
				t.Fatalf("%q was synced and is lost; there are %q", promised[i], there)
			}
			marks := map[string]spool.Mark{}
			written := append([]string(nil), there...)
			for range rapid.IntRange(0, 25).Draw(t, "steps") {
				switch rapid.IntRange(0, 5).Draw(t, "step") {
				case 0, 1, 2:
					n := rapid.IntRange(1, 3).Draw(t, "records")
					var rs []spool.Record
					for range n {
						next++
						meta, body := fmt.Sprintf("m%05d", next), strings.Repeat("b", rapid.IntRange(0, 60).Draw(t, "body"))
						bodies[meta] = body
						rs = append(rs, spool.Record{Meta: []byte(meta), Body: []byte(body)})
					}
					fs.Room(-1)
					if chance(8) == 0 {
						fs.Room(int64(chance(60)))
					}
					ps, m, err := s.Append(rs...)
					if err != nil {
						break
					}
					for i, r := range rs {
						places[string(r.Meta)] = ps[i]
						written = append(written, string(r.Meta))
						marks[string(r.Meta)] = m
					}
				case 3:
					fs.Room(-1)
					fs.Break(chance(6) == 0)
					var kept []string
					for _, m := range written {
						if err := s.Sync(marks[m]); err == nil && !released[m] {
							kept = append(kept, m)
						} else if err != nil && slices.Contains(promised, m) {
							t.Fatalf("%q was synced, and now it is not: %v", m, err)
						}
					}
					fs.Break(false)
					promised = kept
				case 4:
					if len(written) > 0 {
						m := written[chance(len(written))]
						if !released[m] {
							released[m] = true
							s.Release(places[m])
							for i, p := range promised {
								if p == m {
									promised = append(promised[:i:i], promised[i+1:]...)
									break
								}
							}
						}
					}
				case 5:
					fs.Room(-1)
					if err := s.Trim(); err != nil {
						t.Fatal(err)
					}
				}
			}
			for meta, at := range places {
				if released[meta] {
					continue
				}
				r, err := s.Read(at)
				if err != nil || string(r.Meta) != meta || string(r.Body) != bodies[meta] {
					t.Fatalf("%q at %v: %q %q %v", meta, at, r.Meta, r.Body, err)
				}
			}
			if chance(3) == 0 {
				fs = fs.Kill()
			} else {
				fs = fs.Crash(chance)
			}
			clear(released)
		}
	})
}

// A sync that fails promises nothing, and what is written after it is safe.
func TestAfterAFailedSyncWritingGoesOnElsewhere(t *testing.T) {
	fs := spooltest.New()
	s, _ := openAll(t, fs, 1<<20)
	_, first, err := s.Append(spool.Record{Meta: []byte("first")})
	if err != nil || s.Sync(first) != nil {
		t.Fatal(err)
	}
	fs.Break(true)
	_, lost, err := s.Append(spool.Record{Meta: []byte("lost")})
	if err != nil || s.Sync(lost) == nil {
		t.Fatalf("a sync that failed is taken for one: %v", err)
	}
	fs.Break(false)
	if s.Sync(lost) == nil {
		t.Fatal("the kernel says once that a sync failed; it was asked again and believed")
	}
	_, second, err := s.Append(spool.Record{Meta: []byte("second")})
	if err != nil || s.Sync(second) != nil {
		t.Fatal("nothing can be written any more")
	}
	_, all := openAll(t, fs.Crash(func(int) int { return 0 }), 1<<20)
	if len(all) != 2 || all[0].meta != "first" || all[1].meta != "second" {
		t.Errorf("after the crash: %v", all)
	}
}

func TestManyShareASync(t *testing.T) {
	fs := &slowFS{FS: spooltest.New(), entered: make(chan struct{}, 1), proceed: make(chan struct{})}
	s, err := spool.Open(spool.Config{FS: fs}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	one := func() {
		_, m, err := s.Append(spool.Record{Meta: []byte("x")})
		if err == nil {
			err = s.Sync(m)
		}
		if err != nil {
			t.Error(err)
		}
	}
	calls.Go(one)
	<-fs.entered // the first is in its sync
	for range 100 {
		calls.Go(one)
	}
	for s.Stats().Appended < 101 {
		runtime.Gosched()
	}
	close(fs.proceed)
	calls.Wait()
	if n := s.Stats().Syncs; n > 50 {
		t.Errorf("101 records took %d syncs", n)
	}
}

// slowFS is one whose first sync waits.
type slowFS struct {
	*spooltest.FS
	entered, proceed chan struct{}
}

type slowFile struct {
	spool.File
	fs *slowFS
}

func (f *slowFS) Create(name string) (spool.File, error) {
	file, err := f.FS.Create(name)
	return slowFile{file, f}, err
}

func (f slowFile) Sync() error {
	select {
	case f.fs.entered <- struct{}{}:
	default:
	}
	<-f.fs.proceed
	return f.File.Sync()
}

func TestSegmentsGoOldestFirst(t *testing.T) {
	fs := spooltest.New()
	s, _ := openAll(t, fs, 50)
	var places []spool.Place
	for i := range 5 {
		p, _, err := s.Append(spool.Record{Meta: fmt.Appendf(nil, "m%d", i), Body: bytes.Repeat([]byte("b"), 50)})
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p[0])
	}
	s.Release(places[1])
	s.Release(places[2])
	if err := s.Trim(); err != nil || s.Stats().Segments != 5 {
		t.Fatalf("a segment went before an older one: %+v %v", s.Stats(), err)
	}
	s.Release(places[0])
	if err := s.Trim(); err != nil || s.Stats().Segments != 2 {
		t.Fatalf("after the oldest was released: %+v %v", s.Stats(), err)
	}
	if number, held, ok := s.Oldest(); !ok || number != places[3].Segment || held == 0 {
		t.Errorf("oldest: %d, %d held", number, held)
	}
}

func TestDamageCostsOneSegmentAndIsKept(t *testing.T) {
	fs := spooltest.New()
	s, _ := openAll(t, fs, 50)
	for i := range 3 {
		if _, _, err := s.Append(spool.Record{Meta: fmt.Appendf(nil, "m%d", i), Body: bytes.Repeat([]byte("b"), 50)}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	fs.Files()["00000001.spool"][24] ^= 1
	s, all := openAll(t, fs, 50)
	if len(all) != 2 || s.Stats().Damaged != 1 {
		t.Fatalf("%v, %+v", all, s.Stats())
	}
	if err := s.Trim(); err != nil {
		t.Fatal(err)
	}
	if f := fs.Files(); f["00000001.spool.damaged"] == nil || f["00000001.spool"] != nil {
		t.Errorf("the damaged segment is not kept: %v", f)
	}
}

func TestLimitsOfARecord(t *testing.T) {
	s, _ := openAll(t, spooltest.New(), 0)
	for _, r := range []spool.Record{{}, {Meta: make([]byte, spool.MaxMeta+1)}, {Meta: []byte("m"), Body: make([]byte, spool.MaxBody+1)}} {
		if _, _, err := s.Append(r); !errors.Is(err, spool.ErrTooLarge) {
			t.Errorf("%d and %d bytes: %v", len(r.Meta), len(r.Body), err)
		}
	}
	p, m, err := s.Append(spool.Record{Meta: make([]byte, spool.MaxMeta), Body: make([]byte, spool.MaxBody)})
	if err != nil || s.Sync(m) != nil {
		t.Fatal(err)
	}
	if r, err := s.Read(p[0]); err != nil || len(r.Body) != spool.MaxBody {
		t.Error(err)
	}
}

// emptySegment is one behind one of which so much is on the disk.
func emptySegment(t interface{ Fatal(...any) }, before uint64) []byte {
	fs := spooltest.New()
	openAll(t, fs, 1<<20)
	b := fs.Files()["00000001.spool"]
	binary.LittleEndian.PutUint64(b[8:], before)
	binary.LittleEndian.PutUint32(b[16:], crc32.Checksum(b[:16], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// Whatever is on the disk, opening ends, gives nothing that has a wrong sum, and
// what is written afterwards is there the next time.
func FuzzOpen(f *testing.F) {
	fs := spooltest.New()
	s, _ := openAll(f, fs, 1<<20)
	s.Append(spool.Record{Meta: []byte("meta"), Body: []byte("body")}, spool.Record{Meta: []byte("more")})
	f.Add(fs.Files()["00000001.spool"], true)
	f.Add(emptySegment(f, 0), false)
	f.Fuzz(func(t *testing.T, b []byte, last bool) {
		fs := spooltest.New()
		fs.Put("00000001.spool", bytes.Clone(b))
		if !last {
			fs.Put("00000002.spool", emptySegment(t, uint64(len(b))))
		}
		s, all := openAll(t, fs, 1<<20)
		for _, r := range all {
			if got, err := s.Read(r.at); err == nil && (string(got.Meta) != r.meta || len(got.Body) != r.body) {
				t.Fatalf("listed as %v, read as %q and %d bytes", r, got.Meta, len(got.Body))
			}
		}
		if _, _, err := s.Append(spool.Record{Meta: []byte("after")}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		_, again := openAll(t, fs, 1<<20)
		if n := len(again); n != len(all)+1 || again[n-1].meta != "after" {
			t.Fatalf("%v, then %v", all, again)
		}
	})
}
