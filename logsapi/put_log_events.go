package logsapi

import (
	"context"
	"time"

	"github.com/alcove-run/alcove/logs"
)

type putLogEventsInput struct {
	streamInput
	LogEvents []struct {
		Timestamp *int64  `json:"timestamp"`
		Message   *string `json:"message"`
	} `json:"logEvents"`
}

type rejectedLogEvents struct {
	TooNewStart *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldEnd   *int `json:"tooOldLogEventEndIndex,omitempty"`
	ExpiredEnd  *int `json:"expiredLogEventEndIndex,omitempty"`
}

type putLogEventsOutput struct {
	NextSequenceToken     string             `json:"nextSequenceToken"`
	RejectedLogEventsInfo *rejectedLogEvents `json:"rejectedLogEventsInfo,omitempty"`
}

// Limits of a batch (API reference, PutLogEvents).
const (
	maxBatchEvents = 10_000
	maxBatchBytes  = 1 << 20
	eventOverhead  = 26
	maxBatchSpan   = 24 * time.Hour
	maxAge         = 14 * 24 * time.Hour
	maxAhead       = 2 * time.Hour
)

func (a *API) putLogEvents(ctx context.Context, _ *call, in *putLogEventsInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if err := in.checkEvents(); err != nil {
		return nil, err
	}
	group, err := a.Store.Group(ctx, *in.LogGroupName)
	if err != nil {
		return nil, err
	}
	now := a.Now()
	expired := time.Time{}
	if group.RetentionDays > 0 {
		expired = now.AddDate(0, 0, -group.RetentionDays)
	}
	var entries []logs.Entry
	var rejected rejectedLogEvents
	for i, e := range in.LogEvents {
		switch at := time.UnixMilli(min(*e.Timestamp, maxMoment)); {
		case at.Before(now.Add(-maxAge)):
			rejected.TooOldEnd = new(i + 1)
		case at.Before(expired):
			rejected.ExpiredEnd = new(i + 1)
		case at.After(now.Add(maxAhead)):
			if rejected.TooNewStart == nil {
				rejected.TooNewStart = new(i)
			}
		default:
			entries = append(entries, logs.Entry{At: at, Message: []byte(*e.Message)})
		}
	}
	if err := a.Store.Put(ctx, *in.LogGroupName, *in.LogStreamName, entries); err != nil {
		return nil, err
	}
	out := putLogEventsOutput{NextSequenceToken: sequenceToken}
	if rejected != (rejectedLogEvents{}) {
		out.RejectedLogEventsInfo = &rejected
	}
	return out, nil
}

// checkEvents refuses batches that AWS refuses as a whole.
func (in *putLogEventsInput) checkEvents() error {
	var c checks
	bytes := 0
	switch {
	case len(in.LogEvents) == 0:
		c.fail("[]", "logEvents", "have length greater than or equal to 1")
	case len(in.LogEvents) > maxBatchEvents:
		c.fail("[…]", "logEvents", "have length less than or equal to 10000")
	}
	for _, e := range in.LogEvents {
		switch {
		case e.Timestamp == nil || *e.Timestamp < 0:
			c.fail("null", "logEvents.member.timestamp", "have value greater than or equal to 0")
		case e.Message == nil || *e.Message == "":
			c.fail("", "logEvents.member.message", "have length greater than or equal to 1")
		default:
			bytes += len(*e.Message) + eventOverhead
			continue
		}
		break
	}
	if err := c.err(); err != nil {
		return err
	}
	if bytes > maxBatchBytes {
		return invalidParameter("Upload too large: %d bytes exceeds limit of %d", bytes, maxBatchBytes)
	}
	for i, e := range in.LogEvents[1:] {
		if *e.Timestamp < *in.LogEvents[i].Timestamp {
			return invalidParameter("Log events in a single PutLogEvents request must be in chronological order.")
		}
	}
	if last := in.LogEvents[len(in.LogEvents)-1]; *last.Timestamp-*in.LogEvents[0].Timestamp > maxBatchSpan.Milliseconds() {
		return invalidParameter("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	return nil
}
