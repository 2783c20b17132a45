package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"golang.org/x/sys/unix"
)

// Figures of events that have targets.
const (
	eventsMany  = "events accepted and synced, 64 clients"
	eventsRatio = "of one client's"
	eventStart  = "event, from the request to its handler, idle node, p50"
)

// told is a handler that says when it began, and works as long as its event says.
var told = language{"Python", "python3.13", "main.py", "main.handler", `import time
def handler(event, context):
    print("began", time.time_ns(), context.aws_request_id)
    time.sleep(event["s"])
`, "PYTHONDEBUG"}

// eventsRow sends events with SigV4 to a node whose places are taken, so that nothing
// runs meanwhile, by one client and by 64; lets what waits run; and sends single ones to
// it when it is idle.
func (b *bench) eventsRow(ctx context.Context) (out []figure, err error) {
	const places, asleep = 16, 25 // seconds
	n, err := startNode(ctx, b.binary, b.driver, "--concurrency", strconv.Itoa(places), "--tenant-idle-min", "0s")
	if err != nil {
		return nil, err
	}
	defer n.stop()
	out = append(out, inMicros("sync of 600 bytes on the same disk, p50", syncTime(n.dir)))
	f, err := n.function(ctx, "events", told, nil)
	if err != nil {
		return nil, err
	}

	// One at a time, when nothing else is done.
	one, err := b.oneAtATime(ctx, n, f, 200)
	if err != nil {
		return nil, err
	}
	out = append(out, one...)

	// Sleepers take every place.
	tenants := tenantNames("asleep", places)
	if _, err := b.accept(f, tenants, places, places, fmt.Sprintf(`{"s": %d}`, asleep)); err != nil {
		return nil, err
	}
	if err := n.until(ctx, f, func(q queued) bool { return q.Running >= places-places/10-1 }); err != nil {
		return nil, err
	}
	const payload = `{"s": 0, "order": 12345, "items": ["a", "b"], "note": "about a hundred bytes of JSON, as events have"}`
	many := tenants // which have their environments
	single, err := b.accept(f, many, 1, b.calls/4, payload)
	if err != nil {
		return nil, err
	}
	memory, before := n.memoryMB(), n.spent()
	began := time.Now()
	all, err := b.accept(f, many, 64, 8*b.calls, payload)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	spent := n.spent().since(before)
	out = append(out, figure{"events accepted and synced, 1 client", perSecond, single}, figure{eventsMany, perSecond, all}, figure{eventsRatio, times, all / single},
		inMicros("CPU of one accepted event, 64 clients: node", spent.node/time.Duration(8*b.calls)),
		inMicros("CPU of one accepted event, 64 clients: client", spent.client/time.Duration(8*b.calls)))
	if took > asleep*time.Second/2 {
		fmt.Fprintf(os.Stderr, "accepting took %v: events may have run meanwhile\n", took)
	}
	q, err := n.queued(ctx, f)
	if err != nil {
		return nil, err
	}
	out = append(out, figure{fmt.Sprintf("memory of the node for %d more events that wait", 8*b.calls), mebibytes, n.memoryMB() - memory})

	// What waits runs as soon as the sleepers are done.
	if err := n.until(ctx, f, func(now queued) bool { return now.Events < q.Events-places }); err != nil {
		return nil, err
	}
	from, began := q.Events-places, time.Now()
	if err := n.until(ctx, f, func(now queued) bool { return now.Events == 0 }); err != nil {
		return nil, err
	}
	return append(out, figure{fmt.Sprintf("drain of a backlog, %d runs at once", places), perSecond, float64(from) / time.Since(began).Seconds()}), nil
}

