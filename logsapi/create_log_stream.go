package logsapi

import (
	"context"
	"errors"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/logs"
)

func (a *API) createLogStream(ctx context.Context, _ *call, in *streamInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	err := a.Store.CreateStream(ctx, *in.LogGroupName, *in.LogStreamName)
	if errors.Is(err, logs.ErrExists) {
		return nil, alcove.ClientError(codeAlreadyExists, "The specified log stream already exists")
	}
	return nil, err
}
