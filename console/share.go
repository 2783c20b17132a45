package console

import (
	"context"
	"net/http"
	"time"
)

// How many pages are made at once, for one key and for all, how many streams of events
// one key may have open, and how many deployment packages are in memory. What a page
// is made of may be tens of megabytes, and whoever has any key may ask for it.
const (
	seatsOfKey   = 8
	maxSeats     = 48
	streamsOfKey = 32
	maxPackages  = 1
	// How long a page waits for its turn, and a package for its.
	seatTime    = 20 * time.Second
	packageTime = time.Minute
)

// share is what one key may have of the console at once, in however many sessions.
type share struct{ seats, streams chan struct{} }

func newShare(seats, streams int) *share {
	return &share{make(chan struct{}, seats), make(chan struct{}, streams)}
}

// seat waits until the page of a request may be made: a key waits for its own first,
// so that its many keep nobody else waiting.
func (q *request) seat() (leave func(), err error) {
	ctx, cancel := context.WithTimeout(q.Context(), seatTime)
	defer cancel()
	if err := enter(ctx, q.who.share.seats); err != nil {
		return nil, err
	}
	if err := enter(ctx, q.con.seats); err != nil {
		<-q.who.share.seats
		return nil, err
	}
	return func() { <-q.con.seats; <-q.who.share.seats }, nil
}

// enter waits for one of some places.
func enter(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &problem{Status: http.StatusServiceUnavailable, Title: "Too much at once", Detail: "The pages that you have asked for are still being made. Wait for them, then reload this one."}
	}
}

// withPackage does something with a deployment package in memory, when there is room
// for it.
func (q *request) withPackage(fn func() error) error {
	ctx, cancel := context.WithTimeout(q.Context(), packageTime)
	defer cancel()
	if err := enter(ctx, q.con.packages); err != nil {
		return err
	}
	defer func() { <-q.con.packages }()
	return fn()
}