// accept sends events over a number of connections and gives how many were answered a
// second.
func (b *bench) accept(f *function, tenants []string, connections, events int, payload string) (float64, error) {
	requests := make([][]byte, len(tenants))
	for i, tenant := range tenants {
		var err error
		if requests[i], err = f.signed(tenant, "Event", []byte(payload)); err != nil {
			return 0, err
		}
	}
	streams := make([]*stream, connections)
	next, left := 0, events
	for i := range streams {
		streams[i] = &stream{next: func() []byte { // of one thread
			if left--; left < 0 {
				return nil
			}
			next++
			return requests[next%len(requests)]
		}}
	}
	took, err := runStreams(f.address(), streams)
	return float64(events) / took.Seconds(), err
}

// oneAtATime sends single events to a warm environment and compares when each was sent
// with when its handler began.
func (b *bench) oneAtATime(ctx context.Context, n *node, f *function, events int) ([]figure, error) {
	if _, err := b.accept(f, []string{"single"}, 1, 1, `{"s": 0}`); err != nil { // makes its environment
		return nil, err
	}
	if err := n.until(ctx, f, func(q queued) bool { return q.Events == 0 }); err != nil {
		return nil, err
	}
	request, err := f.signed("single", "Event", []byte(`{"s": 0}`))
	if err != nil {
		return nil, err
	}
	sent := map[string]time.Time{}
	answered := map[string]time.Time{}
	_, err = runStreams(f.address(), []*stream{{next: same(request, events), every: 20 * time.Millisecond, first: time.Millisecond, seen: func(header []byte, took time.Duration) {
		id, now := headerOf(header, "X-Amzn-Requestid"), time.Now()
		sent[id], answered[id] = now.Add(-took), now
	}}})
	if err != nil {
		return nil, err
	}
	logs := cloudwatchlogs.New(cloudwatchlogs.Options{Region: region, BaseEndpoint: &n.url, Credentials: credentials.NewStaticCredentialsProvider(n.creds.AccessKeyID, n.creds.SecretAccessKey, "")})
	var whole, after []time.Duration
	for deadline := time.Now().Add(patience); len(whole) < events; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d single events are in the log", len(whole), events)
		}
		whole, after = whole[:0], after[:0]
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/aws/lambda/" + f.name), FilterPattern: aws.String(`"began"`)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, e := range page.Events {
				var ns int64
				var id string
				_, text, _ := strings.Cut(*e.Message, "began")
				if _, err := fmt.Sscan(text, &ns, &id); err != nil || sent[id].IsZero() {
					continue
				}
				whole = append(whole, time.Unix(0, ns).Sub(sent[id]))
				after = append(after, max(0, time.Unix(0, ns).Sub(answered[id])))
			}
		}
	}
	return []figure{inMillis(eventStart, percentile(whole, 50)), inMillis("event, from the request to its handler, idle node, p99", percentile(whole, 99)),
		inMillis("event, from its 202 to its handler, idle node, p50", percentile(after, 50))}, nil
}

// queued is what waits of a function.
type queued struct {
	Events  int
	Running int // of all tenants
	Tenants []struct{ Running int }
}

func (n *node) queued(ctx context.Context, f *function) (q queued, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/alcove/v1/functions/"+f.name+"/queue", nil)
	if err != nil {
		return q, err
	}
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	if err := v4.NewSigner().SignHTTP(ctx, n.creds, req, emptyHash, "lambda", region, time.Now()); err != nil {
		return q, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return q, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	for _, t := range q.Tenants {
		q.Running += t.Running
	}
	return q, err
}

// until waits for something that is to be seen in the queue.
func (n *node) until(ctx context.Context, f *function, ok func(queued) bool) error {
	for deadline := time.Now().Add(10 * patience); ; {
		q, err := n.queued(ctx, f)
		if err != nil || ok(q) {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New("events do not go on")
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// syncTime is what the disk takes to sync what an event is.
func syncTime(dir string) time.Duration {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0
	}
	defer f.Close()
	var took []time.Duration
	block := make([]byte, 600)
	for range 300 {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0
		}
		took = append(took, time.Since(began))
	}
	return percentile(took, 50)
}
