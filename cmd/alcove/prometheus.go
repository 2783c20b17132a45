package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/gateway"
	"github.com/alcove-run/alcove/metrics"
	"github.com/alcove-run/alcove/promapi"
)

// metricsTokenFile has what a Prometheus on another machine sends.
const metricsTokenFile = "metrics-token"

// metricsToken reads the token, made if there is none.
func metricsToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if token := strings.TrimSpace(string(b)); token != "" || err != nil && !errors.Is(err, os.ErrNotExist) {
		return token, err
	}
	token := rand.Text()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return token, os.WriteFile(path, []byte(token+"\n"), 0o600)
}

// openPrometheus puts /metrics behind the listener.
func (n *node) openPrometheus(h *gateway.Config) error {
	token, err := metricsToken(n.path(metricsTokenFile))
	if err != nil {
		return fmt.Errorf("token of /metrics: %w", err)
	}
	n.started = time.Now()
	h.Prometheus = promapi.New(promapi.Config{Collect: func(p *promapi.Page) { n.collect(p) }, Token: token, Authenticate: n.auth.Authenticate, Authorize: n.auth.Authorize})
	return nil
}

// countingJournal counts the reports that it is given.
type countingJournal struct {
	append func(*alcove.Report) error
	count  func(*alcove.Report)
}

// Append implements invoke.Journal.
func (j countingJournal) Append(r *alcove.Report) error {
	j.count(r)
	return j.append(r)
}

// throttled counts an invocation that was refused.
func (n *node) throttled(ref alcove.Ref, tenant alcove.Tenant) {
	n.metrics.Throttled(ref, tenant)
	n.counters.Throttled(ref.Name, tenant, time.Now())
}

// samples is what takes metrics: a page for Prometheus, or one for a collector.
type samples interface {
	Add(name string, value float64, labels ...string)
	Histogram(name string, bounds []float64, counts []int64, sum float64, labels ...string)
}

// collect fills a page.
func (n *node) collect(p samples) {
	version, revision := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	p.Add("process_start_time_seconds", float64(n.started.UnixMilli())/1000)
	p.Add("alcove_build_info", 1, "version", version, "revision", revision)
	n.collectInvocations(p)
	n.collectEvents(p)
	n.collectStores(p)
	n.collectTelemetry(p)
	collectProcess(p)
}

func (n *node) collectInvocations(p samples) {
	c := n.counters.Read()
	for name, f := range c.Functions {
		for status, count := range f.ByStatus {
			p.Add("alcove_invocations_total", float64(count), "function", name, "status", string(status))
		}
		p.Histogram("alcove_invocation_duration_seconds", metrics.Buckets(), f.Durations, f.Seconds, "function", name)
		p.Add("alcove_throttles_total", float64(f.Throttles), "function", name)
	}
	for start, count := range c.Starts {
		p.Add("alcove_starts_total", float64(count), "start", string(start))
	}
	for tenant, t := range c.Tenants {
		p.Add("alcove_tenant_invocations_total", float64(t.Invocations), "tenant", string(tenant))
		p.Add("alcove_tenant_errors_total", float64(t.Errors), "tenant", string(tenant))
		p.Add("alcove_tenant_throttles_total", float64(t.Throttles), "tenant", string(tenant))
		p.Add("alcove_tenant_gb_seconds_total", float64(t.GBMillis)/(1024*1000), "tenant", string(tenant))
	}
	p.Add("alcove_invocations_in_progress", float64(n.invoker.InProgress()))
	states, memory := map[string]int{}, int64(0)
	for _, e := range n.pool.Status() {
		states[e.State.String()]++
		memory += e.Memory
	}
	for state, count := range states {
		p.Add("alcove_environments", float64(count), "state", state)
	}
	p.Add("alcove_environments_memory_bytes", float64(memory))
}

func (n *node) collectStores(p samples) {
	j := n.journal.Stats()
	p.Add("alcove_journal_bytes", float64(j.Bytes))
	p.Add("alcove_journal_waiting_bytes", float64(j.Waiting))
	p.Add("alcove_journal_failed_total", float64(j.Failed))
	l := n.logs.Stats()
	p.Add("alcove_log_lines_total", float64(l.Lines))
	p.Add("alcove_log_line_bytes_total", float64(l.LineBytes))
	p.Add("alcove_log_dropped_lines_total", float64(l.Dropped))
	p.Add("alcove_log_lost_lines_total", float64(l.Lost))
	p.Add("alcove_log_queued_bytes", float64(l.Queued))
	p.Add("alcove_log_bytes", float64(l.Bytes))
	m := n.metrics.Stats()
	p.Add("alcove_metric_series", float64(m.Series))
	p.Add("alcove_metric_dropped_total", float64(m.Dropped))
}

// collectProcess tells of this process. What the system does not tell is left out.
func collectProcess(p samples) {
	p.Add("go_goroutines", float64(runtime.NumGoroutine()))
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		p.Add("process_cpu_seconds_total", time.Duration(u.Utime.Nano()+u.Stime.Nano()).Seconds())
	}
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.Add("process_open_fds", float64(len(list)-1))
	}
	var total, resident int64
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if k, _ := fmt.Sscan(string(b), &total, &resident); k == 2 {
			p.Add("process_resident_memory_bytes", float64(resident*int64(os.Getpagesize())))
		}
	}
}
