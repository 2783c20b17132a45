package lambdaapi

import (
	"encoding/base64"
	"encoding/hex"

	"github.com/alcove-run/alcove"
)

// functionConfiguration is AWS's FunctionConfiguration. Members of features that
// this program does not have are left out, as AWS leaves them out of functions
// that do not use them.
type functionConfiguration struct {
	FunctionName               string
	FunctionArn                string
	Runtime                    string `json:",omitempty"`
	Role                       string
	Handler                    string `json:",omitempty"`
	CodeSize                   int64
	Description                string
	Timeout                    int
	MemorySize                 int
	LastModified               string
	CodeSha256                 string
	Version                    string
	Environment                *environmentAnswer `json:",omitempty"`
	TracingConfig              tracingAnswer
	RevisionId                 string
	State                      string `json:",omitempty"`
	StateReason                string `json:",omitempty"`
	StateReasonCode            string `json:",omitempty"`
	LastUpdateStatus           string `json:",omitempty"`
	LastUpdateStatusReason     string `json:",omitempty"`
	LastUpdateStatusReasonCode string `json:",omitempty"`
	PackageType                string
	Architectures              []string
	EphemeralStorage           storageAnswer
	SnapStart                  snapStartAnswer
	ImageConfigResponse        *imageConfigAnswer    `json:",omitempty"`
	RuntimeVersionConfig       *runtimeVersionAnswer `json:",omitempty"`
	LoggingConfig              loggingAnswer
	Layers                     []layerAnswer    `json:",omitempty"`
	TenancyConfig              *tenancyAnswer   `json:",omitempty"`
	DeadLetterConfig           *deadLetterShape `json:",omitempty"`
}

type layerAnswer struct {
	Arn      string
	CodeSize int64
}

type tracingAnswer struct{ Mode string }

type storageAnswer struct{ Size int }

type snapStartAnswer struct{ ApplyOn, OptimizationStatus string }

type runtimeVersionAnswer struct{ RuntimeVersionArn string }

type imageConfigAnswer struct{ ImageConfig imageConfigOutput }

type imageConfigOutput struct {
	EntryPoint       []string `json:",omitempty"`
	Command          []string `json:",omitempty"`
	WorkingDirectory string   `json:",omitempty"`
}

type tenancyAnswer struct{ TenantIsolationMode string }

type environmentAnswer struct{ Variables map[string]string }

type loggingAnswer struct {
	LogFormat           string
	ApplicationLogLevel string `json:",omitempty"`
	SystemLogLevel      string `json:",omitempty"`
	LogGroup            string
}

// timeLayout is how Lambda writes times: always UTC, as +0000.
const timeLayout = "2006-01-02T15:04:05.000-0700"

// configuration describes a version under an ARN, which may be qualified or not.
func (a *API) configuration(v *alcove.Version, arn string) *functionConfiguration {
	c := &v.Config
	out := &functionConfiguration{
		FunctionName: v.Name, FunctionArn: arn, Runtime: c.Runtime, Role: c.Role, Handler: c.Handler,
		CodeSize: v.Code.Size, CodeSha256: v.Code.Digest(), Description: c.Description,
		Timeout: c.Timeout, MemorySize: c.MemorySize, LastModified: v.LastModified.UTC().Format(timeLayout),
		Version: v.Number, RevisionId: v.RevisionID, PackageType: c.PackageType,
		TracingConfig:    tracingAnswer{c.Tracing},
		Architectures:    []string{c.Architecture},
		EphemeralStorage: storageAnswer{c.Ephemeral},
		SnapStart:        snapStartAnswer{"None", "Off"},
		LoggingConfig: loggingAnswer{LogFormat: c.Logging.Format, ApplicationLogLevel: c.Logging.ApplicationLevel,
			SystemLogLevel: c.Logging.SystemLevel, LogGroup: c.Logging.Group},
		State: string(v.State), StateReason: v.StateReason, StateReasonCode: v.StateReasonCode,
		LastUpdateStatus: string(v.Update), LastUpdateStatusReason: v.UpdateReason, LastUpdateStatusReasonCode: v.UpdateReasonCode,
	}
	if c.Environment != nil {
		out.Environment = &environmentAnswer{c.Environment}
	}
	for _, l := range c.Layers {
		out.Layers = append(out.Layers, layerAnswer{l.ARN, l.Code.Size})
	}
	if !c.Image.Empty() {
		out.ImageConfigResponse = &imageConfigAnswer{imageConfigOutput(*c.Image)}
	}
	if c.DeadLetter != "" {
		out.DeadLetterConfig = &deadLetterShape{&c.DeadLetter}
	}
	if c.Tenancy != "" {
		out.TenancyConfig = &tenancyAnswer{c.Tenancy}
	}
	// AWS has a digest here; this says what really runs. A function whose
	// interpreter went away from the node is still described.
	if arn := a.runtimeVersionARN(c.Runtime); arn != "" {
		out.RuntimeVersionConfig = &runtimeVersionAnswer{arn}
	}
	return out
}

// runtimeVersionARN names what runs functions of a runtime on this node, or is
// empty.
func (a *API) runtimeVersionARN(runtime string) string {
	r, err := a.Runtimes.Resolve(runtime)
	if err != nil {
		return ""
	}
	return r.VersionARN(a.Place)
}

// listed describes versions the way lists do: without their states.
func (a *API) listed(versions []*alcove.Version, qualified bool) []*functionConfiguration {
	out := make([]*functionConfiguration, len(versions))
	for i, v := range versions {
		arn := v.ARN
		if qualified {
			arn = v.QualifiedARN()
		}
		one := a.configuration(v, arn)
		one.State, one.StateReason, one.StateReasonCode = "", "", ""
		one.LastUpdateStatus, one.LastUpdateStatusReason, one.LastUpdateStatusReasonCode = "", "", ""
		out[i] = one
	}
	return out
}

// answerARN is the ARN that a version is described under when it was asked for
// by ref: qualified if the caller qualified it.
func answerARN(v *alcove.Version, ref alcove.Ref) string {
	if ref.Qualifier == "" && v.Number == alcove.Latest {
		return v.ARN
	}
	if ref.Qualifier != "" {
		return v.ARN + ":" + ref.Qualifier // it may be an alias
	}
	return v.QualifiedARN()
}

// base64Digest turns a digest from our spelling to AWS's.
func base64Digest(sha256 string) string {
	raw, err := hex.DecodeString(sha256)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}
