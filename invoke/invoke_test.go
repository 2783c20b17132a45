package invoke

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/pool"
)

// desired is a catalog of one function.
type desired struct {
	version    *alcove.Version
	function   alcove.Function
	unreserved int
}

func (d *desired) Resolve(ref alcove.Ref) (*alcove.Version, error) {
	if ref.Name != d.version.Name {
		return nil, alcove.NotFound(ref.Name)
	}
	return d.version, nil
}
func (d *desired) Function(string) (*alcove.Function, error) { return &d.function, nil }
func (d *desired) Unreserved() int                           { return d.unreserved }

// oneEnvironment is a pool that leases environments which do what run says.
type oneEnvironment struct {
	pool.Environment
	run    func(inv *alcove.Invocation, o pool.StartOptions) (*alcove.Result, error)
	leased []pool.StartOptions
	opts   pool.StartOptions
}

func (e *oneEnvironment) Lease(_ context.Context, _ *alcove.Version, _ alcove.Tenant, o pool.StartOptions) (pool.Lease, error) {
	e.leased = append(e.leased, o)
	e.opts = o
	return pool.Lease{Environment: e}, nil
}

func (e *oneEnvironment) Invoke(_ context.Context, inv *alcove.Invocation, _ environment.InvokeOptions) (*alcove.Result, error) {
	return e.run(inv, e.opts)
}

type reports struct {
	mu  sync.Mutex
	all []*alcove.Report
}

func (r *reports) Append(rep *alcove.Report) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rep)
	return nil
}

func newInvoker(run func(*alcove.Invocation, pool.StartOptions) (*alcove.Result, error)) (*Invoker, *desired, *oneEnvironment, *reports) {
	d := &desired{unreserved: 2, version: &alcove.Version{FunctionID: "id", Name: "f", ARN: "arn:f", Number: alcove.Latest, State: alcove.StateActive,
		Config: alcove.Config{Tenancy: alcove.PerTenant}}}
	e := &oneEnvironment{run: run}
	r := &reports{}
	return New(Config{Catalog: d, Pool: e, Journal: r, Log: slog.New(slog.DiscardHandler)}), d, e, r
}

func answer(inv *alcove.Invocation, _ pool.StartOptions) (*alcove.Result, error) {
	return &alcove.Result{Payload: inv.Payload, Report: alcove.Report{RequestID: inv.RequestID, Tenant: inv.Tenant}}, nil
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*alcove.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestTenancyIsChecked(t *testing.T) {
	i, d, _, _ := newInvoker(answer)
	ref := alcove.Ref{Name: "f"}
	_, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: ref})
	if e := alcove.AsError(err); e.Code != alcove.CodeInvalidParameterValue || e.Message != "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again." {
		t.Errorf("without a tenant: %v", err)
	}
	d.version.Config.Tenancy = ""
	_, err = i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: ref, Tenant: "blue"})
	if e := alcove.AsError(err); e.Code != alcove.CodeInvalidParameterValue || e.Message != "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again." {
		t.Errorf("with a tenant nobody asked for: %v", err)
	}
}

func TestEveryInvocationHasOneReport(t *testing.T) {
	i, _, _, r := newInvoker(answer)
	res, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue"})
	if err != nil {
		t.Fatal(err)
	}
	if string(res.Payload) != "{}" {
		t.Errorf("an empty event reached the function as %s", res.Payload)
	}
	if len(r.all) != 1 || r.all[0].RequestID != res.Report.RequestID || r.all[0].Tenant != "blue" {
		t.Errorf("reports %v", r.all)
	}
	if _, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue", DryRun: true}); err != nil || len(r.all) != 1 {
		t.Errorf("a dry run: %v, %d reports", err, len(r.all))
	}
}

func TestConcurrencyLimitsAndTheirReasons(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	i, d, _, _ := newInvoker(func(inv *alcove.Invocation, o pool.StartOptions) (*alcove.Result, error) {
		began <- struct{}{}
		<-release
		return answer(inv, o)
	})
	var calls sync.WaitGroup
	call := func() error {
		_, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue"})
		return err
	}
	for range 2 {
		calls.Go(func() {
			if err := call(); err != nil {
				t.Error(err)
			}
		})
		<-began
	}
	if e := alcove.AsError(call()); e.Code != alcove.CodeTooManyRequests || e.Reason != alcove.ReasonConcurrency || e.Limit != alcove.LimitConcurrency || e.Message != "Rate Exceeded." {
		t.Errorf("at the account's limit: %v", e)
	}
	zero := 0
	d.function.Reserved = &zero
	if e := alcove.AsError(call()); e.Reason != alcove.ReasonReservedConcurrency || e.Limit != alcove.LimitReservedConcurrency {
		t.Errorf("at a reserved concurrency of 0: %v", e)
	}
	d.function.Reserved = nil
	close(release)
	calls.Wait()
	go func() { <-began }()
	if err := call(); err != nil {
		t.Errorf("after the others: %v", err)
	}
}

