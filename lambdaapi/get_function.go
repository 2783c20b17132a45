package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

type getFunctionOutput struct {
	Configuration *functionConfiguration
	Code          codeLocation
	Tags          map[string]string  `json:",omitempty"`
	Concurrency   *concurrencyOutput `json:",omitempty"`
}

type codeLocation struct {
	RepositoryType string
	Location       string
}

func getFunction(a *API, _ context.Context, caller alcove.Caller, c *call) (reply, error) {
	ref, err := a.qualified(c)
	if err != nil {
		return reply{}, err
	}
	v, err := a.Catalog.Describe(ref)
	if err != nil {
		return reply{}, err
	}
	f, err := a.Catalog.Function(ref.Name)
	if err != nil {
		return reply{}, err
	}
	out := getFunctionOutput{
		Configuration: a.configuration(v, answerARN(v, ref)),
		// Tools branch on the type of AWS's own store.
		Code: codeLocation{RepositoryType: "S3", Location: a.codeURL(c.request, caller, v.Code.SHA256)},
		Tags: f.Tags,
	}
	if f.Reserved != nil {
		out.Concurrency = &concurrencyOutput{ReservedConcurrentExecutions: f.Reserved}
	}
	return reply{status: http.StatusOK, body: out}, nil
}
