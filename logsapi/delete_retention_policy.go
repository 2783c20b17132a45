package logsapi

import (
	"context"
)

func (a *API) deleteRetentionPolicy(ctx context.Context, _ *call, in *groupInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, a.Store.SetRetention(ctx, *in.LogGroupName, 0)
}