func TestFailedInitIsRepeatedOnceAsPartOfTheInvocation(t *testing.T) {
	i, _, e, r := newInvoker(func(inv *alcove.Invocation, o pool.StartOptions) (*alcove.Result, error) {
		if !o.Suppressed {
			return nil, &environment.InitError{Type: "Runtime.ImportModuleError", LogStream: "stream"}
		}
		return &alcove.Result{FunctionError: "Unhandled"}, nil
	})
	res, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue"})
	if err != nil || res.FunctionError != "Unhandled" {
		t.Fatalf("%v %v", res, err)
	}
	if len(e.leased) != 2 || !e.leased[1].Suppressed || e.leased[1].LogStream != "stream" || len(r.all) != 1 {
		t.Errorf("leased %v, reports %d", e.leased, len(r.all))
	}
}

func TestAnInvocationNobodySawIsOfferedAgain(t *testing.T) {
	n := 0
	i, _, _, _ := newInvoker(func(inv *alcove.Invocation, o pool.StartOptions) (*alcove.Result, error) {
		if n++; n < 3 {
			return nil, environment.ErrNotHandedOver
		}
		return answer(inv, o)
	})
	if _, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue"}); err != nil || n != 3 {
		t.Errorf("%v after %d offers", err, n)
	}
	n = -100
	_, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue"})
	if codeOf(err) != alcove.CodeService {
		t.Errorf("an invocation that nobody takes: %v, want a ServiceException", err)
	}
}

func TestStateIsChecked(t *testing.T) {
	i, d, _, _ := newInvoker(answer)
	d.version.State = alcove.StatePending
	_, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "blue"})
	if codeOf(err) != alcove.CodeResourceConflict {
		t.Errorf("a pending function: %v", err)
	}
}

func TestHeldTenantsAreRefused(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	i, _, _, written := newInvoker(func(inv *alcove.Invocation, _ pool.StartOptions) (*alcove.Result, error) {
		if inv.Tenant == "slow" {
			close(begun)
			<-end
		}
		return answer(inv, pool.StartOptions{})
	})
	call := func(tenant alcove.Tenant) error {
		_, err := i.Invoke(t.Context(), alcove.Caller{}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: tenant})
		return err
	}
	done := make(chan error, 1)
	go func() { done <- call("slow") }()
	<-begun
	first, second := i.Hold("slow"), i.Hold("slow")
	if err := call("slow"); codeOf(err) != alcove.CodeResourceConflict {
		t.Errorf("a held tenant: %v", err)
	}
	if err := call("other"); err != nil {
		t.Error(err)
	}
	if n := i.UnderWay("slow"); n != 1 {
		t.Errorf("%d under way", n)
	}
	close(end)
	if err := <-done; err != nil || i.UnderWay("slow") != 0 {
		t.Errorf("%v, %d under way", err, i.UnderWay("slow"))
	}
	first()
	first()
	if err := call("slow"); codeOf(err) != alcove.CodeResourceConflict {
		t.Errorf("released once of two holds: %v", err)
	}
	second()
	begun = make(chan struct{})
	if err := call("slow"); err != nil {
		t.Error(err)
	}
	if len(written.all) != 3 || len(i.gauge.tenants) != 0 || len(i.gauge.held) != 0 {
		t.Errorf("%d reports, %+v", len(written.all), &i.gauge)
	}
}

// An invocation that the platform failed has a report, and its caller an error.
func TestAFailureOfThePlatformIsReported(t *testing.T) {
	i, _, _, written := newInvoker(func(inv *alcove.Invocation, _ pool.StartOptions) (*alcove.Result, error) {
		return &alcove.Result{Report: alcove.Report{RequestID: inv.RequestID, Status: alcove.StatusFailure}}, alcove.PlatformError(errors.New("broken"))
	})
	res, err := i.Invoke(t.Context(), alcove.Caller{ARN: "me"}, Request{Ref: alcove.Ref{Name: "f"}, Tenant: "a"})
	if res != nil || codeOf(err) != alcove.CodeService {
		t.Errorf("%v, %v", res, err)
	}
	if len(written.all) != 1 || written.all[0].Status != alcove.StatusFailure || written.all[0].Caller != "me" {
		t.Errorf("reports %+v", written.all)
	}
}
