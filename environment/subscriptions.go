package environment

import (
	"slices"
	"time"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/sandbox/supervise"
	"github.com/alcove-run/alcove/telemetry"
)

// formOf is the form of records that a subscription takes.
func formOf(s runtimeapi.Subscription) byte {
	switch s.Schema {
	case runtimeapi.Schema20220701:
		return supervise.FormString
	case runtimeapi.LogsSchema2020:
		return supervise.FormLogs
	case runtimeapi.LogsSchema2021:
		return supervise.FormLogs21
	}
	return supervise.FormObject
}

// kinds of records, by their names in subscriptions.
var kinds = map[string]byte{
	"platform": supervise.KindPlatform, "function": supervise.KindFunction, "extension": supervise.KindExtension,
}

// subscribe has an extension told of records.
func (e *Environment) subscribe(id string, s runtimeapi.Subscription) error {
	x := e.ext.byID(id)
	switch {
	case x == nil:
		return unknownExtension(id)
	case e.initOver():
		return runtimeapi.ErrSubscriptionsClosed
	case e.supervisor == nil:
		return runtimeapi.ErrNoTelemetry
	}
	state := "Already subscribed"
	if !x.subscribed {
		x.subscribed, state = true, "Subscribed"
		var wanted byte
		for _, t := range s.Types {
			wanted |= kinds[t]
		}
		form := formOf(s)
		e.output.subscribed(wanted, form)
		e.supervisor.tell(supervise.AppendJSONFrame(nil, supervise.ToldSubscription, supervise.Subscription{
			Kinds: wanted, Form: form, Port: s.Port, Path: s.Path, Put: s.Put,
			MaxItems: s.MaxItems, MaxBytes: s.MaxBytes, TimeoutMs: s.TimeoutMs,
		}))
	}
	now := time.Now()
	e.output.platform(now, &telemetry.Subscription{Time: now, Name: x.name, State: state, Types: slices.Clone(s.Types), Logs: s.API == runtimeapi.LogsAPI})
	return nil
}

// endSubscriptions is the end of Init: nobody else will subscribe.
func (e *Environment) endSubscriptions() {
	if e.supervisor != nil {
		e.supervisor.tell(supervise.AppendFrame(nil, supervise.ToldSettled))
		e.output.settled()
	}
}
