package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

type listVersionsOutput struct {
	Versions   []*functionConfiguration
	NextMarker string `json:",omitempty"`
}

type listVersionsInput struct {
	FunctionName *string `from:"path" is:"NamespacedFunctionName"`
	listInput
}

func listVersionsByFunction(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listVersionsInput) (reply, error) {
	ref, err := a.ref(*in.FunctionName, "", maxNamespacedName)
	if err != nil {
		return reply{}, err
	}
	versions, next, err := a.Catalog.ListVersions(ref.Name, in.marker(), in.max())
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: listVersionsOutput{a.listed(versions, true), next}}, nil
}
