package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

func getFunctionConfiguration(a *API, _ context.Context, _ alcove.Caller, c *call) (reply, error) {
	ref, err := a.qualified(c)
	if err != nil {
		return reply{}, err
	}
	v, err := a.Catalog.Describe(ref)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.configuration(v, answerARN(v, ref))}, nil
}
