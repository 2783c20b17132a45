// Package nodeapi is alcove's own API under /alcove/v1/: what AWS has no
// operation for. It answers JSON and serves the command line and whoever else
// wants to look at a node. All that it changes are settings of functions, which
// the catalog keeps, and access keys, which auth keeps.
//
// Every route of its table (routes.go) has an action of the prefix alcove: and is
// authorised by it before it runs.
//
// It owns no state but how many logs are followed: environments and stocks are the pool's, log records the log
// store's, sums of use the ledger's, findings the driver's.
package nodeapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"sort"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/audit"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/internal/places"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/pool"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress/policy"
	"github.com/alcove-run/alcove/usage"
)

// Prefix is the path below which the API is served.
const Prefix = "/alcove/v1/"

// Config is what the API answers from.
type Config struct {
	Authenticate func(r *http.Request, body []byte) (alcove.Caller, error)
	// Authorize says whether a caller may do something, and what of tenants it
	// sees then. Revoked is closed when its key is not accepted any more.
	Authorize func(caller alcove.Caller, o auth.Operation) (*auth.Scope, error)
	Revoked   func(caller alcove.Caller) <-chan struct{}
	// Ending is closed when the node begins to end.
	Ending       <-chan struct{}
	Keys         Keys
	Roles        Roles
	Audit        func(audit.Query) ([]auth.Record, error)
	Environments func() []environment.Status
	Findings     func() []sandbox.Finding
	// Stocks lists what is in stock of a function; SetStock sets its bounds, or
	// takes them away; StockMax bounds those that have none.
	Stocks   func(functionID string) []pool.StockStatus
	SetStock func(ctx context.Context, caller alcove.Caller, function string, s *alcove.Stock) error
	StockMax int
	// Egress keeps the policies of what may be reached; NodeEgress is the node's
	// where none is set. FunctionName is the name of a function by its id, or the id.
	Egress       EgressPolicies
	NodeEgress   *policy.Policy
	FunctionName func(id string) string
	// OwnAddress tells the node's own addresses, Refusals what was refused of late.
	OwnAddress func(a netip.Addr) bool
	Refusals   func(sees func(alcove.Tenant) bool) []environment.Refused

	Function func(name string) (*alcove.Function, error)
	Latest   func(ref alcove.Ref) (*alcove.Version, error)
	Events   Events
	Logs     *logs.Store
	Usage    Ledger
	// Purge takes everything of a tenant off the node.
	Purge func(ctx context.Context, tenant alcove.Tenant) (time.Duration, error)
	// Actions are those of the node's other APIs, for what policies are about; a
	// service that others answer stands for all of its own, as "s3:".
	Actions []string
	Place   alcove.Place
	Log     *slog.Logger

	followed *places.Places // of logs
}

// Ledger says what was used.
type Ledger interface {
	Query(ctx context.Context, q usage.Query, fn func(*usage.Row) error) (*usage.Row, error)
	Entries(ctx context.Context, q usage.Query, after int64, limit int, fn func(*usage.Entry) error) error
	Prices() usage.Prices
}

