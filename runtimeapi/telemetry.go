package runtimeapi

import (
	"errors"
	"io"
	"net/http"
)

// ErrNoTelemetry is what [Extensions.Subscribe] says where nothing can take
// telemetry to a listener. Clients take the answer for that (runtime interface
// emulator, runtimelogs_stub.go).
var ErrNoTelemetry = errors.New("runtimeapi: no telemetry here")

// ErrSubscriptionsClosed is what it says once Init is over.
var ErrSubscriptionsClosed = errors.New("runtimeapi: subscriptions are closed")

// telemetrySubscribe answers PUT /2022-07-01/telemetry.
func telemetrySubscribe(s *Server, x Extensions, w http.ResponseWriter, r *http.Request) {
	s.subscribe(x, w, r, TelemetryAPI)
}

// subscribe answers a request of either API.
func (s *Server) subscribe(x Extensions, w http.ResponseWriter, r *http.Request, api API) {
	id, err := identified(r)
	if err == nil {
		err = x.KnowsExtension(id)
	}
	if err != nil {
		s.refuseExtension(w, r, err)
		return
	}
	s.pay(s.idle, 1+max(0, r.ContentLength)/idleBody)
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxExtensionBody+1))
	if err == nil && len(raw) > maxExtensionBody {
		err = errors.New("request body is too large")
	}
	var sub Subscription
	if err == nil {
		sub, err = ParseSubscription(raw, api)
	}
	if err != nil {
		renderError(w, http.StatusBadRequest, "ValidationError", err.Error())
		return
	}
	switch err := x.Subscribe(id, sub); {
	case err == nil:
		render(w, http.StatusOK, typeJSON, []byte(`"OK"`))
	case errors.Is(err, ErrNoTelemetry):
		renderError(w, http.StatusAccepted, api.word()+".NotSupported", api.word()+" API is not supported")
	case errors.Is(err, ErrSubscriptionsClosed):
		renderError(w, http.StatusForbidden, api.word()+".SubscriptionClosed", api.word()+" API subscription is closed already")
	default:
		s.refuseExtension(w, r, err)
	}
}
