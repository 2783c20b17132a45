package lambdaapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/alcove-run/alcove"
)

type updateFunctionConfigurationInput struct {
	settings
	FunctionName *string `from:"path" is:"FunctionName"`
	RevisionId   *string
	// TenancyConfig is no member of AWS's request. It is read to be refused:
	// who sends it believes that isolation changed.
	TenancyConfig json.RawMessage
}

func (in *updateFunctionConfigurationInput) check(f *failures) { in.checkEnvironment(f) }

func updateFunctionConfiguration(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *updateFunctionConfigurationInput) (reply, error) {
	name, err := a.functionOnly(*in.FunctionName, true)
	if err != nil {
		return reply{}, err
	}
	if len(in.TenancyConfig) > 0 && string(in.TenancyConfig) != "null" {
		return reply{}, alcove.InvalidParameter("TenancyConfig can only be set when a function is created. To change it, delete the function and create it again.")
	}
	if err := in.unsupported(); err != nil {
		return reply{}, err
	}
	if err := in.checkDeadLetters(a); err != nil {
		return reply{}, err
	}
	if in.Runtime != nil {
		if _, err := a.Runtimes.Resolve(*in.Runtime); err != nil {
			return reply{}, err
		}
	}
	if in.Environment != nil {
		if err := checkVariables(in.Environment.Variables); err != nil {
			return reply{}, err
		}
	}
	var revision string
	set(&revision, in.RevisionId)
	apply, err := in.applyTo(a)
	if err != nil {
		return reply{}, err
	}
	v, err := a.Catalog.UpdateConfiguration(ctx, caller, name, revision, apply)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.configuration(v, answerARN(v, alcove.Ref{}))}, nil
}
