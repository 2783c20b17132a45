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
	RepositoryType   string
	Location         string `json:",omitempty"`
	ImageUri         string `json:",omitempty"`
	ResolvedImageUri string `json:",omitempty"`
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
		Tags:          f.Tags,
	}
	// Tools branch on the types of AWS's own stores.
	if v.FromImage() {
		out.Code = codeLocation{RepositoryType: "ECR", ImageUri: v.Code.Image, ResolvedImageUri: v.Code.Resolved}
	} else {
		out.Code = codeLocation{RepositoryType: "S3", Location: a.codeURL(c.request, caller, v.Code.SHA256)}
	}
	if f.Reserved != nil && ref.Qualifier == "" { // it is the function's, and AWS leaves it out of what is a version's
		out.Concurrency = &concurrencyOutput{ReservedConcurrentExecutions: f.Reserved}
	}
	return reply{status: http.StatusOK, body: out}, nil
}
