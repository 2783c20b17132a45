package async

import (
	"time"

	"github.com/alcove-run/alcove"
)

// Counts are what has happened to the events of a function since the node began.
// The first group has CloudWatch's names.
type Counts struct {
	AsyncEventsReceived         int64
	AsyncEventsDropped          int64 // failed for good with neither destination nor dead letter queue
	DeadLetterErrors            int64 // dead letters that a queue or a topic did not take
	DestinationDeliveryFailures int64
	RecursiveInvocationsDropped int64

	Started   int64 // runs
	Throttled int64 // runs that met a limit and were put back
	Retried   int64 // runs that will be repeated after an error
	// AgeSum is that of all events when a run of theirs began: AsyncEventAge is its
	// mean with Started.
	AgeSum time.Duration
	// Repeated are runs that the end of the node cut off, and that were begun anew.
	Repeated int64
	// DeadLettersDiscarded went for want of room.
	DeadLettersDiscarded int64
}

// Observation is one value of one of AWS's metrics.
type Observation struct {
	Metric    string // AsyncEventsReceived, AsyncEventAge (milliseconds), AsyncEventsDropped, ...
	Function  string
	Qualifier string // as the caller named it; may be empty
	Tenant    alcove.Tenant
	Value     float64
	Time      time.Time
}

// maxCounted bounds for how many functions is counted one by one.
const maxCounted = 10000

// Counts gives what is counted for each function by name, and of all together.
func (q *Queue) Counts() (byFunction map[string]Counts, all Counts) {
	q.mu.Lock()
	defer q.mu.Unlock()
	byFunction = make(map[string]Counts, len(q.counts))
	for name, c := range q.counts {
		byFunction[name] = *c
	}
	return byFunction, q.totals
}

// count changes the counters of an event's function, and tells whoever observes
// metrics.
func (q *Queue) count(e *event, metric string, value float64, change func(c *Counts)) {
	q.mu.Lock()
	c := q.counts[e.name]
	if c == nil && len(q.counts) < maxCounted {
		c = &Counts{}
		q.counts[e.name] = c
	}
	if c != nil {
		change(c)
	}
	change(&q.totals)
	q.mu.Unlock()
	if metric != "" {
		q.cfg.Observe(Observation{metric, e.name, e.qualifier, e.tenant, value, q.cfg.Wall()})
	}
}

func (q *Queue) received(e *event) {
	q.count(e, "AsyncEventsReceived", 1, func(c *Counts) { c.AsyncEventsReceived++ })
}

func (q *Queue) dropped(e *event) {
	q.count(e, "AsyncEventsDropped", 1, func(c *Counts) { c.AsyncEventsDropped++ })
}

// began counts a run, and how old its event was.
func (q *Queue) began(e *event, it *item) {
	age := time.Duration(q.now().UnixMilli()-it.accepted) * time.Millisecond
	q.count(e, "AsyncEventAge", float64(age.Milliseconds()), func(c *Counts) {
		c.Started++
		c.AgeSum += age
	})
}

// judged counts how a run went.
func (q *Queue) judged(e *event, j judgement) {
	switch {
	case j.verdict == back:
		q.count(e, "", 0, func(c *Counts) { c.Throttled++ })
	case j.verdict == again:
		q.count(e, "", 0, func(c *Counts) { c.Retried++ })
	case j.condition == conditionRecursion:
		q.count(e, "RecursiveInvocationsDropped", 1, func(c *Counts) { c.RecursiveInvocationsDropped++ })
	}
}

// failedDelivery counts a try to deliver that failed.
func (q *Queue) failedDelivery(e *event, deadLetter bool) {
	if deadLetter {
		q.count(e, "DeadLetterErrors", 1, func(c *Counts) { c.DeadLetterErrors++ })
	} else {
		q.count(e, "DestinationDeliveryFailures", 1, func(c *Counts) { c.DestinationDeliveryFailures++ })
	}
}