// answerError answers with err, if it is one.
func (c Config) answerError(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	e := alcove.AsError(err)
	status := http.StatusBadRequest
	switch {
	case e.Fault == alcove.FaultPlatform:
		status = http.StatusInternalServerError
		c.Log.Error("request failed", "path", r.URL.Path, "error", err)
	case e.Code == alcove.CodeTooManyRequests:
		status = http.StatusTooManyRequests
	case e.Code == alcove.CodeResourceNotFound, e.Code == "UnknownOperationException", e.Code == auth.CodeNoSuchEntity:
		status = http.StatusNotFound
	case e.Code == auth.CodeEntityExists, e.Code == auth.CodeLimitExceeded:
		status = http.StatusConflict
	case strings.HasSuffix(e.Code, "TokenException"), strings.HasPrefix(e.Code, "AccessDenied"),
		strings.HasPrefix(e.Code, "InvalidSignature"), e.Code == "UnrecognizedClientException":
		status = http.StatusForbidden
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The connection is all that can fail here, and it is the client's.
	_ = json.NewEncoder(w).Encode(map[string]string{"code": e.Code, "message": e.Message})
}

// Environment is one execution environment in an answer.
type Environment struct {
	ID       string `json:"id"`
	Function string `json:"function"` // empty while the environment is blank
	// Shape is what a blank environment can become: interpreter and sizes.
	Shape     string `json:"shape,omitempty"`
	Version   string `json:"version"`
	Tenant    string `json:"tenant,omitempty"`
	Bound     bool   `json:"bound"`
	State     string `json:"state"`
	Frozen    bool   `json:"frozen"`
	Isolation string `json:"isolation"`
	LogGroup  string `json:"logGroup"`
	LogStream string `json:"logStream"`
	// Start and StartReason are the first invocation's: what it found, and why it
	// found nothing quicker.
	Start       string    `json:"start,omitempty"`
	StartReason string    `json:"startReason,omitempty"`
	Created     time.Time `json:"created"`
	Invocations int64     `json:"invocations"`
	MemoryBytes int64     `json:"memoryBytes"`
}

// environments answers GET environments?function=F&tenant=T.
func (c Config) environments(q *request) (any, error) {
	all, err := c.list(q)
	if err != nil {
		return nil, err
	}
	// What this machine cannot enforce is said beside what it confines, to those who may
	// know of the machine.
	weak := []sandbox.Finding{}
	for _, f := range c.Findings() {
		if f.State != sandbox.OK && q.scope.All() {
			weak = append(weak, f)
		}
	}
	return map[string]any{"environments": all, "notEnforced": weak}, nil
}

func (c Config) list(r *request) ([]Environment, error) {
	q := r.URL.Query()
	name := ""
	if f := q.Get("function"); f != "" {
		ref, err := c.Place.ParseRef(f, "")
		if err != nil {
			return nil, err
		}
		name = ref.Name
	}
	out := []Environment{}
	for _, s := range c.Environments() {
		if s.Version == nil { // blank: no function's
			if name == "" && !q.Has("tenant") && r.scope.All() {
				out = append(out, Environment{ID: s.ID, Shape: s.Shape.String(), State: s.State.String(), Frozen: s.Frozen, Isolation: s.Isolation,
					Created: s.Created, MemoryBytes: s.Memory})
			}
			continue
		}
		if !r.scope.Sees(s.Tenant) || name != "" && s.Version.Name != name || q.Has("tenant") && string(s.Tenant) != q.Get("tenant") {
			continue
		}
		out = append(out, Environment{
			ID: s.ID, Function: s.Version.Name, Version: s.Version.Number, Tenant: string(s.Tenant), Bound: s.Bound,
			State: s.State.String(), Frozen: s.Frozen, Isolation: s.Isolation,
			LogGroup: s.Version.Config.Logging.Group, LogStream: s.LogStream,
			Start: string(s.Start), StartReason: s.StartReason, Created: s.Created, Invocations: s.Invocations, MemoryBytes: s.Memory,
		})
	}
	if name != "" && len(out) == 0 {
		if _, err := c.Function(name); err != nil { // one that was deleted may still run
			return nil, err
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Created.Before(out[j].Created) })
	return out, nil
}

// Tenant is one tenant of a function in an answer.
type Tenant struct {
	Tenant       string `json:"tenant"`
	Environments int    `json:"environments"`
	Busy         int    `json:"busy"`
	Invocations  int64  `json:"invocations"` // of the environments that exist
	MemoryBytes  int64  `json:"memoryBytes"`
}

// Tenants is an answer of tenants. Isolated says whether the function that was asked
// for tells tenants apart.
type Tenants struct {
	Tenants  []*Tenant `json:"tenants"`
	Isolated *bool     `json:"isolated,omitempty"`
}

// tenants answers GET tenants?function=F.
func (c Config) tenants(r *request) (any, error) {
	all, err := c.list(r)
	if err != nil {
		return nil, err
	}
	by := map[string]*Tenant{}
	out := []*Tenant{}
	for _, e := range all {
		if !e.Bound || e.Tenant == "" {
			continue
		}
		t := by[e.Tenant]
		if t == nil {
			t = &Tenant{Tenant: e.Tenant}
			by[e.Tenant] = t
			out = append(out, t)
		}
		t.Environments++
		t.Invocations += e.Invocations
		t.MemoryBytes += e.MemoryBytes
		if e.State == environment.Busy.String() {
			t.Busy++
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Tenant < out[j].Tenant })
	answer := Tenants{Tenants: out}
	if name := r.URL.Query().Get("function"); name != "" {
		// Who asks may see the function's environments, so that it is there is no secret.
		if ref, err := c.Place.ParseRef(name, ""); err == nil {
			if v, err := c.Latest(alcove.Ref{Name: ref.Name}); err == nil {
				isolated := v.Isolated()
				answer.Isolated = &isolated
			}
		}
	}
	return answer, nil
}

// findings answers GET findings.
func (c Config) findings(*request) (any, error) {
	return map[string]any{"findings": c.Findings()}, nil
}
