package main

import (
	"cmp"
	"context"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/internal/disk"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async"
	"github.com/alcove-run/alcove/invoke/async/destination"
	"github.com/alcove-run/alcove/invoke/async/spool"
)

const (
	// eventsDir is the queue's below the data directory.
	eventsDir  = "events"
	eventBytes = 8 << 30 // of events that wait
	// eventShare is one of how many parts of what may wait one tenant may have.
	eventShare = 4
	// eventRunsPerCPU bounds how many events run at once, eventDeliveries how many
	// of their results are on their way.
	eventRunsPerCPU = 128
	eventDeliveries = 64
	idempotencyKeys = 500000
)

// eventFlags are those of serve that are about events.
type eventFlags struct {
	EventsMax    int               `help:"How many events may wait to run; one tenant, or one function without tenants, may have a quarter of it, and never more than is left." default:"1000000"`
	Destinations map[string]string `help:"Where results of events go: sqs=URL;sns=URL;events=URL;s3=URL, or aws for AWS's own endpoint." placeholder:"SERVICE=URL" mapsep:";"`
}

// openEvents opens the queue of events, which goes on with what a predecessor left.
func (n *node) openEvents(context.Context) error {
	fs, err := spool.Directory(n.path(eventsDir))
	if err != nil {
		return err
	}
	sender := destination.New(n.cfg.destinations())
	n.events, err = async.Open(async.Config{
		FS: fs, Invoker: n.invoker, Trace: n.invoker.Accept, Catalog: n.catalog, EventInvoke: n.eventInvoke, Place: n.cfg.place(), Deliver: sender,
		Runs: min(n.cfg.Concurrency, eventRunsPerCPU*runtime.NumCPU()), Deliveries: eventDeliveries,
		Limits: async.Limits{Events: n.cfg.EventsMax, PartyEvents: max(1, n.cfg.EventsMax/eventShare),
			Bytes: eventBytes, PartyBytes: eventBytes / eventShare, Reserve: spaceReserve, Keys: idempotencyKeys},
		Free:   freeSpace(n.cfg.Data),
		Record: n.recordEvent, Observe: n.observe, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.opened(n.events.Close)
	n.events.Start()
	return nil
}

// freeFor is how long an answer of the file system about its room is good for: far less
// is written meanwhile than is kept free.
const freeFor = 20 * time.Millisecond

// freeSpace tells how many bytes a file system has left, and asks it for few of many
// events.
func freeSpace(dir string) func() (int64, error) {
	var mu sync.Mutex
	var asked time.Time
	var free int64
	return func() (int64, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(asked) < freeFor {
			return free, nil
		}
		_, now, err := disk.Space(dir)
		if err == nil {
			free, asked = now, time.Now()
		}
		return now, err
	}
}

// destinations are the services that results go to. The keys come from the
// environment, as AWS's tools have them.
func (c *serveCmd) destinations() destination.Config {
	return destination.Config{Endpoints: c.Destinations, Account: c.Account, Region: c.Region,
		Credentials: credentials.NewStaticCredentialsProvider(cmp.Or(os.Getenv("AWS_ACCESS_KEY_ID"), "none"),
			cmp.Or(os.Getenv("AWS_SECRET_ACCESS_KEY"), "none"), os.Getenv("AWS_SESSION_TOKEN"))}
}

// eventInvoke is the event invoke config of a function or a qualifier, or nil.
func (n *node) eventInvoke(ref alcove.Ref) *alcove.EventInvokeConfig {
	e, err := n.catalog.EventInvoke(ref)
	if err != nil {
		return nil
	}
	return e.Config
}

// recordEvent keeps who sent an event, or who was answered with an earlier answer.
func (n *node) recordEvent(caller alcove.Caller, req invoke.Request, requestID string, repeated bool) error {
	reason := auth.ReasonEvent
	if repeated {
		reason = auth.ReasonReplay
	}
	return n.auth.Note(caller, auth.Operation{Action: "lambda:InvokeFunction", Function: req.Ref, Tenant: req.Tenant, Invocation: true, RequestID: requestID}, reason)
}

// observe counts what happened to an event among the metrics of its function.
func (n *node) observe(o async.Observation) {
	unit := "Count"
	if o.Metric == "AsyncEventAge" {
		unit = "Milliseconds"
	}
	n.metrics.Event(o.Function, o.Tenant, o.Metric, unit, o.Value)
}

// collectEvents tells Prometheus of events.
func (n *node) collectEvents(p samples) {
	functions, all := n.events.Counts()
	for name, c := range functions {
		for metric, value := range map[string]float64{
			"alcove_events_received_total": float64(c.AsyncEventsReceived), "alcove_event_runs_total": float64(c.Started),
			"alcove_event_age_seconds_total": c.AgeSum.Seconds(), "alcove_event_retries_total": float64(c.Retried),
			"alcove_event_throttles_total": float64(c.Throttled), "alcove_events_dropped_total": float64(c.AsyncEventsDropped),
			"alcove_event_destination_failures_total": float64(c.DestinationDeliveryFailures), "alcove_event_dead_letter_failures_total": float64(c.DeadLetterErrors),
			"alcove_events_stopped_for_recursion_total": float64(c.RecursiveInvocationsDropped),
		} {
			p.Add(metric, value, "function", name)
		}
	}
	p.Add("alcove_event_runs_cut_off_total", float64(all.Repeated))
	p.Add("alcove_dead_letters_discarded_total", float64(all.DeadLettersDiscarded))
	events, bytes, dead := n.events.Depths()
	p.Add("alcove_events_waiting", float64(events))
	p.Add("alcove_events_waiting_bytes", float64(bytes))
	p.Add("alcove_dead_letters", float64(dead))
}
