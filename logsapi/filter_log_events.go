package logsapi

import (
	"context"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/logs"
)

type filterLogEventsInput struct {
	groupRef
	LogStreamNames      []string `json:"logStreamNames"`
	LogStreamNamePrefix *string  `json:"logStreamNamePrefix"`
	StartTime           *int64   `json:"startTime"`
	EndTime             *int64   `json:"endTime"`
	FilterPattern       *string  `json:"filterPattern"`
	StartFromHead       *bool    `json:"startFromHead"`
	Limit               *int64   `json:"limit"`
	NextToken           *string  `json:"nextToken"`
}

type filteredLogEvent struct {
	EventID       string `json:"eventId"`
	IngestionTime int64  `json:"ingestionTime"`
	LogStreamName string `json:"logStreamName"`
	Message       string `json:"message"`
	Timestamp     int64  `json:"timestamp"`
}

type filterLogEventsOutput struct {
	Events             []filteredLogEvent `json:"events"`
	NextToken          string             `json:"nextToken,omitempty"`
	SearchedLogStreams []struct{}         `json:"searchedLogStreams"` // empty, as on AWS since 2020
}

const (
	maxPattern = 1024
	maxStreams = 100
)

// newestFirstSince is the earliest startTime that AWS takes together with
// startFromHead false.
var newestFirstSince = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

func (a *API) filterLogEvents(ctx context.Context, c *call, in *filterLogEventsInput) (any, error) {
	q, err := a.filterQuery(in)
	if err != nil {
		return nil, err
	}
	var p *pattern
	if in.FilterPattern != nil {
		if p, err = compilePattern(*in.FilterPattern); err != nil {
			return nil, err
		}
		q.Among = among(p)
	}
	q.Visible = c.visible()
	party := ownerOf(c.caller, c.scope).Party
	if err := a.crowded(party); err != nil {
		return nil, err
	}
	work, err := a.begin(ctx, party, p)
	if err != nil {
		return nil, err
	}
	defer work.end()
	if p != nil {
		q.Match = work.match
	}
	page, err := a.Store.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	out := filterLogEventsOutput{Events: []filteredLogEvent{}, SearchedLogStreams: []struct{}{}}
	for _, e := range page.Events {
		out.Events = append(out.Events, filteredLogEvent{EventID: string(e.Cursor), IngestionTime: e.Ingested.UnixMilli(),
			LogStreamName: e.Stream, Message: string(e.Message), Timestamp: e.At.UnixMilli()})
	}
	if page.Next != "" {
		direction := forward
		if q.NewestFirst {
			direction = backward
		}
		out.NextToken = encodeToken(direction + string(page.Next))
	}
	return out, nil
}

// filterQuery is the query of a request, its pattern aside.
func (a *API) filterQuery(in *filterLogEventsInput) (logs.Query, error) {
	var c checks
	c.optional(in.LogStreamNamePrefix, "logStreamNamePrefix", c.stream)
	if in.LogStreamNames != nil && (len(in.LogStreamNames) == 0 || len(in.LogStreamNames) > maxStreams) {
		c.fail("["+strings.Join(in.LogStreamNames[:min(3, len(in.LogStreamNames))], ", ")+"]", "logStreamNames", "have length between 1 and 100")
	}
	for _, name := range in.LogStreamNames {
		c.stream(name, "logStreamNames")
	}
	c.moment(in.StartTime, "startTime")
	c.moment(in.EndTime, "endTime")
	c.limit(in.Limit, "limit", logs.DefaultLimit)
	c.length(orZero(in.FilterPattern), "filterPattern", 0, maxPattern)
	group, err := in.resolve(a.Place, &c)
	if err != nil {
		return logs.Query{}, err
	}
	if in.LogStreamNames != nil && in.LogStreamNamePrefix != nil {
		return logs.Query{}, invalidParameter("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
	}
	q := logs.Query{Group: group, Streams: in.LogStreamNames, Prefix: orZero(in.LogStreamNamePrefix),
		Since: timeAt(in.StartTime, 0), Until: timeAt(in.EndTime, 1), Limit: int(orZero(in.Limit)),
		NewestFirst: in.StartFromHead != nil && !*in.StartFromHead}
	token, err := decodeToken(in.NextToken)
	if err != nil {
		return logs.Query{}, err
	}
	if token != "" {
		from, ok := strings.CutPrefix(token, forward)
		if !ok {
			if from, ok = strings.CutPrefix(token, backward); !ok {
				return logs.Query{}, invalidToken()
			}
		}
		if q.After = logs.Cursor(from); q.After == "" {
			return logs.Query{}, invalidToken()
		}
		q.NewestFirst = strings.HasPrefix(token, backward)
	} else if q.NewestFirst && q.Since.Before(newestFirstSince) {
		return logs.Query{}, invalidParameter("startFromHead can be false only with a startTime on or after 2024-01-01T00:00:00Z.")
	}
	return q, nil
}

// among are the tenants whose events can match a pattern that names tenants; nil
// if it names none. It lets the store look at those tenants' events alone, by
// its index, with one effect that can be seen: a line that another tenant's
// function wrote does not count as the named tenant's, whatever it says of
// itself. Events of no tenant (ordinary functions, Init) match by their text.
func among(p *pattern) []alcove.Tenant {
	names, ok := p.tenants()
	if !ok {
		return nil
	}
	list := []alcove.Tenant{""}
	for _, n := range names {
		if n != "" {
			list = append(list, alcove.Tenant(n))
		}
	}
	return list
}
