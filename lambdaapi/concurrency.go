package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

// concurrencyOutput is what the operations on reserved concurrency answer.
type concurrencyOutput struct {
	ReservedConcurrentExecutions *int `json:",omitempty"`
}

type putFunctionConcurrencyInput struct {
	FunctionName                 *string `from:"path" is:"FunctionName"`
	ReservedConcurrentExecutions *int    `is:"ReservedConcurrency,required"`
}

func putFunctionConcurrency(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *putFunctionConcurrencyInput) (reply, error) {
	name, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	if err := a.Catalog.SetReserved(ctx, caller, name, in.ReservedConcurrentExecutions); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: concurrencyOutput{in.ReservedConcurrentExecutions}}, nil
}

func getFunctionConcurrency(a *API, _ context.Context, _ alcove.Caller, c *call) (reply, error) {
	name, err := a.functionOnly(c.params[0], false)
	if err != nil {
		return reply{}, err
	}
	f, err := a.Catalog.Function(name)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: concurrencyOutput{f.Reserved}}, nil
}

func deleteFunctionConcurrency(a *API, ctx context.Context, caller alcove.Caller, c *call) (reply, error) {
	name, err := a.functionOnly(c.params[0], false)
	if err != nil {
		return reply{}, err
	}
	return done(a.Catalog.SetReserved(ctx, caller, name, nil))
}
