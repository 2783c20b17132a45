package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

type listFunctionsOutput struct {
	Functions  []*functionConfiguration
	NextMarker string `json:",omitempty"`
}

type listFunctionsInput struct {
	FunctionVersion *string `from:"query" is:"FunctionVersion"`
	listInput
}

// listFunctions ignores MasterRegion, which is about Lambda@Edge.
func listFunctions(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listFunctionsInput) (reply, error) {
	all := in.FunctionVersion != nil
	versions, next, err := a.Catalog.List(in.marker(), in.max(), all)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: listFunctionsOutput{a.listed(versions, all), next}}, nil
}

// pageSize is the most that one page of functions or versions holds, whatever
// was asked for.
const pageSize = 50

// listInput is what all lists take.
type listInput struct {
	Marker   *string `from:"query"`
	MaxItems *int    `from:"query" is:"MaxListItems"`
}

func (in *listInput) marker() string {
	if in.Marker == nil {
		return ""
	}
	return *in.Marker
}

func (in *listInput) max() int {
	if in.MaxItems == nil {
		return pageSize
	}
	return min(*in.MaxItems, pageSize)
}
