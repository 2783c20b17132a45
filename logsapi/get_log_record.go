package logsapi

import (
	"context"
	"strconv"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/insights"
	"github.com/alcove-run/alcove/logs/queries"
)

type getLogRecordInput struct {
	LogRecordPointer *string `json:"logRecordPointer"`
	Unmask           *bool   `json:"unmask"` // nothing is masked here
}

// about is the group that the pointer names.
func (in *getLogRecordInput) about(p alcove.Place) string {
	group, _, _ := queries.ParsePointer(orZero(in.LogRecordPointer))
	return subjectOf(p, group, nil)
}

type getLogRecordOutput struct {
	LogRecord map[string]string `json:"logRecord"`
}

func (a *API) getLogRecord(ctx context.Context, c *call, in *getLogRecordInput) (any, error) {
	var p checks
	p.required(in.LogRecordPointer, "logRecordPointer", func(string, string) {})
	if err := p.err(); err != nil {
		return nil, err
	}
	group, cursor, ok := queries.ParsePointer(*in.LogRecordPointer)
	if !ok {
		return nil, invalidParameter("The specified log record pointer is invalid.")
	}
	at, err := strconv.ParseInt(string(cursor[:20]), 10, 64) // a cursor begins with the time
	if err != nil {
		return nil, invalidParameter("The specified log record pointer is invalid.")
	}
	page, err := a.Store.Query(ctx, logs.Query{Group: group, After: cursor.Before(), Limit: 1, Visible: c.visible(), Until: timeAt(&at, 1)})
	if err != nil {
		return nil, err
	}
	if len(page.Events) == 0 || page.Events[0].Cursor != cursor {
		return nil, alcove.ClientError(alcove.CodeResourceNotFound, "The specified log record does not exist.")
	}
	e := page.Events[0]
	out := getLogRecordOutput{make(map[string]string)}
	for _, f := range insights.Fields(&insights.Event{Log: a.Place.Account + ":" + group, Stream: e.Stream, At: e.At.UnixMilli(),
		Ingested: e.Ingested.UnixMilli(), Message: string(e.Message), Ptr: func() string { return *in.LogRecordPointer }}) {
		out.LogRecord[f.Name] = f.Value
	}
	return out, nil
}
