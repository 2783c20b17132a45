package lambdaapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/runtimes"
	"github.com/alcove-run/alcove/s3"
)

// Authenticator says who made a request. Its errors are *[alcove.Error].
type Authenticator interface {
	// Authenticate is given the whole body.
	Authenticate(r *http.Request, body []byte) (alcove.Caller, error)
	// Precheck refuses what Authenticate would refuse whatever the body is.
	Precheck(r *http.Request) error
	// Authorize says whether a caller may do something, and keeps a record of it.
	Authorize(caller alcove.Caller, o auth.Operation) (*auth.Scope, error)
	// Failed records an invocation that was allowed and has no report.
	Failed(caller alcove.Caller, o auth.Operation, why error)
}

// Catalog is the desired state: functions, versions and what belongs to them.
// Its errors are *[alcove.Error] where the caller can mend them.
type Catalog interface {
	Create(ctx context.Context, caller alcove.Caller, in catalog.CreateInput) (*alcove.Version, error)
	UpdateCode(ctx context.Context, caller alcove.Caller, name string, in catalog.UpdateCodeInput) (*alcove.Version, error)
	// UpdateConfiguration changes $LATEST by change, which may run more than
	// once, on a copy. An empty revisionID is any.
	UpdateConfiguration(ctx context.Context, caller alcove.Caller, name, revisionID string, change func(*alcove.Config) error) (*alcove.Version, error)
	Publish(ctx context.Context, caller alcove.Caller, name string, in catalog.PublishInput) (*alcove.Version, error)
	Delete(ctx context.Context, caller alcove.Caller, ref alcove.Ref) error
	// Describe gives a version as clients see it, an update under way included.
	Describe(ref alcove.Ref) (*alcove.Version, error)
	Function(name string) (*alcove.Function, error)
	List(marker string, max int, allVersions bool) ([]*alcove.Version, string, error)
	ListVersions(name, marker string, max int) ([]*alcove.Version, string, error)
	CreateAlias(ctx context.Context, caller alcove.Caller, function string, in catalog.AliasInput) (*alcove.Alias, error)
	UpdateAlias(ctx context.Context, caller alcove.Caller, function, name string, in catalog.AliasUpdate) (*alcove.Alias, error)
	DeleteAlias(ctx context.Context, caller alcove.Caller, function, name string) error
	Alias(function, name string) (*alcove.Alias, error)
	Aliases(function, version, marker string, max int) ([]*alcove.Alias, string, error)
	AddPermission(ctx context.Context, caller alcove.Caller, ref alcove.Ref, in catalog.PermissionInput) (json.RawMessage, error)
	RemovePermission(ctx context.Context, caller alcove.Caller, ref alcove.Ref, sid, revisionID string) error
	Policy(ref alcove.Ref) (catalog.Policy, error)
	PutPolicy(ctx context.Context, caller alcove.Caller, ref alcove.Ref, text, policyRevisionID string) (catalog.Policy, error)
	DeletePolicy(ctx context.Context, caller alcove.Caller, ref alcove.Ref, policyRevisionID string) error
	SetEventInvoke(ctx context.Context, caller alcove.Caller, ref alcove.Ref, change func(now *alcove.EventInvokeConfig) (*alcove.EventInvokeConfig, error)) (catalog.EventInvokeEntry, error)
	EventInvoke(ref alcove.Ref) (catalog.EventInvokeEntry, error)
	DeleteEventInvoke(ctx context.Context, caller alcove.Caller, ref alcove.Ref) error
	EventInvokes(function, marker string, max int) ([]catalog.EventInvokeEntry, string, error)
	CreateURL(ctx context.Context, caller alcove.Caller, ref alcove.Ref, url alcove.FunctionURL) (catalog.URLEntry, error)
	UpdateURL(ctx context.Context, caller alcove.Caller, ref alcove.Ref, change func(*alcove.FunctionURL)) (catalog.URLEntry, error)
	URL(ref alcove.Ref) (catalog.URLEntry, error)
	DeleteURL(ctx context.Context, caller alcove.Caller, ref alcove.Ref) error
	URLs(function, marker string, max int) ([]catalog.URLEntry, string, error)
	CreateSigning(ctx context.Context, caller alcove.Caller, in catalog.SigningConfig) (*catalog.SigningConfig, error)
	UpdateSigning(ctx context.Context, caller alcove.Caller, id string, change func(*catalog.SigningConfig) error) (*catalog.SigningConfig, error)
	DeleteSigning(ctx context.Context, caller alcove.Caller, id string) error
	Signing(id string) (*catalog.SigningConfig, error)
	Signings(marker string, max int) ([]*catalog.SigningConfig, string, error)
	Signed(id, marker string, max int) ([]string, string, error)
	SetSigning(ctx context.Context, caller alcove.Caller, function, id string) error
	SetRecursiveLoop(ctx context.Context, caller alcove.Caller, name, loop string) error
	SetRuntimeManagement(ctx context.Context, caller alcove.Caller, ref alcove.Ref, set alcove.RuntimeManagement) error
	RuntimeManagement(ref alcove.Ref) (alcove.RuntimeManagement, error)
	PublishLayer(ctx context.Context, caller alcove.Caller, in catalog.LayerVersion, zip *artifact.Package) (*catalog.LayerVersion, error)
	DeleteLayer(ctx context.Context, caller alcove.Caller, name string, number int) error
	Layer(name string, number int) (*catalog.LayerVersion, error)
	LayerVersions(name, marker string, max int, suits func(*catalog.LayerVersion) bool) ([]*catalog.LayerVersion, string, error)
	LatestLayers(marker string, max int, suits func(*catalog.LayerVersion) bool) ([]*catalog.LayerVersion, string, error)
	Layers(arns []string) ([]alcove.Layer, error)
	AddLayerPermission(ctx context.Context, caller alcove.Caller, name string, number int, in catalog.PermissionInput) (json.RawMessage, string, error)
	RemoveLayerPermission(ctx context.Context, caller alcove.Caller, name string, number int, sid, revisionID string) error
	LayerPolicy(name string, number int) (document, revisionID string, err error)
	SetProvisioned(ctx context.Context, caller alcove.Caller, ref alcove.Ref, requested int, room func(v *alcove.Version) error) (catalog.ProvisionedEntry, error)
	ProvisionedConfig(ref alcove.Ref) (catalog.ProvisionedEntry, error)
	DeleteProvisioned(ctx context.Context, caller alcove.Caller, ref alcove.Ref) error
	ProvisionedConfigs(function, marker string, max int) ([]catalog.ProvisionedEntry, string, error)
	SetReserved(ctx context.Context, caller alcove.Caller, name string, reserved *int) error
	SetTags(ctx context.Context, caller alcove.Caller, name string, set map[string]string, remove []string) error
	Totals() (codeBytes int64, functions int)
	Unreserved() int
}

