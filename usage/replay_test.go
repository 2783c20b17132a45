package usage

import (
	"bufio"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/journal"
)

var replayed = flag.Int("invocations", 30_000, "how many invocations TestReplay replays")

// roleVariable makes the test program a node that is killed; see TestMain.
const roleVariable = "ALCOVE_USAGE_TEST_NODE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(roleVariable); dir != "" {
		if err := node(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// node appends reports of the numbers that it reads, says when each thousand is in
// the journal, and keeps a ledger of them, until it is killed or there are no more.
func node(dir string) error {
	j, l, err := replayBooks(dir)
	if err != nil {
		return err
	}
	var first, last int
	if _, err := fmt.Sscan(os.Getenv(roleVariable+"_FROM"), &first, &last); err != nil {
		return err
	}
	for n := first; n < last; n++ {
		if err := j.Append(replayReport(n)); err != nil {
			return err
		}
		fmt.Println(n)
	}
	if err := l.Close(); err != nil {
		return err
	}
	return j.Close()
}

func replayBooks(dir string) (*journal.Journal, *Ledger, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	j, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal"), SegmentBytes: 1 << 20, Budget: 2 << 20, Consumers: []string{Consumer}, Log: log})
	if err != nil {
		return nil, nil, err
	}
	l, err := Open(Config{Dir: filepath.Join(dir, "usage"), Journal: j, Prices: ListPrices(), Entries: 1 << 40, GatherEvery: 20 * time.Millisecond, Log: log})
	return j, l, err
}

// replayReport is the nth report: whatever it is, it is the same each time.
func replayReport(n int) *alcove.Report {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	var id uuid.UUID
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return &alcove.Report{
		RequestID: id.String(), FunctionID: fmt.Sprint("function-", n%7), Function: fmt.Sprint("f", n%7), Version: "$LATEST",
		Tenant: alcove.Tenant(fmt.Sprint("tenant-", r.IntN(200))), Environment: "0123456789abcdef0123456789abcdef", Isolation: "gvisor",
		Started: noon.Add(time.Duration(n) * 100 * time.Millisecond), Billed: time.Duration(1+r.IntN(3000)) * time.Millisecond,
		MemorySize: 128 << r.IntN(4), Ephemeral: 512 << r.IntN(2), Architecture: []string{"x86_64", "arm64"}[r.IntN(2)],
		Status: []alcove.Status{alcove.StatusSuccess, alcove.StatusSuccess, alcove.StatusSuccess, alcove.StatusError, alcove.StatusTimeout, alcove.StatusFailure}[r.IntN(6)],
		Bound:  r.IntN(50) == 0, BytesIn: r.IntN(1000), BytesOut: r.IntN(1000), LogBytes: int64(r.IntN(5000)),
		Caller: "arn:aws:iam::000000000000:user/replay", AccessKey: "AKIAREPLAY", InvokedARN: "arn:aws:lambda:us-east-1:000000000000:function:f",
	}
}

// A million invocations (-invocations 1000000; 30,000 where tests run on every
// change), with a kill -9 after every few of them, are in the ledger to the last
// one: every acknowledged report once, no sum more or less.
func TestReplay(t *testing.T) {
	dir := t.TempDir()
	total := *replayed
	kills, last := 0, 0
	random := rand.New(rand.NewPCG(1, 2))
	acknowledged := 0
	for last < total {
		end := min(last+1+random.IntN(total/8), total)
		kill := end < total
		to := end
		if kill {
			to = total
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleVariable+"="+dir, fmt.Sprintf("%s_FROM=%d %d", roleVariable, last, to))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			n := 0
			if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
				break // the last line before the kill may be cut off
			}
			acknowledged = n + 1
			if kill && acknowledged == end {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		err = cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			kills++
		} else if err != nil {
			t.Fatal(err)
		}
		// What it appended and had not said yet is in the journal or not; who came
		// next would know. Here the ledger's own last entry tells, once all is read.
		last = acknowledged
		j, l, err := replayBooks(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.CatchUp(); err != nil {
			t.Fatal(err)
		}
		var invocations, failures int
		row, err := l.Query(t.Context(), Query{}, func(*Row) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		invocations, failures = int(row.Invocations), int(row.Failures)
		if n := invocations + failures; n < acknowledged || n > acknowledged+1 {
			t.Fatalf("after %d kills %d reports were acknowledged, the ledger has %d", kills, acknowledged, n)
		} else {
			last = n
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if kills < 3 {
		t.Errorf("only %d kills", kills)
	}
	reconcile(t, dir, total)
	t.Logf("%d invocations, %d kills", total, kills)
}

// reconcile compares the ledger with the reports, sum by sum and entry by entry.
func reconcile(t *testing.T, dir string, total int) {
	want := make(map[string]*Row)
	var ids []string // of entries, in their order
	for n := range total {
		r := replayReport(n)
		at := r.Started.UTC().Format(time.DateOnly) + " " + string(r.Tenant) + " " + r.FunctionID
		row := want[at]
		if row == nil {
			row = newRow()
			want[at] = row
		}
		s := sumsOf(r)
		row.add(&s, r.Architecture, ListPrices())
		ids = append(ids, r.RequestID+" "+KindInvocation)
		if s.Environments > 0 {
			ids = append(ids, r.RequestID+" "+KindEnvironment)
		}
	}
	j, l, err := replayBooks(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	defer l.Close()
	rows := 0
	all, err := l.Query(t.Context(), Query{By: []By{ByDay, ByTenant, ByFunction}}, func(r *Row) error {
		rows++
		w := want[r.Day+" "+string(*r.Tenant)+" "+r.FunctionID]
		if w == nil || w.Sums != r.Sums || w.Cost.rat.Cmp(&r.Cost.rat) != 0 {
			return fmt.Errorf("%s %s %s: %+v, want %+v", r.Day, *r.Tenant, r.FunctionID, r, w)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows != len(want) || int(all.Invocations+all.Failures) != total {
		t.Errorf("%d rows, want %d; %d invocations and %d failures of %d", rows, len(want), all.Invocations, all.Failures, total)
	}
	for after := int64(0); ; {
		n := 0
		if err := l.Entries(t.Context(), Query{}, after, MaxEntryLimit, func(e *Entry) error {
			n++
			after = e.ID
			if len(ids) == 0 || ids[0] != e.RequestID+" "+e.Kind {
				return fmt.Errorf("entry %d is %s of %s, want %q", e.ID, e.Kind, e.RequestID, strings.Join(ids[:min(1, len(ids))], ""))
			}
			ids = ids[1:]
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if len(ids) > 0 {
		t.Errorf("%d entries are missing", len(ids))
	}
}

// BenchmarkLedger measures what an invocation costs the ledger, in processor time.
func BenchmarkLedger(b *testing.B) {
	dir := b.TempDir()
	j, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	for n := range b.N {
		if err := j.Append(replayReport(n)); err != nil {
			b.Fatal(err)
		}
	}
	l := &Ledger{cfg: Config{Dir: filepath.Join(dir), Journal: j, Entries: 1 << 40, Log: slog.New(slog.DiscardHandler)}, log: slog.New(slog.DiscardHandler)}
	runtime.GC()
	before := processorTime(b)
	b.ResetTimer()
	if err := l.CatchUp(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
	l.db.Close()
	var bytes int64
	for _, name := range []string{"ledger.db", "ledger.db-wal"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			bytes += info.Size()
		}
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "disk-bytes/op")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
