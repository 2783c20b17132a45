package nodeapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/internal/places"
)

// Limits of request bodies: their size in bytes, and how long they may take.
const (
	maxBody     = 64 << 10
	bodyTimeout = 10 * time.Second
)

// route is one operation of the API. All members but send are needed: New has no
// handler made of a route that says not what it is authorised as.
type route struct {
	method, path string
	action       string
	whose        whose
	// about says what a request is about.
	about func(c Config, r *http.Request) (auth.Operation, error)
	// answer gives what is answered, as JSON; send answers itself.
	answer func(c Config, r *request) (any, error)
	send   func(c Config, w http.ResponseWriter, r *request) error
}

// whose says to whom of the tenants what a route is about belongs.
type whose int

const (
	nobodys whose = iota + 1 // settings of a function, say
	// tenants' records: the answer has those that the caller sees.
	tenants
	// everybodys is what a key that is bound to tenants has no part in.
	everybodys
)

// routes is the table.
func routes() []route {
	return []route{
		{"GET", "environments", "alcove:ListEnvironments", tenants, function, Config.environments, nil},
		{"GET", "tenants", "alcove:ListTenants", tenants, function, Config.tenants, nil},
		{"DELETE", "tenants/{tenant}", "alcove:PurgeTenant", everybodys, tenant, Config.purgeTenant, nil},
		{"GET", "findings", "alcove:ListFindings", everybodys, thing("findings"), Config.findings, nil},
		{"GET", "logs", "alcove:GetLogs", tenants, function, nil, Config.logs},
		{"GET", "usage", "alcove:GetUsage", tenants, function, nil, Config.usage},
		{"GET", "usage/entries", "alcove:ListUsageEntries", tenants, function, nil, Config.usageEntries},
		{"GET", "functions/{name}/queue", "alcove:GetQueue", tenants, function, Config.queue, nil},
		{"DELETE", "functions/{name}/queue", "alcove:PurgeQueue", nobodys, ofTenant, Config.purgeQueue, nil},
		{"POST", "functions/{name}/queue/replay", "alcove:ReplayQueue", nobodys, ofTenant, Config.replayQueue, nil},
		{"GET", "functions/{name}/stock", "alcove:GetStock", everybodys, function, Config.getStock, nil},
		{"PUT", "functions/{name}/stock", "alcove:PutStock", everybodys, function, Config.putStock, nil},
		{"DELETE", "functions/{name}/stock", "alcove:DeleteStock", everybodys, function, Config.deleteStock, nil},
		{"GET", "egress", "alcove:ListEgress", everybodys, thing("egress"), Config.listEgress, nil},
		{"GET", "egress/effective", "alcove:GetEffectiveEgress", everybodys, function, Config.effectiveEgress, nil},
		{"GET", "egress/refusals", "alcove:ListEgressRefusals", tenants, function, Config.egressRefusals, nil},
		{"GET", "egress/node", "alcove:GetNodeEgress", everybodys, thing("egress"), getEgress(nodeEgress), nil},
		{"PUT", "egress/node", "alcove:PutNodeEgress", everybodys, thing("egress"), putEgress(nodeEgress), nil},
		{"DELETE", "egress/node", "alcove:DeleteNodeEgress", everybodys, thing("egress"), deleteEgress(nodeEgress), nil},
		{"GET", "egress/functions/{name}", "alcove:GetFunctionEgress", everybodys, function, getEgress(functionEgress), nil},
		{"PUT", "egress/functions/{name}", "alcove:PutFunctionEgress", everybodys, function, putEgress(functionEgress), nil},
		{"DELETE", "egress/functions/{name}", "alcove:DeleteFunctionEgress", everybodys, function, deleteEgress(functionEgress), nil},
		{"GET", "egress/tenants/{tenant}", "alcove:GetTenantEgress", everybodys, tenant, getEgress(tenantEgress), nil},
		{"PUT", "egress/tenants/{tenant}", "alcove:PutTenantEgress", everybodys, tenant, putEgress(tenantEgress), nil},
		{"DELETE", "egress/tenants/{tenant}", "alcove:DeleteTenantEgress", everybodys, tenant, deleteEgress(tenantEgress), nil},
		{"GET", "keys", "alcove:ListKeys", everybodys, key, Config.listKeys, nil},
		{"POST", "keys", "alcove:CreateKey", everybodys, key, Config.createKey, nil},
		{"GET", "keys/{key}", "alcove:GetKey", everybodys, key, Config.getKey, nil},
		{"PUT", "keys/{key}", "alcove:UpdateKey", everybodys, key, Config.updateKey, nil},
		{"GET", "roles", "alcove:ListRoles", everybodys, role, Config.listRoles, nil},
		{"GET", "roles/{role}", "alcove:GetRole", everybodys, role, Config.getRole, nil},
		{"PUT", "roles/{role}", "alcove:PutRole", everybodys, role, Config.putRole, nil},
		{"DELETE", "roles/{role}", "alcove:DeleteRole", everybodys, role, Config.deleteRole, nil},
		{"GET", "audit", "alcove:GetAudit", everybodys, thing("audit"), nil, Config.audit},
		{"DELETE", "keys/{key}", "alcove:DeleteKey", everybodys, key, Config.deleteKey, nil},
	}
}

