package logs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

const roleVariable = "ALCOVE_LOGS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "appender":
		appendForEver(os.Args[1])
	case "full-disk":
		if err := fillDisk(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	default:
		os.Exit(m.Run())
	}
}

func role(name, dir string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", dir)
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// Many tenants at once: each line is stored once, under its own tenant, in
// the order in which its stream wrote it.
func TestConcurrentWriters(t *testing.T) {
	s := openStore(t, Config{BatchEvery: time.Millisecond, Now: time.Now})
	const tenants, each = 20, 300
	var wg sync.WaitGroup
	for i := range tenants {
		wg.Go(func() {
			w := s.Stream("g", fmt.Sprint("stream-", i))
			for j := range each {
				w.Append(alcove.Tenant(fmt.Sprint("t", i)), time.Now(), fmt.Appendf(nil, "%02d-%03d", i, j))
			}
		})
	}
	wg.Wait()
	for i := range tenants {
		var want []string
		for j := range each {
			want = append(want, fmt.Sprintf("%02d-%03d", i, j))
		}
		got := all(t, s, Query{Group: "g", Tenant: tenant(fmt.Sprint("t", i))})
		if !slices.Equal(got, want) {
			t.Errorf("tenant %d has %d lines", i, len(got))
		}
	}
	if st := s.Stats(); st.Lines != tenants*each || st.Dropped != 0 || st.Lost != 0 || st.Queued != 0 {
		t.Errorf("stats %+v", st)
	}
}

// pause keeps the writing goroutine busy until the function it gives is called.
func pause(t *testing.T, s *Store) (resume func()) {
	t.Helper()
	entered, release := make(chan struct{}), make(chan struct{})
	go s.do(context.Background(), func() error { close(entered); <-release; return nil })
	<-entered
	return sync.OnceFunc(func() { close(release) })
}

// A flood of one tenant costs that tenant lines, which its stream says; no
// other tenant loses any.
func TestFloodOfOneTenant(t *testing.T) {
	s := openStore(t, Config{QueueBytes: 1 << 20})
	resume := pause(t, s)
	defer resume()
	loud, quiet := s.Stream("g", "loud"), s.Stream("g", "quiet")
	line := bytes.Repeat([]byte("x"), 1000)
	var want []string
	for i := range 2000 {
		loud.Append("loud", base, line)
		if i%20 == 0 {
			text := fmt.Sprintf("q%04d", i)
			want = append(want, text)
			quiet.Append("quiet", base, []byte(text))
		}
	}
	st := s.Stats()
	if st.Dropped == 0 || st.DroppedBytes != st.Dropped*1000 || st.Queued > 1<<20 {
		t.Fatalf("stats %+v", st)
	}
	resume()
	if got := all(t, s, Query{Group: "g", Tenant: tenant("quiet")}); !slices.Equal(got, want) {
		t.Errorf("quiet has %d of %d lines", len(got), len(want))
	}
	got := all(t, s, Query{Group: "g", Streams: []string{"loud"}, Tenant: tenant("loud")})
	var record struct {
		Type   string
		Record struct{ DroppedRecords, DroppedBytes int64 }
	}
	last := got[len(got)-1]
	if err := json.Unmarshal([]byte(last), &record); err != nil || record.Type != "platform.logsDropped" ||
		record.Record.DroppedRecords != st.Dropped || record.Record.DroppedBytes != st.DroppedBytes {
		t.Errorf("last line %s, dropped %d: %v", last, st.Dropped, err)
	}
	if int64(len(got)-1)+st.Dropped != 2000 {
		t.Errorf("%d lines stored, %d dropped", len(got)-1, st.Dropped)
	}
	loud.Append("loud", base, []byte("again"))
	if got := all(t, s, Query{Group: "g", Tenant: tenant("loud")}); !slices.Contains(got, "again") {
		t.Error("nothing is stored after a flood")
	}
}

// However many flood, the queue stays bounded and a newcomer finds room.
func TestFloodOfManyTenants(t *testing.T) {
	const limit = 1 << 20
	s := openStore(t, Config{QueueBytes: limit})
	resume := pause(t, s)
	defer resume()
	line := bytes.Repeat([]byte("x"), 500)
	for range 200 {
		for i := range 100 {
			s.Stream("g", fmt.Sprint(i)).Append(alcove.Tenant(fmt.Sprint("t", i)), base, line)
		}
	}
	if st := s.Stats(); st.Queued > 2*limit || st.Dropped == 0 {
		t.Fatalf("stats %+v", st)
	}
	s.Stream("g", "new").Append("new", base, []byte("here"))
	resume()
	if got := all(t, s, Query{Group: "g", Tenant: tenant("new")}); !slices.Equal(got, []string{"here"}) {
		t.Errorf("the newcomer has %q", got)
	}
}

// Functions without tenants share by group.
func TestFloodOfAGroup(t *testing.T) {
	s := openStore(t, Config{QueueBytes: 1 << 20})
	resume := pause(t, s)
	defer resume()
	for range 2000 {
		s.Stream("loud", "s").Append("", base, bytes.Repeat([]byte("x"), 1000))
	}
	s.Stream("quiet", "s").Append("", base, []byte("here"))
	resume()
	if got := all(t, s, Query{Group: "quiet"}); !slices.Equal(got, []string{"here"}) {
		t.Errorf("the other group has %q", got)
	}
}

func TestFlushHonoursItsContext(t *testing.T) {
	s := openStore(t, Config{})
	resume := pause(t, s)
	defer resume()
	s.Stream("g", "s").Append("", base, []byte("x"))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no more patience")
	cancel(why)
	if err := s.Flush(ctx); err != why {
		t.Errorf("flush: %v", err)
	}
}

func TestCloseStoresWhatIsQueued(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), BatchEvery: time.Hour, Now: func() time.Time { return base }}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Stream("g", "s").Append("", base, []byte("x"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Query(t.Context(), Query{Group: "g"}); err == nil {
		t.Error("a closed store answers")
	}
	if got := all(t, openStore(t, cfg), Query{Group: "g"}); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// Beyond the budget the oldest day goes, then of the only day the oldest
// events; new ones are always stored.
func TestBudget(t *testing.T) {
	clock := base.AddDate(0, 0, -3)
	const budget = 16 << 20
	s := openStore(t, Config{Budget: budget, Now: func() time.Time { return clock }})
	fillDay := func(bytes int) (last string) {
		w := s.Stream("g", clock.Format(time.DateOnly))
		for i := range bytes / 10_000 {
			last = fmt.Sprintf("%s-%06d-%s", clock.Format(time.DateOnly), i, noise(10_000))
			w.Append("blue", clock.Add(time.Duration(i)*time.Millisecond), []byte(last))
			if i%100 == 0 {
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		return last
	}
	for range 3 {
		fillDay(6 << 20)
		clock = clock.AddDate(0, 0, 1)
	}
	var st Stats
	eventually(t, func() (bool, string) { // days that are over are made small in the background
		st = s.Stats()
		return st.Trimmings > 0 && st.Bytes < budget+(4<<20), fmt.Sprintf("%+v", st)
	})
	first := query(t, s, Query{Group: "g", Limit: 1}).Events[0]
	if string(first.Message[:17]) <= "2026-11-20-000100" || string(first.Message[:17]) > "2026-11-21-000100" {
		t.Errorf("the oldest event is %.30s", first.Message)
	}
	g, err := s.Group(t.Context(), "g")
	if err != nil || g.Bytes < 8<<20 || g.Bytes > budget {
		t.Errorf("group %+v, %v", g, err)
	}
	last := fillDay(40 << 20)
	eventually(t, func() (bool, string) {
		st = s.Stats()
		return st.Days == 1 && st.Bytes < budget+(4<<20) && st.Lost == 0, fmt.Sprintf("%+v", st)
	})
	newest := query(t, s, Query{Group: "g", Limit: 1, NewestFirst: true}).Events[0]
	if string(newest.Message) != last {
		t.Errorf("the newest event is %.30s", newest.Message)
	}
}

// appendForEver appends and prints each line's name once it is flushed.
func appendForEver(dir string) {
	s, err := Open(Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		name := fmt.Sprint("line-", i)
		s.Stream("g", fmt.Sprint("s", i%3)).Append("blue", time.Now(), []byte(name))
		if i%10 == 9 {
			if err := s.Flush(context.Background()); err != nil {
				panic(err)
			}
			fmt.Println(i + 1)
		}
		if i%30 == 29 { // and is killed while blocks are made, now and then
			err := s.do(context.Background(), func() error {
				for _, sh := range s.shards.list {
					if err := s.compact(sh); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				panic(err)
			}
		}
	}
}

// What was flushed before a kill -9 can be read after it, once.
func TestFlushedEventsSurviveKill(t *testing.T) {
	dir := t.TempDir()
	cmd := role("appender", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	flushed := 0
	lines := bufio.NewScanner(out)
	for flushed < 500 && lines.Scan() {
		fmt.Sscan(lines.Text(), &flushed)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		fmt.Sscan(lines.Text(), &flushed)
	}
	cmd.Wait()
	if flushed < 500 {
		t.Fatalf("only %d events before the kill", flushed)
	}
	s := openStore(t, Config{Dir: dir, Now: time.Now})
	seen := make(map[string]int)
	for _, m := range all(t, s, Query{Group: "g"}) {
		seen[m]++
	}
	for i := range flushed {
		if n := seen[fmt.Sprint("line-", i)]; n != 1 {
			t.Fatalf("line %d is there %d times", i, n)
		}
	}
	s.Stream("g", "s0").Append("blue", time.Now(), []byte("after"))
	if got := all(t, s, Query{Group: "g"}); !slices.Contains(got, "after") {
		t.Error("nothing can be appended after the kill")
	}
}

// A full disk costs lines, oldest days first, and ends when there is room.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small file system")
	}
	cmd := role("full-disk", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
}

// fillDisk runs in a mount namespace of its own.
func fillDisk(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		return err
	}
	ctx := context.Background()
	var logged bytes.Buffer
	clock := base.AddDate(0, 0, -2)
	s, err := Open(Config{Dir: filepath.Join(dir, "logs"), Now: func() time.Time { return clock }, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		return err
	}
	defer s.Close()
	line := func(i int) []byte {
		return fmt.Appendf(nil, "%s-%06d-%s", clock.Format(time.DateOnly), i, noise(10_000))
	}
	fill := func(bytes int) error {
		for i := range bytes / 10_000 {
			s.Stream("g", "s").Append("blue", clock, line(i))
			if i%50 == 0 {
				if err := s.Flush(ctx); err != nil {
					return err
				}
			}
		}
		return s.Flush(ctx)
	}
	// Three days of 8 MB do not fit: the first goes.
	for range 3 {
		if err := fill(8 << 20); err != nil {
			return err
		}
		clock = clock.AddDate(0, 0, 1)
	}
	st := s.Stats()
	if st.DaysDeleted == 0 || st.Lost > 0 {
		return fmt.Errorf("after three days: %+v, log: %s", st, &logged)
	}
	// Somebody else takes the rest: events are lost or older ones go, and the
	// store goes on.
	ballast, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		return err
	}
	for err = nil; err == nil; {
		_, err = ballast.Write(make([]byte, 64<<10))
	}
	for range 5 {
		if err := fill(1 << 20); err != nil {
			return err
		}
		for err = nil; err == nil; {
			_, err = ballast.Write(make([]byte, 64<<10))
		}
	}
	full := s.Stats()
	if _, err := s.Query(ctx, Query{Group: "g", Limit: 1}); err != nil {
		return fmt.Errorf("query on a full disk: %w", err)
	}
	ballast.Close()
	if err := os.Remove(ballast.Name()); err != nil {
		return err
	}
	s.Stream("g", "s").Append("blue", clock, []byte("after"))
	p, err := s.Query(ctx, Query{Group: "g", NewestFirst: true, Limit: 3})
	if err != nil {
		return err
	}
	if !slices.Contains(messages(p.Events), "after") {
		return fmt.Errorf("with room again: %.80q, %+v, log: %s", messages(p.Events), s.Stats(), &logged)
	}
	if st := s.Stats(); st.Err != nil {
		return fmt.Errorf("with room again: %+v", st)
	}
	if full.Lost > 0 {
		q := Query{Group: "g", NewestFirst: true, Match: func(m []byte) bool { return bytes.Contains(m, []byte("platform.logsDropped")) }}
		if p, err := s.Query(ctx, q); err != nil || len(p.Events) == 0 {
			return fmt.Errorf("%d events are lost and no record says so: %v", full.Lost, err)
		}
	}
	if full.Lost+full.DaysDeleted+full.Trimmings < 2 {
		return fmt.Errorf("the disk was never full: %+v", full)
	}
	return nil
}

// Damaged files cost what was in them, not the service.
func TestDamagedFiles(t *testing.T) {
	for _, name := range []string{"index.db", "2026-11-23.db"} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Dir: t.TempDir(), Now: func() time.Time { return base }}
			if err := os.WriteFile(filepath.Join(cfg.Dir, name), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
			s := openStore(t, cfg)
			s.Stream("g", "s").Append("", base, []byte("x"))
			if got := all(t, s, Query{Group: "g"}); !slices.Equal(got, []string{"x"}) {
				t.Errorf("got %q", got)
			}
			if _, err := os.Stat(filepath.Join(cfg.Dir, name+".damaged")); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("empty day", func(t *testing.T) { // made, and killed before its first transaction
		cfg := Config{Dir: t.TempDir(), Now: func() time.Time { return base }}
		if err := os.WriteFile(filepath.Join(cfg.Dir, "2026-11-22.db"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, cfg)
		s.Stream("g", "s").Append("", base, []byte("x"))
		if got := all(t, s, Query{Group: "g"}); !slices.Equal(got, []string{"x"}) {
			t.Errorf("got %q", got)
		}
	})
}

// Whatever is in a chunk's row: no panic, and no more events than it says.
func FuzzChunk(f *testing.F) {
	r := &run{w: &Writer{}, events: []*event{{at: 5, message: []byte("hello")}, {at: 9, message: nil}}}
	f.Add(r.chunks()[0].payload, 2)
	f.Add([]byte{0, 255, 255, 255, 255, 255, 255, 255, 255, 1, 'x'}, 1)
	f.Fuzz(func(t *testing.T, payload []byte, lines int) {
		c := &chunk{payload: payload, lines: max(0, lines%1000)}
		places, err := c.places(newCodec())
		if err == nil && len(places) != c.lines {
			t.Fatalf("%d events of %d", len(places), c.lines)
		}
	})
}
