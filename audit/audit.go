// Package audit keeps who asked for what, and whether it was allowed: one record
// a call, appended before the call has an effect, never changed.
//
// It owns one directory with three journals, so that no flood of reads, refusals and
// events drives out the records of what was changed, nor one of events the refusals. An
// event has one record, of when it was accepted. Any other invocation that was allowed and
// ran has no record here: its report in the node's journal says who asked for it,
// and [Log.Query] reads both. Records survive the end of the process as reports do
// (package journal), and the oldest go when a journal's budget is used up.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/journal"
)

// Config is what a [Log] is made from.
type Config struct {
	Dir    string // the log's own, made if it is not there
	Budget int64  // bytes of each of the three journals
	// Reports is the journal of invocations; nil is none.
	Reports *journal.Journal
	Log     *slog.Logger
}

// Log is an open audit log. Its methods are for any number of goroutines.
type Log struct {
	reports *journal.Journal
	changes *journal.Journal // allowed calls that change something
	others  *journal.Journal // reads, refusals, invocations that did not run
	events  *journal.Journal // events that were accepted
}

// Open opens the log in a directory.
func Open(c Config) (*Log, error) {
	l := &Log{reports: c.Reports}
	for name, j := range map[string]**journal.Journal{"changes": &l.changes, "others": &l.others, "events": &l.events} {
		var err error
		*j, err = journal.Open(journal.Config{Dir: filepath.Join(c.Dir, name), Budget: c.Budget, SegmentBytes: c.Budget / 16, Log: c.Log})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("audit: %w", err), l.Close())
		}
	}
	return l, nil
}

// journals are those that are open.
func (l *Log) journals() []*journal.Journal {
	return slices.DeleteFunc([]*journal.Journal{l.changes, l.others, l.events}, func(j *journal.Journal) bool { return j == nil })
}

// Close closes the log.
func (l *Log) Close() (err error) {
	for _, j := range l.journals() {
		err = errors.Join(err, j.Close())
	}
	return err
}

// Longest texts of a record, in bytes: callers choose some of them.
const maxText = 2048

// Append keeps a record. When it returns nil, the record survives this process.
func (l *Log) Append(r auth.Record) error {
	r.Resource, r.Reason = clip(r.Resource), clip(r.Reason)
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	switch {
	case r.Allowed && changes(r.Action):
		return l.changes.AppendFrame(b)
	case r.Allowed && r.Reason == auth.ReasonEvent:
		return l.events.AppendFrame(b)
	}
	return l.others.AppendFrame(b)
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// changes says whether an action changes something. What is not known to read
// does.
func changes(action string) bool {
	_, verb, _ := strings.Cut(action, ":")
	for _, reads := range []string{"Get", "List", "Describe", "Filter", "Invoke"} {
		if strings.HasPrefix(verb, reads) {
			return false
		}
	}
	return true
}

// Query asks for records. All members narrow it; the zero value is none.
type Query struct {
	Since, Until time.Time // Since is included, Until is not
	Caller       string    // an ARN, the name of a user, or an access key id
	Action       string    // with or without its prefix
	Function     string    // the name of a function
	Tenant       *alcove.Tenant
	Denied       bool // only what was not allowed
	// Limit bounds the answer, to the newest; zero means DefaultLimit.
	Limit int
}

// Bounds of answers.
const (
	DefaultLimit = 1000
	MaxLimit     = 10_000
)

// Query gives records, oldest first.
func (l *Log) Query(q Query) ([]auth.Record, error) {
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	q.Limit = min(q.Limit, MaxLimit)
	found := newest{limit: q.Limit}
	for _, j := range l.journals() {
		err := j.ReadFrames(j.Since(q.Since), func(_ journal.Position, b []byte) error {
			var r auth.Record
			if err := json.Unmarshal(b, &r); err != nil {
				return fmt.Errorf("audit: %w", err)
			}
			found.add(q, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if l.reports != nil && !q.Denied {
		err := l.reports.Read(l.reports.Since(q.Since), func(_ journal.Position, r *alcove.Report) error {
			// One without a caller is older than the audit log; one of a failure has a
			// record of its own (auth.Failed), and so has an event, of when it was accepted,
			// whatever became of it.
			if r.Caller != "" && r.Status != alcove.StatusFailure && r.Attempt == 0 {
				found.add(q, ofReport(r))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found.sorted(), nil
}

// ofReport is the record that a report stands for. Its time is when the event was
// handed over.
func ofReport(r *alcove.Report) auth.Record {
	rec := auth.Record{Time: r.Started.UTC(), RequestID: r.RequestID, Caller: r.Caller, AccessKeyID: r.AccessKey,
		Action: "lambda:InvokeFunction", Resource: r.InvokedARN, Tenant: r.Tenant, Allowed: true}
	if r.Source.IsValid() {
		rec.Source = r.Source.String()
	}
	return rec
}

// match says whether a query asks for a record.
func (q *Query) match(r *auth.Record) bool {
	switch {
	case r.Time.Before(q.Since), !q.Until.IsZero() && !r.Time.Before(q.Until):
	case q.Denied && r.Allowed, q.Tenant != nil && *q.Tenant != r.Tenant:
	case q.Caller != "" && q.Caller != r.Caller && q.Caller != r.AccessKeyID && !strings.HasSuffix(r.Caller, ":user/"+q.Caller):
	case q.Action != "" && !strings.EqualFold(q.Action, r.Action) && !strings.EqualFold(q.Action, r.Action[strings.IndexByte(r.Action, ':')+1:]):
	case q.Function != "" && !about(r.Resource, q.Function):
	default:
		return true
	}
	return false
}

// about says whether an ARN is a function's of that name, or of a qualifier of it.
func about(arn, function string) bool {
	_, name, ok := strings.Cut(arn, ":function:")
	name, _, _ = strings.Cut(name, ":")
	return ok && name == function
}

// newest keeps the newest records that were added, in memory for twice as many.
type newest struct {
	limit int
	list  []auth.Record
}

func (n *newest) add(q Query, r auth.Record) {
	if !q.match(&r) {
		return
	}
	n.list = append(n.list, r)
	if len(n.list) >= 2*n.limit {
		n.sorted()
	}
}

func (n *newest) sorted() []auth.Record {
	slices.SortStableFunc(n.list, func(a, b auth.Record) int { return a.Time.Compare(b.Time) })
	if over := len(n.list) - n.limit; over > 0 {
		n.list = slices.Delete(n.list, 0, over)
	}
	return n.list
}