// request is one that was authenticated and authorised.
type request struct {
	*http.Request
	caller alcove.Caller
	body   []byte
	scope  *auth.Scope // what of tenants the caller sees
	// again authorises it once more, as what goes on: what of tenants is seen now.
	again func() (*auth.Scope, error)
}

// New makes the API's handler.
func New(cfg Config) http.Handler {
	mux := http.NewServeMux()
	cfg.followed = places.New(maxFollowed)
	for _, t := range routes() {
		if t.action == "" || t.whose == 0 || t.about == nil || (t.answer == nil) == (t.send == nil) {
			panic("nodeapi: nothing says what " + t.method + " " + t.path + " is authorised as")
		}
		mux.Handle(t.method+" "+Prefix+t.path, cfg.serve(t))
	}
	mux.HandleFunc(Prefix, func(w http.ResponseWriter, r *http.Request) {
		_, _, err := cfg.authenticate(w, r)
		if err == nil {
			err = alcove.ClientError("UnknownOperationException", "alcove has no %s %s", r.Method, r.URL.Path)
		}
		cfg.answerError(w, r, err)
	})
	return mux
}

// serve knows the caller and what it may before anything is done, and gives
// answers and errors their shape.
func (c Config) serve(t route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requestID := uuid.NewString()
		w.Header().Set("X-Amzn-RequestId", requestID)
		c.answerError(w, r, c.run(t, w, r, requestID))
	})
}

func (c Config) run(t route, w http.ResponseWriter, r *http.Request, requestID string) error {
	caller, body, err := c.authenticate(w, r)
	if err != nil {
		return err
	}
	o, err := t.about(c, r)
	if err != nil {
		return err
	}
	o.Action, o.PerTenant, o.Whole = t.action, t.whose == tenants, t.whose == everybodys
	o.Request, o.RequestID = r, requestID
	scope, err := c.Authorize(caller, o)
	if err != nil {
		return err
	}
	o.Again = true
	q := &request{Request: r, caller: caller, body: body, scope: scope, again: func() (*auth.Scope, error) { return c.Authorize(caller, o) }}
	if t.send != nil {
		return t.send(c, w, q)
	}
	answer, err := t.answer(c, q)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the connection is the client's
	return nil
}

// authenticate reads the body of a request and says who made it.
func (c Config) authenticate(w http.ResponseWriter, r *http.Request) (alcove.Caller, []byte, error) {
	control := http.NewResponseController(w)
	// Writers of tests cannot do it; the server's can.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return alcove.Caller{}, nil, alcove.InvalidParameter("The request is longer than %d bytes.", tooLarge.Limit)
	}
	if err != nil {
		return alcove.Caller{}, nil, alcove.InvalidParameter("The request was cut short.")
	}
	caller, err := c.Authenticate(r, body)
	return caller, body, err
}

// What requests are about. Functions are Lambda's; the rest has ARNs of the
// service alcove.

func (c Config) arn(resource string) string {
	return "arn:" + c.Place.Partition + ":alcove:" + c.Place.Region + ":" + c.Place.Account + ":" + resource
}

func thing(resource string) func(Config, *http.Request) (auth.Operation, error) {
	return func(c Config, _ *http.Request) (auth.Operation, error) {
		return auth.Operation{Resource: c.arn(resource)}, nil
	}
}

// function is the function of the path, or of the query; none is all.
func function(c Config, r *http.Request) (auth.Operation, error) {
	name := r.PathValue("name")
	if name == "" {
		name = r.URL.Query().Get("function")
	}
	if name == "" {
		return auth.Operation{Function: alcove.Ref{Name: "*"}}, nil
	}
	ref, err := c.Place.ParseRef(name, "")
	ref.Qualifier = ""
	return auth.Operation{Function: ref}, err
}

func role(c Config, r *http.Request) (auth.Operation, error) {
	name := r.PathValue("role")
	if name == "" {
		name = "*"
	}
	return auth.Operation{Resource: c.arn("role/" + name)}, nil
}

func key(c Config, r *http.Request) (auth.Operation, error) {
	name := r.PathValue("key")
	if name == "" {
		name = "*"
	}
	return auth.Operation{Resource: c.arn("key/" + name)}, nil
}
