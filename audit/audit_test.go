package audit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/internal/slow"
	"github.com/alcove-run/alcove/journal"
)

var start = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string, budget int64) *Log {
	t.Helper()
	reports, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(Config{Dir: filepath.Join(dir, "audit"), Budget: budget, Reports: reports})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); reports.Close() })
	return l
}

func record(i int, action string, allowed bool) auth.Record {
	return auth.Record{Time: start.Add(time.Duration(i) * time.Second), RequestID: fmt.Sprint(i), Caller: "arn:aws:iam::000000000000:user/ann",
		AccessKeyID: "AKIA", Source: "10.0.0.1", Action: action, Resource: "arn:aws:lambda:us-east-1:000000000000:function:f:1", Allowed: allowed}
}

func ids(t *testing.T, l *Log, q Query) string {
	t.Helper()
	list, err := l.Query(q)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range list {
		out = append(out, r.RequestID)
	}
	return strings.Join(out, " ")
}

func TestQuery(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, 1<<20)
	denied := record(3, "lambda:GetFunction", false)
	denied.Reason = "because"
	blue := record(4, "lambda:InvokeFunction", true)
	blue.Tenant, blue.Reason = "blue", "TooManyRequestsException"
	root := record(5, "alcove:CreateKey", true)
	root.Caller, root.AccessKeyID, root.Resource = "arn:aws:iam::000000000000:root", "AKIAROOT", "arn:aws:alcove:us-east-1:000000000000:key/*"
	want := []auth.Record{record(1, "lambda:CreateFunction", true), record(2, "lambda:GetFunction", true), denied, blue, root}
	for _, i := range []int{2, 0, 4, 3, 1} { // calls at once are recorded in any order
		if err := l.Append(want[i]); err != nil {
			t.Fatal(err)
		}
	}
	report := &alcove.Report{RequestID: "6", Started: start.Add(6 * time.Second), Function: "f", Version: "1", Tenant: "blue", Caller: "arn:aws:iam::000000000000:user/bob",
		AccessKey: "AKIABOB", Source: netip.MustParseAddr("10.0.0.2"), InvokedARN: "arn:aws:lambda:us-east-1:000000000000:function:f:live"}
	old := *report
	old.RequestID, old.Caller = "7", "" // of a node before it
	for _, r := range []*alcove.Report{report, &old} {
		if err := l.reports.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want, auth.Record{Time: start.Add(6 * time.Second), RequestID: "6", Caller: "arn:aws:iam::000000000000:user/bob", AccessKeyID: "AKIABOB",
		Source: "10.0.0.2", Action: "lambda:InvokeFunction", Resource: report.InvokedARN, Tenant: "blue", Allowed: true})
	got, err := l.Query(Query{})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, got, want)
	}
	// Of an event there is one record, of when it was accepted, however often it runs.
	event := record(7, "lambda:InvokeFunction", true)
	event.Reason = auth.ReasonEvent
	want = append(want, event)
	if err := l.Append(event); err != nil {
		t.Fatal(err)
	}
	for attempt := range 2 {
		run := *report
		run.RequestID, run.Attempt = event.RequestID, attempt+1
		if err := l.reports.Append(&run); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := l.Query(Query{}); err != nil || !slices.Equal(got, want) {
		t.Errorf("with an event: %v\n%+v\nwant\n%+v", err, got, want)
	}
	none := alcove.Tenant("")
	tenant := alcove.Tenant("blue")
	for _, c := range []struct {
		name string
		q    Query
		want string
	}{
		{"since", Query{Since: start.Add(5 * time.Second)}, "5 6 7"},
		{"until", Query{Until: start.Add(2 * time.Second)}, "1"},
		{"denied", Query{Denied: true}, "3"},
		{"a user", Query{Caller: "bob"}, "6"},
		{"an ARN", Query{Caller: "arn:aws:iam::000000000000:root"}, "5"},
		{"a key", Query{Caller: "AKIA"}, "1 2 3 4 7"},
		{"an action", Query{Action: "lambda:getfunction"}, "2 3"},
		{"an action without its prefix", Query{Action: "InvokeFunction"}, "4 6 7"},
		{"a function", Query{Function: "f"}, "1 2 3 4 6 7"},
		{"another function", Query{Function: "f:1"}, ""},
		{"a tenant", Query{Tenant: &tenant}, "4 6"},
		{"no tenant", Query{Tenant: &none}, "1 2 3 5 7"},
		{"the newest", Query{Limit: 2}, "6 7"},
	} {
		if got := ids(t, l, c.q); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(root); err == nil {
		t.Error("a closed log keeps records")
	}
}

func TestAFloodLeavesWhatWasChanged(t *testing.T) {
	l := open(t, t.TempDir(), 64<<10)
	if err := l.Append(record(0, "lambda:DeleteFunction", true)); err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		r := record(i+1, "lambda:DeleteFunction", false)
		r.Reason = strings.Repeat("é", rand.IntN(3*maxText))
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if got := ids(t, l, Query{Until: start.Add(time.Second)}); got != "0" {
		t.Errorf("the record of the change: %q", got)
	}
	// Segments are discarded once those after them are on the disk.
	end := time.Now().Add(slow.Patience(time.Minute))
	s := l.others.Stats()
	for ; (s.Bytes > 80<<10 || s.Discarded == 0) && time.Now().Before(end); s = l.others.Stats() {
		time.Sleep(time.Millisecond)
	}
	if s.Bytes > 80<<10 || s.Discarded == 0 {
		t.Errorf("the others have %d bytes, %d segments discarded", s.Bytes, s.Discarded)
	}
}
