package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

type updateFunctionCodeInput struct {
	codeShape
	Architectures []string
	Publish       *bool
	PublishTo     *string
	DryRun        *bool
	RevisionId    *string
}

func updateFunctionCode(a *API, ctx context.Context, caller alcove.Caller, c *call, in *updateFunctionCodeInput) (reply, error) {
	var f failures
	check(&f, []rule{architectures(&in.Architectures)})
	if err := f.err(); err != nil {
		return reply{}, err
	}
	name, err := a.functionOnly(c.params[0], true)
	if err != nil {
		return reply{}, err
	}
	if in.ImageUri != nil && *in.ImageUri != "" {
		return reply{}, alcove.InvalidParameter("Please don't provide ImageUri when updating a function with packageType Zip.")
	}
	if err := in.codeShape.check(); err != nil {
		return reply{}, err
	}
	if in.PublishTo != nil && *in.PublishTo != "" {
		return reply{}, unsupportedMember("PublishTo")
	}
	update := catalog.UpdateCodeInput{
		Zip: in.ZipFile, Publish: in.Publish != nil && *in.Publish, DryRun: in.DryRun != nil && *in.DryRun,
	}
	set(&update.RevisionID, in.RevisionId)
	if len(in.Architectures) > 0 {
		if update.Architecture, err = a.checkArchitecture(in.Architectures); err != nil {
			return reply{}, err
		}
	}
	v, err := a.Catalog.UpdateCode(ctx, caller, name, update)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.configuration(v, answerARN(v, alcove.Ref{}))}, nil
}
