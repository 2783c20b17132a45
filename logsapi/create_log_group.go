package logsapi

import (
	"context"
	"errors"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth/policy"
	"github.com/alcove-run/alcove/logs"
)

type createLogGroupInput struct {
	groupInput
	Tags map[string]string `json:"tags"`
	// What the rest asks for is not here, and must not be thought to be.
	KMSKeyID                  *string `json:"kmsKeyId"`
	LogGroupClass             *string `json:"logGroupClass"`
	DeletionProtectionEnabled *bool   `json:"deletionProtectionEnabled"`
}

func (in *createLogGroupInput) asked() policy.Asked { return tagsAsked(in.Tags) }

func (a *API) createLogGroup(ctx context.Context, call *call, in *createLogGroupInput) (any, error) {
	var c checks
	c.required(in.LogGroupName, "logGroupName", c.group)
	if in.Tags != nil {
		c.tagMap(in.Tags)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	switch {
	case in.KMSKeyID != nil:
		return nil, invalidParameter("Log groups are not encrypted with keys of their own here: leave kmsKeyId out.")
	case in.LogGroupClass != nil && *in.LogGroupClass != standardClass:
		return nil, invalidParameter("Log groups have the class %s here, not %.64q.", standardClass, *in.LogGroupClass)
	case orZero(in.DeletionProtectionEnabled):
		return nil, invalidParameter("Log groups cannot be protected from deletion here: leave deletionProtectionEnabled out.")
	}
	if err := a.authorizeTags(call, *in.LogGroupName, in.Tags); err != nil {
		return nil, err
	}
	err := a.Store.CreateGroup(ctx, *in.LogGroupName, in.Tags)
	if errors.Is(err, logs.ErrExists) {
		return nil, alcove.ClientError(codeAlreadyExists, "The specified log group already exists")
	}
	return nil, err
}
