package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

type runtimeManagementOutput struct {
	UpdateRuntimeOn   string
	RuntimeVersionArn *string
	FunctionArn       string
}

type putRuntimeManagementInput struct {
	qualifiedInput
	UpdateRuntimeOn   *string `is:"UpdateRuntimeOn,required"`
	RuntimeVersionArn *string `is:"RuntimeVersionArn"`
}

// putRuntimeManagement takes what this node can hold: it has one version of each
// runtime, which is updated when the machine's is.
func putRuntimeManagement(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *putRuntimeManagementInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	v, err := a.managed(ref)
	if err != nil {
		return reply{}, err
	}
	var arn string
	set(&arn, in.RuntimeVersionArn)
	switch {
	case *in.UpdateRuntimeOn != "Manual" && arn != "":
		return reply{}, alcove.InvalidParameter("RuntimeVersionArn can only be given when UpdateRuntimeOn is Manual.")
	case *in.UpdateRuntimeOn == "Manual" && arn == "":
		return reply{}, alcove.InvalidParameter("RuntimeVersionArn is required when UpdateRuntimeOn is Manual.")
	case arn != "" && arn != a.runtimeVersionARN(v.Config.Runtime):
		return reply{}, alcove.InvalidParameter("The runtime version %s is not available on this node.", arn)
	}
	set := alcove.RuntimeManagement{UpdateOn: *in.UpdateRuntimeOn, VersionARN: arn}
	if err := a.Catalog.SetRuntimeManagement(ctx, caller, ref, set); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: describeRuntimeManagement(v, ref, set)}, nil
}

// managed is the version that a runtime management config is asked of; aliases
// have none.
func (a *API) managed(ref alcove.Ref) (*alcove.Version, error) {
	v, err := a.Catalog.Describe(ref)
	if err == nil && ref.Qualifier != "" && v.Number != ref.Qualifier {
		err = alcove.InvalidParameter("Runtime management configurations belong to $LATEST and to published versions, not to aliases.")
	}
	return v, err
}

func getRuntimeManagement(a *API, _ context.Context, _ alcove.Caller, _ *call, in *qualifiedInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	v, err := a.managed(ref)
	if err != nil {
		return reply{}, err
	}
	set, err := a.Catalog.RuntimeManagement(ref)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: describeRuntimeManagement(v, ref, set)}, nil
}

func describeRuntimeManagement(v *alcove.Version, ref alcove.Ref, set alcove.RuntimeManagement) runtimeManagementOutput {
	out := runtimeManagementOutput{UpdateRuntimeOn: set.UpdateOn, FunctionArn: answerARN(v, ref)}
	if set.VersionARN != "" {
		out.RuntimeVersionArn = &set.VersionARN
	}
	return out
}
