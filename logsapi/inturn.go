package logsapi

import (
	"context"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/turns"
)

// inTurn matches messages with a pattern, a slice of time at a time, in turn with what
// others read: a page may look at 128 MB, and one line may take seconds.
type inTurn struct {
	ctx     context.Context
	pattern *pattern
	turn    *turns.Turn
}

// maxWaiting is how many requests of a party wait for a turn; each has a connection.
const maxWaiting = 20

// begin waits for a party's turn. The pattern is for this goroutine alone.
func (a *API) begin(ctx context.Context, party string, p *pattern) (*inTurn, error) {
	turn, err := a.Turns.Begin(ctx, party)
	if err != nil {
		return nil, err
	}
	w := &inTurn{ctx, p, turn}
	if p != nil {
		*p.pause = w.goOn
	}
	return w, nil
}

// crowded is the error of a request of a party that has many waiting.
func (a *API) crowded(party string) error {
	if a.Turns.Waiting(party) >= maxWaiting {
		return alcove.ClientError("ThrottlingException", "Rate exceeded")
	}
	return nil
}

// goOn pauses if it is time to, and says whether to go on.
func (w *inTurn) goOn() bool { return w.ctx.Err() == nil && w.turn.Pause(w.ctx) == nil }

func (w *inTurn) match(message []byte) bool { return w.goOn() && w.pattern.match(message) }

func (w *inTurn) end() { w.turn.End() }