// Invoker runs functions. A function that fails is a result; the errors are
// *[alcove.Error]. The payload is the invoker's from then on.
type Invoker interface {
	Invoke(ctx context.Context, caller alcove.Caller, req invoke.Request) (*alcove.Result, error)
}

// Events keeps invocations that nobody waits for, and has them run.
type Events interface {
	// Accept returns when the event is on the disk, with the request id of its
	// runs. The payload is its own from then on. Errors are *[alcove.Error].
	Accept(ctx context.Context, caller alcove.Caller, req invoke.Request) (requestID, trace string, err error)
	// Once is Accept for an event, and an invocation for anything else, that runs
	// once for all calls with an idempotency key.
	Once(ctx context.Context, caller alcove.Caller, req invoke.Request, event bool, key string) (result *alcove.Result, repeated bool, err error)
	// Delivers says whether the node can send results to a destination of an ARN
	// that is no function.
	Delivers(arn string) bool
}

// Artifacts takes in deployment packages that are not in memory, and gives packages back.
type Artifacts interface {
	// OpenZip opens the zip file with a digest in lower-case hexadecimal.
	OpenZip(sha256 string) (*os.File, error)
	// Spool has fill write a package to a file.
	Spool(fill func(io.Writer) error) (*artifact.Package, error)
}

// Objects is where packages are got from that a request only names. Its errors
// are *[alcove.Error] where the caller can mend them.
type Objects interface {
	// Get writes an object of less than limit bytes to w, whose errors it gives as
	// they are; of a larger one it writes no more than that.
	Get(ctx context.Context, o s3.Object, limit int64, w io.Writer) error
}

// Runtimes knows which runtimes there are on this node.
type Runtimes interface {
	// Resolve tells what runs functions of a runtime; the errors are
	// *[alcove.Error], for the caller if AWS or this node has no such runtime.
	Resolve(runtime string) (runtimes.Runtime, error)
}

// Config is what an [API] is made from; every member is required unless it says
// otherwise.
type Config struct {
	Place       alcove.Place
	Auth        Authenticator
	Catalog     Catalog
	Invoker     Invoker
	Events      Events
	Artifacts   Artifacts
	Runtimes    Runtimes
	Provisioner Provisioner
	Objects     Objects // nil is a node that gets no packages from S3
	// Within gives the trace of the invocation within which a request was made, if
	// it was; nil is a node whose functions do not reach it.
	Within      func(r *http.Request) (alcove.Trace, bool)
	Concurrency int // the account's limit
	// Architecture is what this node runs, x86_64 or arm64; empty is what this
	// program was built for.
	Architecture string
	// CodeStorage is the limit of all deployment packages together, in bytes;
	// zero is AWS's default.
	CodeStorage int64
	Log         *slog.Logger
	Now         func() time.Time // nil is time.Now
}

// defaultCodeStorage is AWS's limit for functions and layers of a region.
const defaultCodeStorage = 300 << 30

// API serves the Lambda REST API, and the URLs of code that it hands out.
type API struct {
	Config
	routes map[routeKey][]*route
	grants map[string]grant // by operation
	// codeKey signs code URLs. It lives as long as the process: the URLs live
	// ten minutes.
	codeKey [32]byte
	uploads *uploads
	// fetches bounds the same for packages from S3.
	fetches chan struct{}
}

// maxFetches is how many packages are got from S3 at once; each takes as much
// of the disk as it is large, up to 250 MB.
const maxFetches = 2

// New makes an API.
func New(c Config) *API {
	if c.CodeStorage == 0 {
		c.CodeStorage = defaultCodeStorage
	}
	if c.Architecture == "" {
		c.Architecture = "x86_64"
		if runtime.GOARCH == "arm64" {
			c.Architecture = "arm64"
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &API{Config: c, routes: index(table()), grants: grants(table()), uploads: newUploads(c.Now), fetches: make(chan struct{}, maxFetches)}
	rand.Read(a.codeKey[:]) // never fails (crypto/rand)
	return a
}
