package invoke

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/pool"
)

const (
	callersTrace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8"
	callersW3C   = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
)

// TestWhoDecidesOnATrace: the caller, else active tracing, else the node.
func TestWhoDecidesOnATrace(t *testing.T) {
	for _, c := range []struct {
		header, mode string
		share        float64 // of the node; negative is nobody who wants spans
		sampled      string
		newParent    bool
		traced, told bool
	}{
		{"", "PassThrough", -1, "0", true, false, false},
		{callersTrace, "PassThrough", -1, "0", false, false, false},
		{callersTrace + ";Sampled=1", "PassThrough", -1, "1", false, false, false},
		{callersTrace + ";Sampled=1", "Active", -1, "1", true, true, false},
		{callersTrace + ";Sampled=0", "Active", 1, "0", false, false, false},
		{callersTrace, "Active", -1, "1", true, true, false}, // the first of a second
		{callersTrace, "Active", 0, "1", true, true, true},
		{callersTrace, "PassThrough", 1, "1", true, true, true},
		{callersTrace, "PassThrough", 0, "0", false, false, false},
		{callersTrace + ";Sampled=1", "PassThrough", 0, "1", true, true, true},
	} {
		var saw *alcove.Invocation
		i, d, _, _ := newInvoker(func(inv *alcove.Invocation, o pool.StartOptions) (*alcove.Result, error) {
			saw = inv
			return answer(inv, o)
		})
		d.version.Config.Tracing = c.mode
		told := false
		if c.share >= 0 {
			i.cfg.Tracing = Tracing{Spans: func([]alcove.Span) { told = true }, Sample: func(id alcove.TraceID) bool { return InShare(id, c.share) }}
		}
		res, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue", Trace: alcove.ParseTrace(c.header)})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(saw.TraceID, ";Sampled="+c.sampled+";Lineage=") || res.Trace != saw.TraceID ||
			strings.Contains(saw.TraceID, "Parent=53995c3f42cd8ad8") == c.newParent || !strings.Contains(saw.TraceID, "Parent=") ||
			saw.Traced != c.traced || told != c.told {
			t.Errorf("%+v: %s, traced %v, told %v, answered %s", c, saw.TraceID, saw.Traced, told, res.Trace)
		}
	}
}

func TestSamplerTakesOneOfASecondAndOneInTwenty(t *testing.T) {
	var s sampler
	now, taken := time.Unix(1_700_000_000, 0), 0
	for n := range 100_000 {
		if s.take("f", now, alcove.NewTraceID(now)) {
			taken++
		}
		if n%1000 == 999 {
			now = now.Add(time.Second)
		}
	}
	if taken < 4600 || taken > 5600 { // 100, and 4,995 more or less 70
		t.Errorf("%d of 100,000 in 100 seconds", taken)
	}
	for n := range 3 * maxSampled {
		s.take(fmt.Sprint(n), now.Add(time.Duration(n)*time.Second), alcove.TraceID{})
	}
	if len(s.seconds) > maxSampled {
		t.Errorf("%d functions are known", len(s.seconds))
	}
}

// TestSpansAreOneTree under the caller's, whatever becomes of the invocation.
func TestSpansAreOneTree(t *testing.T) {
	good := func(inv *alcove.Invocation, _ pool.StartOptions) (*alcove.Result, error) {
		now := time.Now()
		return &alcove.Result{Report: alcove.Report{RequestID: inv.RequestID, Tenant: inv.Tenant, Started: now, Duration: time.Millisecond, Init: 5,
			Start: alcove.StartCold, StartReason: "nothing was there", Status: alcove.StatusSuccess, Environment: "env"},
			Phases: []alcove.Phase{{Name: "init", Start: now, End: now}, {Name: "init.sandbox", Start: now, End: now}}}, nil
	}
	for name, c := range map[string]struct {
		run    func(*alcove.Invocation, pool.StartOptions) (*alcove.Result, error)
		full   bool
		want   string // name<parent, in order
		failed string
	}{
		"cold": {good, false, "front<caller admit<front lease<front init<lease init.sandbox<init invoke<front", ""},
		"suppressed": {func(inv *alcove.Invocation, o pool.StartOptions) (*alcove.Result, error) {
			if !o.Suppressed {
				return nil, &environment.InitError{Type: "Runtime.ExitError"}
			}
			res, err := good(inv, o)
			res.Report.Init, res.Report.Status, res.Report.ErrorType, res.FunctionError = 0, alcove.StatusError, "Runtime.ExitError", "Unhandled"
			return res, err
		}, false, "front<caller admit<front lease<front lease<front init<invoke init.sandbox<init invoke<front", "Runtime.ExitError"},
		"platform": {func(*alcove.Invocation, pool.StartOptions) (*alcove.Result, error) { return nil, errors.New("broken") }, false,
			"front<caller admit<front lease<front", "ServiceException"},
		"refused": {good, true, "front<caller admit<front", alcove.CodeTooManyRequests},
	} {
		i, d, _, _ := newInvoker(c.run)
		if c.full {
			d.unreserved = 0
		}
		var spans []alcove.Span
		i.cfg.Tracing = Tracing{Spans: func(s []alcove.Span) { spans = s }}
		req := Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue", Trace: alcove.ReadTrace("", callersW3C, "v=1"), Received: time.Now()}
		res, _ := i.Invoke(context.Background(), alcove.Caller{}, req)
		names := map[alcove.SpanID]string{req.Trace.Parent: "caller"}
		for _, s := range spans {
			names[s.ID] = s.Name
			if s.Trace != req.Trace.ID || s.Tenant != "blue" || s.State != "v=1" || s.End.Before(s.Start) {
				t.Errorf("%s: %+v", name, s)
			}
			if s.Name == "invoke" && (res == nil || !strings.Contains(res.Trace, ";Parent="+s.ID.String()+";Sampled=1;")) {
				t.Errorf("%s: the function was told %+v, and its span is %s", name, res, s.ID)
			}
		}
		var tree []string
		for _, s := range spans {
			tree = append(tree, s.Name+"<"+names[s.Parent])
		}
		if got := strings.Join(tree, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if len(names) != len(spans)+1 {
			t.Errorf("%s: ids are not unique", name)
		}
		if spans[0].Failed != c.failed {
			t.Errorf("%s: failed with %q, want %q", name, spans[0].Failed, c.failed)
		}
	}
}
