package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

type publishVersionInput struct {
	FunctionName *string `from:"path" is:"FunctionName"`
	CodeSha256   *string
	Description  *string `is:"Description"`
	RevisionId   *string
	PublishTo    *string
}

func publishVersion(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *publishVersionInput) (reply, error) {
	name, err := a.functionOnly(*in.FunctionName, true)
	if err != nil {
		return reply{}, err
	}
	if in.PublishTo != nil && *in.PublishTo != "" {
		return reply{}, unsupportedMember("PublishTo")
	}
	publish := catalog.PublishInput{Description: in.Description}
	set(&publish.CodeSHA256, in.CodeSha256)
	set(&publish.RevisionID, in.RevisionId)
	v, err := a.Catalog.Publish(ctx, caller, name, publish)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: a.configuration(v, v.QualifiedARN())}, nil
}
