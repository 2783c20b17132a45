package alcove

import "time"

// Latest is the version number of a function's mutable version.
const Latest = "$LATEST"

// PerTenant is the one value of TenancyConfig.TenantIsolationMode.
const PerTenant = "PER_TENANT"

// Function is what belongs to a function as a whole rather than to one of its
// versions.
type Function struct {
	// ID is a UUID, made at creation; it identifies the function for ever.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Tags are the function's, at most 50.
	Tags map[string]string `json:"tags,omitempty"`
	// Reserved is the reserved concurrency, or nil if none is set.
	Reserved *int `json:"reserved,omitempty"`
	// Stock is what is kept of it for new tenants, or nil if that is the node's
	// to say.
	Stock *Stock `json:"stock,omitempty"`
	// Signing is the id of its code signing configuration, or empty.
	Signing string `json:"signing,omitempty"`
	// RecursiveLoop is Allow or Terminate; empty is Terminate.
	RecursiveLoop string `json:"recursiveLoop,omitempty"`
	// LastVersion is the highest number published so far; numbers are never
	// used twice.
	LastVersion int `json:"lastVersion"`
	// Created is when the function was made.
	Created time.Time `json:"created"`
}

// Version is one version of a function: $LATEST as it stood at some moment, or
// a published one. A *Version is shared by many goroutines and never changed;
// a change makes another one.
type Version struct {
	FunctionID string `json:"functionId"`
	Name       string `json:"name"`
	// ARN is the function's unqualified ARN.
	ARN string `json:"arn"`
	// Number is "$LATEST" or a decimal number from 1.
	Number string `json:"number"`
	// Generation counts changes of code or configuration. Execution
	// environments belong to (FunctionID, Number, Generation).
	Generation int64 `json:"generation"`
	// RevisionID is the opaque id that clients send back to make an update
	// conditional; every change makes a new one.
	RevisionID string `json:"revisionId"`

	Config Config `json:"config"`
	Code   Code   `json:"code"`

	State            State     `json:"state"`
	StateReason      string    `json:"stateReason,omitempty"`
	StateReasonCode  string    `json:"stateReasonCode,omitempty"`
	Update           Update    `json:"update,omitempty"`
	UpdateReason     string    `json:"updateReason,omitempty"`
	UpdateReasonCode string    `json:"updateReasonCode,omitempty"`
	LastModified     time.Time `json:"lastModified"`
}

// Isolated says whether the version's environments are dedicated to tenants.
func (v *Version) Isolated() bool { return v.Config.Tenancy == PerTenant }

// QualifiedARN is the version's own ARN.
func (v *Version) QualifiedARN() string { return v.ARN + ":" + v.Number }

// Config is what CreateFunction and UpdateFunctionConfiguration set. Its
// members are Lambda's, with Lambda's units and defaults.
type Config struct {
	Runtime      string            `json:"runtime,omitempty"`
	Handler      string            `json:"handler,omitempty"`
	Role         string            `json:"role"`
	Description  string            `json:"description"`
	Timeout      int               `json:"timeout"`      // seconds
	MemorySize   int               `json:"memorySize"`   // MB of 1,024 KB
	Ephemeral    int               `json:"ephemeral"`    // size of /tmp, MB
	Environment  map[string]string `json:"environment"`  // nil if never given
	Architecture string            `json:"architecture"` // x86_64 or arm64
	PackageType  string            `json:"packageType"`  // Zip or Image
	Tracing      string            `json:"tracing"`      // PassThrough or Active
	Logging      Logging           `json:"logging"`
	// DeadLetter is the ARN of the queue or the topic for events that fail for
	// good, or empty.
	DeadLetter string `json:"deadLetter,omitempty"`
	// Layers lie over each other at /opt, in this order.
	Layers []Layer `json:"layers,omitempty"`
	// Image is what a function of a container image sets of it, or nil.
	Image *ImageConfig `json:"image,omitempty"`
	// Tenancy is PerTenant or empty. It is set at creation and never changes.
	Tenancy string `json:"tenancy,omitempty"`
}

// Provisioned is how many environments of a published version, or by way of an
// alias, are kept whether anybody invokes it or not.
type Provisioned struct {
	Requested    int       `json:"requested"`
	LastModified time.Time `json:"lastModified"`
}

// RuntimeManagement says when a version's runtime may be updated.
type RuntimeManagement struct {
	UpdateOn   string `json:"updateOn"`             // Auto, Manual or FunctionUpdate
	VersionARN string `json:"versionArn,omitempty"` // of the runtime, for Manual
}

// Logging is a function's LoggingConfig.
type Logging struct {
	Format string `json:"format"` // Text or JSON
	// ApplicationLevel and SystemLevel are empty unless Format is JSON.
	ApplicationLevel string `json:"applicationLevel,omitempty"`
	SystemLevel      string `json:"systemLevel,omitempty"`
	Group            string `json:"group"`
}

// JSON says whether log records are JSON objects rather than text lines.
func (l Logging) JSON() bool { return l.Format == "JSON" }

// Code names a deployment package.
type Code struct {
	// SHA256 is the digest of the zip file, or of the image's manifest, in
	// lower-case hexadecimal: the name of its files under artifact/.
	SHA256 string `json:"sha256"`
	// Size is the zip file's, in bytes; of an image it is zero, as on AWS.
	Size int64 `json:"size"`
	// Image names a container image as the caller did, and Resolved the same by
	// the digest that this was when the code was set. Both are empty for a zip file.
	Image    string `json:"image,omitempty"`
	Resolved string `json:"resolved,omitempty"`
}

// State is a version's life cycle (Lambda's State member).
type State string

// The states that alcove uses.
const (
	StatePending State = "Pending"
	StateActive  State = "Active"
	StateFailed  State = "Failed"
)

// Update is the state of the last change (Lambda's LastUpdateStatus member).
type Update string

// The states of an update; empty while a function is being created.
const (
	UpdateSuccessful Update = "Successful"
	UpdateFailed     Update = "Failed"
	UpdateInProgress Update = "InProgress"
)

// Defaults of CreateFunction.
const (
	DefaultTimeout    = 3
	DefaultMemorySize = 128
	DefaultEphemeral  = 512
)

// Limits of Lambda (developer guide, "Lambda quotas") that its API's model does not
// state; those that it does are in lambdaapi/constraints.go.
const (
	MaxNameLength    = 64
	MaxEnvironment   = 4 << 10   // bytes of names and values together
	MaxZipped        = 52428800  // bytes of a zip file sent directly
	MaxUnzipped      = 262144000 // bytes of a deployment package unpacked
	MaxPayload       = 6<<20 + 100
	MaxStreamed      = 200 << 20 // bytes of an answer that is streamed
	MaxClientContext = 3583      // bytes of its base64 form
	MaxTags          = 50
	// InitTimeoutSeconds bounds the Init phase.
	InitTimeoutSeconds = 10
	// LogTailBytes is how much of an invocation's log LogType Tail answers.
	LogTailBytes = 4 << 10
	// MemoryPerCPU is how much MemorySize stands for one vCPU, in MB.
	MemoryPerCPU = 1769
)
