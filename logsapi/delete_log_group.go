package logsapi

import (
	"context"

	"github.com/alcove-run/alcove"
)

func (a *API) deleteLogGroup(ctx context.Context, _ alcove.Caller, in *groupInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return nil, a.Store.DeleteGroup(ctx, *in.LogGroupName)
}
