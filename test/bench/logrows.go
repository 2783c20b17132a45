package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// writers are tenants whose function writes writtenLines lines a call, every
	// writeEvery: 20,000 lines a second.
	writers      = 20
	writtenLines = 200
	writeEvery   = 200 * time.Millisecond
	// They write for logTime and are silent for as long, logTurns times.
	logTime  = 4 * time.Second
	logTurns = 3
)

// chatty writes lines to its log, or, with SILENT set, to where nobody reads them.
var chatty = language{"Python", "python3.13", "main.py", "main.handler", fmt.Sprintf(`import os
LINE = '{"level":"INFO","message":"line %%d of a call that writes a lot, with some words behind"}\n'
LINES = "".join(LINE %% n for n in range(%d)).encode()
OUT = os.open("/dev/null", os.O_WRONLY) if os.environ.get("SILENT") else 1

def handler(event, context):
    data = LINES
    while data:
        data = data[os.write(OUT, data):]
`, writtenLines), ""}

// logsRow compares what quiet tenants wait for while others write 20,000 lines a
// second to their logs, and while the same write them to nowhere.
func (b *bench) logsRow(ctx context.Context) ([]figure, error) {
	n, err := b.shared(ctx)
	if err != nil {
		return nil, err
	}
	quiet, err := n.function(ctx, "quiet", python, nil)
	if err != nil {
		return nil, err
	}
	silent, err := n.function(ctx, "silent", chatty, map[string]string{"SILENT": "1"})
	if err != nil {
		return nil, err
	}
	loud, err := n.function(ctx, "chatty", chatty, nil)
	if err != nil {
		return nil, err
	}
	tenants := tenantNames("quiet", quietTenants)
	if _, _, err := warm(quiet, tenants, quietTenants, 20*quietTenants); err != nil {
		return nil, err
	}
	both := []*function{silent, loud}
	for _, f := range both {
		if _, _, err := warm(f, tenantNames("writer", writers), writers, 5*writers); err != nil {
			return nil, err
		}
	}
	var waited [2][]time.Duration
	var spent [2]time.Duration
	var lines, dropped, bytes float64
	var passed time.Duration
	for turn := range logTurns * len(both) {
		i := turn % len(both)
		streams, err := logStreams(quiet, both[i], tenants)
		if err != nil {
			return nil, err
		}
		before, err := n.counters()
		if err != nil {
			return nil, err
		}
		began, cost := time.Now(), n.spent()
		if _, err := runStreams(quiet.address(), streams); err != nil {
			return nil, err
		}
		spent[i] += n.spent().since(cost).node
		after, err := n.counters()
		if err != nil {
			return nil, err
		}
		waited[i] = append(waited[i], took(streams[:quietTenants])...)
		dropped += after["alcove_log_dropped_lines_total"] - before["alcove_log_dropped_lines_total"] + after["alcove_log_lost_lines_total"] - before["alcove_log_lost_lines_total"]
		bytes = after["alcove_log_bytes"] / max(after["alcove_log_lines_total"], 1)
		if both[i] == loud {
			lines += after["alcove_log_lines_total"] - before["alcove_log_lines_total"]
			passed += time.Since(began)
		}
	}
	p50 := [2]time.Duration{percentile(waited[0], 50), percentile(waited[1], 50)}
	if dropped > 0 {
		log.Printf("logs: %.0f lines were not stored", dropped)
	}
	return []figure{{logsBeside, ratio, float64(p50[1]) / float64(max(p50[0], 1))},
		{"log lines stored beside it", perSecond, lines / passed.Seconds()},
		inMicros("CPU of a log line, node", time.Duration(float64(spent[1]-spent[0])/max(lines, 1))),
		{"log lines dropped or lost beside it", count, dropped},
		{"bytes on disk of a log line", count, bytes},
		inMillis("quiet tenants' p50 while others write to nowhere", p50[0]), inMillis("quiet tenants' p50 while others write to their logs", p50[1])}, nil
}

// logStreams are the quiet tenants' calls, and behind them those of writers.
func logStreams(quiet, writing *function, tenants []string) ([]*stream, error) {
	all, err := paceds(quiet, tenants)
	if err != nil {
		return nil, err
	}
	for j, tenant := range tenantNames("writer", writers) {
		request, err := writing.request(tenant)
		if err != nil {
			return nil, err
		}
		all = append(all, &stream{next: same(request, 1<<30), every: writeEvery, first: share + writeEvery*time.Duration(j)/writers})
	}
	for _, s := range all {
		s.ends = logTime
	}
	return all, nil
}

// counters are the node's metrics that have no labels.
func (n *node) counters() (map[string]float64, error) {
	res, err := http.Get(n.url + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics: %s", res.Status)
	}
	values := make(map[string]float64)
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.Contains(name, "{") {
			values[name] = v
		}
	}
	return values, nil
}
