package logsapi

import (
	"context"
	"slices"
	"strings"

	"github.com/alcove-run/alcove/logs"
)

type getLogEventsInput struct {
	groupRef
	LogStreamName *string `json:"logStreamName"`
	StartTime     *int64  `json:"startTime"`
	EndTime       *int64  `json:"endTime"`
	Limit         *int64  `json:"limit"`
	NextToken     *string `json:"nextToken"`
	StartFromHead *bool   `json:"startFromHead"`
}

type outputLogEvent struct {
	IngestionTime int64  `json:"ingestionTime"`
	Message       string `json:"message"`
	Timestamp     int64  `json:"timestamp"`
}

type getLogEventsOutput struct {
	Events            []outputLogEvent `json:"events"`
	NextBackwardToken string           `json:"nextBackwardToken"`
	NextForwardToken  string           `json:"nextForwardToken"`
}

// Tokens say in which direction to go on, and from where: f/ and b/ with a
// cursor.
const (
	forward  = "f/"
	backward = "b/"
)

func (a *API) getLogEvents(ctx context.Context, c *call, in *getLogEventsInput) (any, error) {
	var check checks
	check.required(in.LogStreamName, "logStreamName", check.stream)
	check.moment(in.StartTime, "startTime")
	check.moment(in.EndTime, "endTime")
	check.limit(in.Limit, "limit", logs.DefaultLimit)
	group, err := in.resolve(a.Place, &check)
	if err != nil {
		return nil, err
	}
	q := logs.Query{Group: group, Streams: []string{*in.LogStreamName}, Since: timeAt(in.StartTime, 0), Until: timeAt(in.EndTime, 0),
		Limit: int(orZero(in.Limit)), NewestFirst: !orZero(in.StartFromHead), Visible: c.visible()}
	if in.NextToken != nil {
		from, ok := strings.CutPrefix(*in.NextToken, forward)
		q.NewestFirst = !ok
		if !ok {
			if from, ok = strings.CutPrefix(from, backward); !ok {
				return nil, invalidToken()
			}
		}
		if from == "" {
			return nil, invalidToken()
		}
		q.After = logs.Cursor(from)
	}
	page, err := a.Store.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	if q.NewestFirst {
		slices.Reverse(page.Events)
	}
	out := getLogEventsOutput{Events: []outputLogEvent{}}
	for _, e := range page.Events {
		out.Events = append(out.Events, outputLogEvent{IngestionTime: e.Ingested.UnixMilli(), Message: string(e.Message), Timestamp: e.At.UnixMilli()})
	}
	first, last := ends(page.Events, q)
	out.NextBackwardToken, out.NextForwardToken = backward+string(first), forward+string(last)
	return out, nil
}

// ends are the places that the tokens of a page name. At an end of the stream
// the token in that direction is the one that came with the request, and the
// other leads back to where it came from.
func ends(events []logs.Event, q logs.Query) (first, last logs.Cursor) {
	switch n := len(events); {
	case n > 0:
		return events[0].Cursor, events[n-1].Cursor
	case q.After == "":
		start := logs.CursorAt(q.Since)
		return start, start
	case q.NewestFirst:
		return q.After, q.After.Before()
	default:
		return q.After.Behind(), q.After
	}
}
