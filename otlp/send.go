package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	colllogs "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	collmetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	colltrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// firstRetry and lastRetry bound the waits between tries of a batch, and giveUp
	// how long it is tried: what waits behind it is worth more by then.
	firstRetry = time.Second
	lastRetry  = 15 * time.Second
	giveUp     = time.Minute
	maxReply   = 64 << 10
)

// sender sends the batches of one signal, one after the other.
type sender struct {
	signal  Signal
	to      Target
	client  *http.Client
	closing <-chan struct{}
	agent   string
	log     *slog.Logger

	sent, dropped atomic.Int64
	hurry         atomic.Bool // no batch is tried twice
	failing       bool        // the log knows; of the goroutine that sends
}

// send sends one batch of so many records. It returns when a collector has taken it or
// it is given up.
func (s *sender) send(ctx context.Context, m, reply proto.Message, records int64) {
	body, err := proto.Marshal(m)
	if err == nil {
		err = s.try(ctx, body, reply)
	}
	if err != nil {
		s.dropped.Add(records)
		if !s.failing {
			s.failing = true
			s.log.Warn("telemetry is lost: the collector does not take it", "signal", s.signal, "endpoint", s.to.shown(), "error", err)
		}
		return
	}
	if s.failing {
		s.failing = false
		s.log.Info("the collector takes telemetry again", "signal", s.signal, "dropped", s.dropped.Load())
	}
	if n := rejected(reply); n > 0 {
		s.dropped.Add(min(n, records))
		records -= min(n, records)
	}
	s.sent.Add(records)
}

// rejected is how many records a collector did not want of a batch that it took.
func rejected(reply proto.Message) int64 {
	switch r := reply.(type) {
	case *colltrace.ExportTraceServiceResponse:
		return r.GetPartialSuccess().GetRejectedSpans()
	case *colllogs.ExportLogsServiceResponse:
		return r.GetPartialSuccess().GetRejectedLogRecords()
	case *collmetrics.ExportMetricsServiceResponse:
		return r.GetPartialSuccess().GetRejectedDataPoints()
	}
	return 0
}

// try posts a batch until it is taken, refused for good, or too old.
func (s *sender) try(ctx context.Context, body []byte, reply proto.Message) error {
	compressed := false
	if s.to.Gzip {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body) // a buffer takes everything
		if err := z.Close(); err != nil {
			return err
		}
		body, compressed = b.Bytes(), true
	}
	began := time.Now()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		after, err := s.post(ctx, body, compressed, reply)
		if err == nil {
			return nil
		}
		if after < 0 || time.Since(began) > giveUp || s.hurry.Load() || ctx.Err() != nil {
			return err
		}
		if !s.failing {
			s.failing = true
			s.log.Warn("telemetry waits: the collector does not take it", "signal", s.signal, "endpoint", s.to.shown(), "error", err)
		}
		// Nodes that lost their collector together do not come back together.
		pause := time.NewTimer(max(after, wait/2+rand.N(wait/2)))
		select {
		case <-pause.C:
		case <-s.closing:
			s.hurry.Store(true) // once more
		}
		pause.Stop()
	}
}

// post sends one request. If it fails, after is how long to wait at least before
// another one; below zero there is no use in that.
func (s *sender) post(ctx context.Context, body []byte, compressed bool, reply proto.Message) (after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.to.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.to.URL, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	for name, value := range s.to.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", s.agent)
	if compressed {
		r.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	switch {
	case resp.StatusCode/100 == 2:
		if err == nil && resp.Header.Get("Content-Type") == "application/x-protobuf" {
			_ = proto.Unmarshal(answer, reply) // what cannot be read says nothing
		}
		return 0, nil
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusBadGateway,
		resp.StatusCode == http.StatusServiceUnavailable, resp.StatusCode == http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // a date is not waited for
		return min(time.Duration(max(seconds, 0))*time.Second, giveUp), fmt.Errorf("it answers %s", resp.Status)
	}
	return -1, fmt.Errorf("it answers %s", resp.Status)
}
