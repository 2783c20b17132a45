package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

type publishVersionInput struct {
	CodeSha256  *string
	Description *string
	RevisionId  *string
	PublishTo   *string
}

func publishVersion(a *API, ctx context.Context, caller alcove.Caller, c *call, in *publishVersionInput) (reply, error) {
	var f failures
	check(&f, []rule{{member: "description", text: &in.Description, max: 256}})
	if err := f.err(); err != nil {
		return reply{}, err
	}
	name, err := a.functionOnly(c.params[0], true)
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
