package logsapi

import (
	"context"
	"slices"
	"strconv"
)

type putRetentionPolicyInput struct {
	groupInput
	RetentionInDays *int64 `json:"retentionInDays"`
}

// retentions are the numbers of days that AWS takes.
func retentions() []int64 {
	return []int64{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
}

func (a *API) putRetentionPolicy(ctx context.Context, _ *call, in *putRetentionPolicyInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	var c checks
	if in.RetentionInDays == nil {
		c.fail("null", "retentionInDays", "not be null")
	} else if !slices.Contains(retentions(), *in.RetentionInDays) {
		c.fail(strconv.FormatInt(*in.RetentionInDays, 10), "retentionInDays",
			"satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return nil, a.Store.SetRetention(ctx, *in.LogGroupName, int(*in.RetentionInDays))
}
