package nodeapi

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/logs"
)

// maxFollowed is how many logs are followed at a time. Once they are, whoever follows
// fewer than somebody else is given one of those.
const maxFollowed = 256

// askAgain is how often it is asked whether who follows a log still may: policies have
// conditions of time, and of the function's tags.
const askAgain = 10 * time.Second

// following is a log that is followed.
type following struct {
	ctx   context.Context
	scope atomic.Pointer[auth.Scope] // what of tenants the caller sees now
}

// sees says whether the caller may see what belongs to a tenant.
func (f *following) sees(t alcove.Tenant) bool { return f.scope.Load().Sees(t) }

// beginFollowing takes a place for a request that follows a log. What is followed ends
// with its key, with the node, when its place is given to somebody else, and when its
// policy does not allow it any more. end is to be called in any case.
func (c Config) beginFollowing(r *request) (f *following, end func(), err error) {
	ctx, cancel := context.WithCancel(r.Context())
	place := c.followed.Take(partyOf(r), cancel)
	if place == nil {
		cancel()
		return nil, nil, alcove.ClientError(alcove.CodeTooManyRequests, "%d logs are followed on this node already, and none by a key that follows more than yours. End one first.", maxFollowed)
	}
	f = &following{ctx: ctx}
	f.scope.Store(r.scope)
	revoked := c.Revoked(r.caller)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel()
		again := time.NewTicker(askAgain)
		defer again.Stop()
		for {
			select {
			case <-revoked:
				return
			case <-c.Ending:
				return
			case <-ctx.Done():
				return
			case <-again.C:
			}
			scope, err := r.again()
			if err != nil {
				return
			}
			f.scope.Store(scope)
		}
	}()
	return f, func() { cancel(); <-ended; place.Leave() }, nil
}

// follow gives fn what is written from then on, until it ends.
func (c Config) follow(f *following, query logs.Query, fn func(logs.Event) error) error {
	err := c.Logs.Follow(f.ctx, query, fn)
	if f.ctx.Err() != nil {
		return nil
	}
	return err
}

// partyOf is whose places a request takes: an access key's, or those of a tenant's
// environments, or of a role's, which have a key each.
func partyOf(r *request) string {
	if tenant, one := r.scope.Only(); one {
		return "tenant\x00" + string(tenant)
	}
	if strings.Contains(r.caller.ARN, ":assumed-role/") {
		return r.caller.ARN
	}
	return r.caller.AccessKeyID
}
