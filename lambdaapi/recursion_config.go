package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

type recursionOutput struct{ RecursiveLoop string }

type putRecursionInput struct {
	FunctionName  *string `from:"path" is:"UnqualifiedFunctionName"`
	RecursiveLoop *string `is:"RecursiveLoop,required"`
}

func putRecursion(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *putRecursionInput) (reply, error) {
	name, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	if err := a.Catalog.SetRecursiveLoop(ctx, caller, name, *in.RecursiveLoop); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: recursionOutput{*in.RecursiveLoop}}, nil
}

type getRecursionInput struct {
	FunctionName *string `from:"path" is:"UnqualifiedFunctionName"`
}

func getRecursion(a *API, _ context.Context, _ alcove.Caller, _ *call, in *getRecursionInput) (reply, error) {
	f, err := a.function(*in.FunctionName)
	if err != nil {
		return reply{}, err
	}
	out := recursionOutput{"Terminate"}
	if f.RecursiveLoop != "" {
		out.RecursiveLoop = f.RecursiveLoop
	}
	return reply{status: http.StatusOK, body: out}, nil
}
