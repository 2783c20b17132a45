package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/catalog"
)

type updateFunctionCodeInput struct {
	codeShape
	FunctionName  *string  `from:"path" is:"FunctionName"`
	Architectures []string `is:"ArchitecturesList"`
	Publish       *bool
	PublishTo     *string
	DryRun        *bool
	RevisionId    *string
}

func updateFunctionCode(a *API, ctx context.Context, caller alcove.Caller, c *call, in *updateFunctionCodeInput) (reply, error) {
	name, err := a.functionOnly(*in.FunctionName, true)
	if err != nil {
		return reply{}, err
	}
	check := in.codeShape.refuse
	if in.image() != "" {
		check = func(*API) error { return in.codeShape.refuseBesideImage() }
	}
	if err := check(a); err != nil {
		return reply{}, err
	}
	if in.PublishTo != nil && *in.PublishTo != "" {
		return reply{}, unsupportedMember("PublishTo")
	}
	update := catalog.UpdateCodeInput{
		Zip: artifact.Sent(in.ZipFile), Image: in.image(), Publish: in.Publish != nil && *in.Publish, DryRun: in.DryRun != nil && *in.DryRun,
	}
	set(&update.RevisionID, in.RevisionId)
	if len(in.Architectures) > 0 {
		if update.Architecture, err = a.checkArchitecture(in.Architectures); err != nil {
			return reply{}, err
		}
	}
	if in.inS3() {
		if _, err := a.Catalog.Function(name); err != nil {
			return reply{}, err
		}
		zip, release, err := a.fetchCode(ctx, caller, c, &in.codeShape)
		if err != nil {
			return reply{}, err
		}
		defer release()
		update.Zip, ctx = zip, context.WithoutCancel(ctx)
	}
	v, err := a.Catalog.UpdateCode(ctx, caller, name, update)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.configuration(v, answerARN(v, alcove.Ref{}))}, nil
}
