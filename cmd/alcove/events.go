package main

import (
	"cmp"
	"context"
	"os"
	"runtime"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/disk"
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
	EventsMax    int               `help:"How many events may wait to run; one tenant, or one function without tenants, may have a quarter of it." default:"1000000"`
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
		FS: fs, Invoker: n.invoker, Catalog: n.catalog, EventInvoke: n.eventInvoke, Place: n.cfg.place(), Deliver: sender,
		Runs: min(n.cfg.Concurrency, eventRunsPerCPU*runtime.NumCPU()), Deliveries: eventDeliveries,
		Limits: async.Limits{Events: n.cfg.EventsMax, PartyEvents: max(1, n.cfg.EventsMax/eventShare),
			Bytes: eventBytes, PartyBytes: eventBytes / eventShare, Reserve: spaceReserve, Keys: idempotencyKeys},
		Free: func() (int64, error) {
			_, free, err := disk.Space(n.cfg.Data)
			return free, err
		},
		Observe: n.observe, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.opened(n.events.Close)
	n.events.Start()
	return nil
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

// observe counts what happened to an event among the metrics of its function.
func (n *node) observe(o async.Observation) {
	unit := "Count"
	if o.Metric == "AsyncEventAge" {
		unit = "Milliseconds"
	}
	n.metrics.Event(o.Function, o.Tenant, o.Metric, unit, o.Value)
}
