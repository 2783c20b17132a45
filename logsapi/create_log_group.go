package logsapi

import (
	"context"
	"errors"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/logs"
)

func (a *API) createLogGroup(ctx context.Context, _ *call, in *groupInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	err := a.Store.CreateGroup(ctx, *in.LogGroupName)
	if errors.Is(err, logs.ErrExists) {
		return nil, alcove.ClientError(codeAlreadyExists, "The specified log group already exists")
	}
	return nil, err
}
