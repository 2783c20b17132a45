package environment

import (
	"time"

	"github.com/alcove-run/alcove/sandbox/supervise"
	"github.com/alcove-run/alcove/telemetry"
)

// feed gives records to the supervisor, which has the subscriptions and all that
// waits for them: here is nothing of it but what the supervisor has not read yet.
// Records are an environment's own, and so is its supervisor. A nil supervisor wants
// nothing. It is guarded by output.mu.
type feed struct {
	to *supervisor
	// kinds and forms are what anybody wants, everything for as long as somebody may
	// still subscribe.
	kinds, forms byte
	subscribed   struct{ kinds, forms byte }
	buf          []byte
}

// feedTo begins it.
func (o *output) feedTo(s *supervisor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.feed = feed{to: s, kinds: supervise.KindPlatform | supervise.KindFunction | supervise.KindExtension, forms: supervise.AllForms}
}

// subscribed adds what an extension wants.
func (o *output) subscribed(kinds, forms byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.feed.subscribed.kinds |= kinds
	o.feed.subscribed.forms |= forms
}

// settled is the end of subscriptions.
func (o *output) settled() {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := &o.feed
	f.kinds, f.forms = f.subscribed.kinds, f.subscribed.forms
}

// platform gives a record of the platform's, in every form that somebody wants. Those
// that AWS does not have are for the log alone.
func (f *feed) platform(r telemetry.Record) {
	if f.to == nil || f.kinds&supervise.KindPlatform == 0 {
		return
	}
	switch r.(type) {
	case *telemetry.EgressRefused:
		return
	case *telemetry.Fault: // of the Logs API
	default:
		if forms := f.forms & (supervise.FormObject | supervise.FormString); forms != 0 {
			f.send(supervise.KindPlatform, forms, r.AppendJSON(f.begin()))
		}
	}
	f.logs(r)
	if done, ok := r.(*telemetry.RuntimeDone); ok {
		f.logs(telemetry.End{Done: done})
	}
}

// logs gives a record in the forms of the Logs API, if it has it.
func (f *feed) logs(r any) {
	l, ok := r.(telemetry.LogsRecord)
	if !ok {
		return
	}
	for _, form := range []byte{supervise.FormLogs, supervise.FormLogs21} {
		if f.forms&form == 0 {
			continue
		}
		if b := l.AppendLogs(f.begin(), form == supervise.FormLogs21); len(b) > 0 {
			f.send(supervise.KindPlatform, form, b)
		}
	}
}

// wrote gives a line that the function or an extension wrote.
func (f *feed) wrote(source string, at time.Time, message []byte, json bool) {
	kind := supervise.KindFunction
	if source == telemetry.SourceExtension {
		kind = supervise.KindExtension
	}
	if f.to == nil || f.kinds&kind == 0 {
		return
	}
	r := telemetry.Output{Time: at, Source: source, Message: message}
	if !json {
		f.send(kind, f.forms, r.AppendJSON(f.begin()))
		return
	}
	if forms := f.forms &^ supervise.FormObject; forms != 0 {
		f.send(kind, forms, r.AppendJSON(f.begin()))
	}
	if forms := f.forms & supervise.FormObject; forms != 0 {
		r.Object = true
		f.send(kind, forms, r.AppendJSON(f.begin()))
	}
}

// begin is memory for a record. What a large one took is not kept.
func (f *feed) begin() []byte {
	if cap(f.buf) > 16<<10 {
		f.buf = nil
	}
	return f.buf[:0]
}

// send gives the supervisor a record.
func (f *feed) send(kind, forms byte, record []byte) {
	f.buf = record
	f.to.record(kind, forms, record)
}
