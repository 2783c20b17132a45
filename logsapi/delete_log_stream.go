package logsapi

import (
	"context"

	"github.com/alcove-run/alcove"
)

func (a *API) deleteLogStream(ctx context.Context, _ alcove.Caller, in *streamInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, a.Store.DeleteStream(ctx, *in.LogGroupName, *in.LogStreamName)
}
