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

func listVersionsByFunction(a *API, _ context.Context, _ alcove.Caller, c *call) (reply, error) {
	var f failures
	max := maxItems(&f, c)
	if err := f.err(); err != nil {
		return reply{}, err
	}
	ref, err := a.ref(c.params[0], "", maxNamespacedName)
	if err != nil {
		return reply{}, err
	}
	versions, next, err := a.Catalog.ListVersions(ref.Name, c.query.Get("Marker"), max)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: listVersionsOutput{a.listed(versions, true), next}}, nil
}
