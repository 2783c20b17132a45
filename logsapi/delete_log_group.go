package logsapi

import (
	"context"
)

func (a *API) deleteLogGroup(ctx context.Context, _ *call, in *groupInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, a.Store.DeleteGroup(ctx, *in.LogGroupName)
}
