package logsapi

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/alcove-run/alcove/logs"
)

type describeLogGroupsInput struct {
	LogGroupNamePrefix  *string  `json:"logGroupNamePrefix"`
	LogGroupNamePattern *string  `json:"logGroupNamePattern"`
	LogGroupIdentifiers []string `json:"logGroupIdentifiers"`
	LogGroupClass       *string  `json:"logGroupClass"`
	Limit               *int64   `json:"limit"`
	NextToken           *string  `json:"nextToken"`
}

type logGroup struct {
	ARN               string `json:"arn"`
	CreationTime      int64  `json:"creationTime"`
	LogGroupARN       string `json:"logGroupArn"`
	LogGroupClass     string `json:"logGroupClass"`
	LogGroupName      string `json:"logGroupName"`
	MetricFilterCount int    `json:"metricFilterCount"`
	RetentionInDays   int    `json:"retentionInDays,omitempty"`
	StoredBytes       int64  `json:"storedBytes"`
}

type describeLogGroupsOutput struct {
	LogGroups []logGroup `json:"logGroups"`
	NextToken string     `json:"nextToken,omitempty"`
}

const standardClass = "STANDARD"

func (a *API) describeLogGroups(ctx context.Context, _ *call, in *describeLogGroupsInput) (any, error) {
	var c checks
	c.optional(in.LogGroupNamePrefix, "logGroupNamePrefix", c.group)
	c.limit(in.Limit, "limit", 50)
	if err := c.err(); err != nil {
		return nil, err
	}
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return nil, invalidParameter("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	out := describeLogGroupsOutput{LogGroups: []logGroup{}}
	if in.LogGroupClass != nil && *in.LogGroupClass != standardClass {
		return out, nil
	}
	if in.LogGroupIdentifiers != nil {
		return a.describeNamedGroups(ctx, in.LogGroupIdentifiers)
	}
	after, err := decodeToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	list, next, err := a.Store.Groups(ctx, logs.GroupQuery{Prefix: orZero(in.LogGroupNamePrefix),
		Contains: orZero(in.LogGroupNamePattern), After: after, Limit: int(orZero(in.Limit))})
	if err != nil {
		return nil, err
	}
	for _, g := range list {
		out.LogGroups = append(out.LogGroups, a.describeGroup(g))
	}
	out.NextToken = encodeToken(next)
	return out, nil
}

func (a *API) describeNamedGroups(ctx context.Context, identifiers []string) (any, error) {
	if len(identifiers) > 50 {
		return nil, invalidParameter("At most 50 log group identifiers can be given.")
	}
	out := describeLogGroupsOutput{LogGroups: []logGroup{}}
	for _, id := range identifiers {
		name, here := nameOf(a.Place, id)
		if !here {
			continue
		}
		g, err := a.Store.Group(ctx, name)
		if errors.Is(err, logs.ErrNoGroup) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.LogGroups = append(out.LogGroups, a.describeGroup(g))
	}
	return out, nil
}

func (a *API) describeGroup(g logs.Group) logGroup {
	arn := groupARN(a.Place, g.Name)
	return logGroup{ARN: arn + ":*", LogGroupARN: arn, LogGroupName: g.Name, LogGroupClass: standardClass,
		CreationTime: g.Created.UnixMilli(), RetentionInDays: g.RetentionDays, StoredBytes: g.Bytes}
}

// encodeToken makes an opaque token of the place where the next page begins,
// none of none.
func encodeToken(place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(place))
}

func decodeToken(token *string) (string, error) {
	if token == nil {
		return "", nil
	}
	place, err := base64.RawURLEncoding.Strict().DecodeString(*token)
	if err != nil || len(place) == 0 || len(place) > 2048 {
		return "", invalidToken()
	}
	return string(place), nil
}
