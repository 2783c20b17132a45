package async

import (
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke/async/turn"
)

// Lambda's defaults and bounds of an event invoke config (developer guide,
// "Configuring error handling settings for asynchronous invocations").
const (
	defaultRetries = 2
	defaultAge     = 6 * time.Hour
)

// Conditions of a destination's record. The last is alcove's own: AWS's records of
// events that were stopped for recursion are not documented.
const (
	conditionSuccess   = "Success"
	conditionExhausted = "RetriesExhausted"
	conditionAge       = "EventAgeExceeded"
	conditionZero      = "ZeroReservedConcurrency"
	conditionRecursion = "RecursiveInvocation"
	// conditionGone has no record: what would say where to send it went with the
	// function.
	conditionGone = "FunctionNotFound"
	// conditionUndelivered is a dead letter whose result no destination took; behind a
	// colon is what its condition was.
	conditionUndelivered = "DestinationUndelivered"
)

// retries is how often an event that its function failed runs again.
func retries(c *alcove.EventInvokeConfig) int {
	if c == nil || c.MaximumRetryAttempts == nil {
		return defaultRetries
	}
	return *c.MaximumRetryAttempts
}

// age is how long an event may be kept.
func age(c *alcove.EventInvokeConfig) time.Duration {
	if c == nil || c.MaximumEventAge == nil {
		return defaultAge
	}
	return time.Duration(*c.MaximumEventAge) * time.Second
}

// verdict is what becomes of an event after a run.
type verdict int

const (
	succeeded verdict = iota
	again             // at a time
	back              // as soon as there is room
	failed            // for good
)

// answer is how a run went: a result, or an error of the invoker.
type answer struct {
	result *alcove.Result
	err    error
}

// judgement is a verdict and what goes with it.
type judgement struct {
	verdict   verdict
	wait      time.Duration // of again
	condition string        // of failed
	// scope is whose limit was met, of back.
	scope turn.Scope
	// functionFailed and platformFailed say what is to be counted.
	functionFailed, platformFailed bool
}

// judge decides what becomes of an event. failures and trouble are counted without
// this run; left is how much longer the event may be kept.
func judge(a answer, c *alcove.EventInvokeConfig, failures, trouble int, left time.Duration) judgement {
	if a.err == nil && a.result.FunctionError == "" {
		return judgement{verdict: succeeded}
	}
	var j judgement
	if a.err == nil {
		j = judgement{verdict: again, wait: time.Duration(failures+1) * time.Minute, functionFailed: true}
		if failures >= retries(c) {
			return judgement{verdict: failed, condition: conditionExhausted, functionFailed: true}
		}
	} else {
		e := alcove.AsError(a.err)
		switch {
		case e.Code == alcove.CodeTooManyRequests:
			return judgement{verdict: back, scope: scopeOf(e.Limit)}
		case e.Code == alcove.CodeResourceNotFound:
			return judgement{verdict: failed, condition: conditionGone}
		case e.Code == alcove.CodeRecursiveInvocation:
			return judgement{verdict: failed, condition: conditionRecursion}
		default:
			// The platform's fault, or a function that is not ready.
			j = judgement{verdict: again, wait: turn.Backoff(trouble), platformFailed: true}
		}
	}
	// It is kept until it is too old, and not run again then.
	j.wait = min(j.wait, max(left, 0))
	return j
}

// scopeOf says with whom an event shares a limit.
func scopeOf(l alcove.Limit) turn.Scope {
	switch l {
	case alcove.LimitTenantShare, alcove.LimitTenantEnvironments:
		// A tenant that has environments goes on; one that has none waits by
		// itself.
		return turn.LaneScope
	case alcove.LimitReservedConcurrency:
		return turn.GroupScope
	}
	return turn.NodeScope
}
