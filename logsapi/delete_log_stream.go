package logsapi

import (
	"context"
)

func (a *API) deleteLogStream(ctx context.Context, _ *call, in *streamInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, a.Store.DeleteStream(ctx, *in.LogGroupName, *in.LogStreamName)
}
