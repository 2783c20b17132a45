package logs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/alcove-run/alcove"
)

// filesWith are the files of a directory that have these bytes.
func filesWith(t *testing.T, dir, needle string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(needle)) {
			list = append(list, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Whatever was written, trimmed and deleted before, of a purged tenant no byte is in
// any file, and of the others every line.
func TestPurge(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 27, 23, 59, 0, 0, time.UTC)
	s, err := Open(Config{Dir: dir, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	s.codec = newCodec(zstd.WithNoEntropyCompression(true)) // of what comes first in a block every byte can be found
	random := rand.New(rand.NewPCG(3, 4))
	const canary = "canary-5c1d"
	want := 0
	write := func() {
		for i := range 400 {
			// Many tenants, so that the pages of names split.
			tenant := alcove.Tenant(fmt.Sprintf("tenant-%d", random.IntN(500)))
			if i%4 == 0 {
				tenant = canary + "-tenant"
			} else {
				want++
			}
			text := fmt.Sprintf("line of %s %s", tenant, strings.Repeat("x", random.IntN(3000)))
			s.Stream("group", fmt.Sprint("stream-", i%7)).Append(tenant, now, []byte(text))
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write()
	now = now.Add(3 * time.Hour) // another day
	write()
	// Rows that are gone already leave bytes behind as well.
	if err := s.do(t.Context(), func() error {
		for _, sh := range s.shards.list {
			if err := s.writing(sh); err != nil {
				return err
			}
			if err := s.compact(sh); err != nil {
				return err
			}
			if _, err := sh.delete(5, `tenant = (SELECT id FROM tenants WHERE name = ?)`, canary+"-tenant"); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// A question that has begun and has not looked at the day yet.
	reading := s.shards.acquire(-1<<40, 1<<40)
	if err := os.WriteFile(filepath.Join(dir, "2026-11-20.db.damaged"), []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(filesWith(t, dir, canary)) < 3 {
		t.Fatal("the test looks at the wrong place")
	}
	if err := s.PurgeTenant(t.Context(), canary+"-tenant"); err != nil {
		t.Fatal(err)
	}
	if list := filesWith(t, dir, canary); len(list) > 0 {
		t.Errorf("the tenant's bytes are in %q", list)
	}
	pl, err := s.plan(t.Context(), Query{Group: "group"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.scanDay(t.Context(), reading[1], pl, func(*chunk) {}, func(*chunk, mark, []byte) error { return nil }); err != errReplaced {
		t.Errorf("%v", err)
	}
	for _, sh := range reading {
		sh.release()
	}
	count := func() int {
		n := 0
		for q := (Query{Group: "group", Limit: 100}); ; {
			p, err := s.Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			n += len(p.Events)
			if q.After = p.Next; p.Next == "" {
				return n
			}
		}
	}
	if got := count(); got != want {
		t.Errorf("%d lines of others, want %d", got, want)
	}
	// Who comes back begins anew.
	write()
	if len(filesWith(t, dir, canary)) == 0 {
		t.Error("nothing is stored any more")
	}
	if got := count(); got != want+100 {
		t.Errorf("%d lines, want %d", got, want+100)
	}
}

// A purge that was killed between the deletion and the new files goes on where the
// tenant's name is not there any more.
func TestPurgeGoesOn(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.codec = newCodec(zstd.WithNoEntropyCompression(true))
	for range 100 {
		s.Stream("group", "stream").Append("canary", time.Now(), []byte("canary line "+strings.Repeat("x", 2000)))
		s.Stream("group", "stream").Append("other", time.Now(), []byte("line"))
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.do(t.Context(), func() error {
		w := s.shards.list[0].w
		if err := s.compact(s.shards.list[0]); err != nil {
			return err
		}
		for _, statement := range []string{`DELETE FROM blocks WHERE tenant = (SELECT id FROM tenants WHERE name = 'canary')`, `DELETE FROM held`,
			`DELETE FROM tenants WHERE name = 'canary'`, `PRAGMA user_version = 1`} {
			if err := drainRows(w, statement); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(filesWith(t, dir, "canary")) == 0 {
		t.Fatal("deleting alone is enough: the test does not show anything")
	}
	// And one that was killed after the new file took its name, or before.
	copyFile(t, filepath.Join(dir, filepath.Base(s.shards.list[0].path)), filepath.Join(dir, "2001-02-03.db"))
	copyFile(t, filepath.Join(dir, "2001-02-03.db"), filepath.Join(dir, "2001-02-03.1.db"))
	copyFile(t, filepath.Join(dir, "2001-02-03.db"), filepath.Join(dir, "2001-02-03.2.db"+unfinishedSuffix))
	if s, err = Open(Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.PurgeTenant(t.Context(), "canary"); err != nil {
		t.Fatal(err)
	}
	if list := filesWith(t, dir, "canary"); len(list) > 0 {
		t.Errorf("the tenant's bytes are in %q", list)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
