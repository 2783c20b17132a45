package logsapi

import (
	"context"

	"github.com/alcove-run/alcove/logs"
)

type describeLogStreamsInput struct {
	groupRef
	LogStreamNamePrefix *string `json:"logStreamNamePrefix"`
	OrderBy             *string `json:"orderBy"`
	Descending          *bool   `json:"descending"`
	Limit               *int64  `json:"limit"`
	NextToken           *string `json:"nextToken"`
}

type logStream struct {
	ARN                 string `json:"arn"`
	CreationTime        int64  `json:"creationTime"`
	FirstEventTimestamp *int64 `json:"firstEventTimestamp,omitempty"`
	LastEventTimestamp  *int64 `json:"lastEventTimestamp,omitempty"`
	LastIngestionTime   *int64 `json:"lastIngestionTime,omitempty"`
	LogStreamName       string `json:"logStreamName"`
	StoredBytes         int64  `json:"storedBytes"` // always zero, as on AWS since 2019
	UploadSequenceToken string `json:"uploadSequenceToken"`
}

type describeLogStreamsOutput struct {
	LogStreams []logStream `json:"logStreams"`
	NextToken  string      `json:"nextToken,omitempty"`
}

// sequenceToken is what AWS still answers with and no longer looks at.
const sequenceToken = "49039859627188593259520393595949253895935935926098433954"

func (a *API) describeLogStreams(ctx context.Context, _ *call, in *describeLogStreamsInput) (any, error) {
	var c checks
	c.optional(in.LogStreamNamePrefix, "logStreamNamePrefix", c.stream)
	c.limit(in.Limit, "limit", 50)
	byTime := false
	switch order := orZero(in.OrderBy); order {
	case "", "LogStreamName":
	case "LastEventTime":
		byTime = true
	default:
		c.fail(order, "orderBy", "satisfy enum value set: [LogStreamName, LastEventTime]")
	}
	group, err := in.resolve(a.Place, &c)
	if err != nil {
		return nil, err
	}
	if byTime && in.LogStreamNamePrefix != nil {
		return nil, invalidParameter("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	after, err := decodeToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	list, next, err := a.Store.Streams(ctx, logs.StreamQuery{Group: group, Prefix: orZero(in.LogStreamNamePrefix),
		ByLastEvent: byTime, Descending: orZero(in.Descending), After: after, Limit: int(orZero(in.Limit))})
	if err != nil {
		return nil, err
	}
	out := describeLogStreamsOutput{LogStreams: []logStream{}, NextToken: encodeToken(next)}
	for _, st := range list {
		ls := logStream{ARN: groupARN(a.Place, group) + ":log-stream:" + st.Name, LogStreamName: st.Name,
			CreationTime: st.Created.UnixMilli(), UploadSequenceToken: sequenceToken}
		if !st.LastEvent.IsZero() {
			ls.FirstEventTimestamp = new(st.FirstEvent.UnixMilli())
			ls.LastEventTimestamp = new(st.LastEvent.UnixMilli())
			ls.LastIngestionTime = new(st.Ingested.UnixMilli())
		}
		out.LogStreams = append(out.LogStreams, ls)
	}
	return out, nil
}
