package logsapi

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/alcove-run/alcove/internal/turns"
)

// heavy is a pattern that takes about a second for a line of 250 KB, so that no turn is
// enough for it.
const heavy = `%[ab]{200}x[ab]{200}y[ab]{150}z%`

// waits waits until so many requests of the fixture's caller wait for a turn.
func (f *fixture) waits(t *testing.T, n int) {
	t.Helper()
	for began := time.Now(); f.api.Turns.Waiting("") != n; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d wait, not %d", f.api.Turns.Waiting(""), n)
		}
	}
}

// TestSearchesTakeTurns: a search of one long line lets another party have the
// processor in the midst of it, and ends there when its client is gone.
func TestSearchesTakeTurns(t *testing.T) {
	f := start(t)
	f.api.Turns = turns.New(1)
	f.store.Stream(group, "long").Append("", now, []byte(strings.Repeat("ab", 125_000)))
	other, err := f.api.Turns.Begin(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	ended := make(chan error, 1)
	go func() {
		_, err := f.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(group), FilterPattern: aws.String(heavy)})
		ended <- err
	}()
	f.waits(t, 1)
	for range 3 {
		other.End()
		if other, err = f.api.Turns.Begin(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
		f.waits(t, 1) // in the midst of its one line
	}
	hangUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	f.waits(t, 0)
	other.End()
}

// TestRequestsOfOnePartyWaitInANumber: what is more is told to come back, as AWS tells
// it; the requests of others are none of its.
func TestRequestsOfOnePartyWaitInANumber(t *testing.T) {
	f := start(t)
	f.api.Turns = turns.New(1)
	f.fill()
	other, err := f.api.Turns.Begin(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String(group), FilterPattern: aws.String("b01")}
	ended := make(chan error)
	for range maxWaiting {
		go func() {
			out, err := f.FilterLogEvents(t.Context(), in)
			if err == nil && len(out.Events) != 1 {
				err = errors.New("not one event")
			}
			ended <- err
		}()
	}
	f.waits(t, maxWaiting)
	_, err = f.FilterLogEvents(t.Context(), in, func(o *cloudwatchlogs.Options) { o.RetryMaxAttempts = 1 })
	if code(err) != "ThrottlingException: Rate exceeded" {
		t.Errorf("one more: %v", err)
	}
	other.End()
	for range maxWaiting {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestLiveTailTakesTurns: what a session searches is searched in turn, and all of it.
func TestLiveTailTakesTurns(t *testing.T) {
	f := start(t)
	f.api.Turns = turns.New(1)
	f.fill()
	tail := tailStream(t, f.Client, cloudwatchlogs.StartLiveTailInput{
		LogGroupIdentifiers: []string{"arn:aws:logs:us-east-1:" + account + ":log-group:" + group}, LogEventFilterPattern: aws.String("%b[0-9]+%")})
	defer tail.Close()
	other, err := f.api.Turns.Begin(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	s := f.store.Stream(group, "tailed")
	s.Append("", now, []byte("b77"))
	s.Append("", now, []byte("no"))
	f.waits(t, 1)
	other.End()
	if got := next(t, tail, 1); len(got) != 1 || got[0] != "b77" {
		t.Errorf("%q", got)
	}
	if turn, err := f.api.Turns.Begin(t.Context(), "other"); err != nil { // nobody has it any more
		t.Error(err)
	} else {
		turn.End()
	}
}
