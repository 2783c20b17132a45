package lambdaapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/alcove-run/alcove"
)

type listFunctionsOutput struct {
	Functions  []*functionConfiguration
	NextMarker string `json:",omitempty"`
}

// listFunctions ignores MasterRegion, which is about Lambda@Edge.
func listFunctions(a *API, _ context.Context, _ alcove.Caller, c *call) (reply, error) {
	var f failures
	all := c.query.Has("FunctionVersion")
	if all {
		version := c.query.Get("FunctionVersion")
		check(&f, []rule{{member: "functionVersion", text: ptr(&version), enum: []string{"ALL"}}})
	}
	max := maxItems(&f, c)
	if err := f.err(); err != nil {
		return reply{}, err
	}
	versions, next, err := a.Catalog.List(c.query.Get("Marker"), max, all)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: listFunctionsOutput{a.listed(versions, all), next}}, nil
}

// pageSize is the most that one page of functions or versions holds, whatever
// was asked for.
const pageSize = 50

// maxItems reads the MaxItems of a list.
func maxItems(f *failures, c *call) int {
	if !c.query.Has("MaxItems") {
		return pageSize
	}
	text := c.query.Get("MaxItems")
	n, err := strconv.Atoi(text)
	if err != nil {
		f.add("maxItems", text, "Member must be an integer")
		return 0
	}
	number := &n
	check(f, []rule{{member: "maxItems", number: &number, min: 1, max: 10000}})
	return min(n, pageSize)
}
