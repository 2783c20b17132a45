package promapi

// Kind is what a metric is.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Name describes a metric.
type Name struct {
	Name string
	Kind Kind
	Help string
}

// Names is the table of all metrics. A test compares docs/metrics.md with it.
func Names() []Name {
	return []Name{
		{"alcove_build_info", Gauge, "1; the label says what the program was made from."},
		{"alcove_invocations_total", Counter, "Invocations that an environment took, by function and status (success, error, timeout, failure)."},
		{"alcove_invocation_duration_seconds", Histogram, "How long invocations ran, by function."},
		{"alcove_throttles_total", Counter, "Invocations refused with TooManyRequestsException, by function."},
		{"alcove_starts_total", Counter, "Invocations by what they found: warm, stock, runtime-stock, sandbox or cold."},
		{"alcove_invocations_in_progress", Gauge, "Invocations under way."},
		{"alcove_tenant_invocations_total", Counter, "Invocations of the busiest tenants, and of the others together."},
		{"alcove_tenant_errors_total", Counter, "Invocations of the busiest tenants that failed or timed out."},
		{"alcove_tenant_throttles_total", Counter, "Invocations of the busiest tenants that were throttled."},
		{"alcove_tenant_gb_seconds_total", Counter, "Billed GB-seconds of the busiest tenants."},
		{"alcove_events_received_total", Counter, "Events accepted, by function."},
		{"alcove_event_runs_total", Counter, "Runs of events that functions saw, by function."},
		{"alcove_event_age_seconds_total", Counter, "How old events were when their runs began, together, by function: divided by the runs it is their mean age."},
		{"alcove_event_retries_total", Counter, "Runs of events that will be repeated after an error, by function."},
		{"alcove_event_throttles_total", Counter, "Runs of events that met a limit and were put back, by function."},
		{"alcove_event_runs_cut_off_total", Counter, "Runs of events that the end of the node before cut off, and that were begun anew."},
		{"alcove_events_dropped_total", Counter, "Events that failed for good with neither destination nor dead letter queue, by function."},
		{"alcove_event_destination_failures_total", Counter, "Tries to deliver a result to a destination that failed, by function."},
		{"alcove_event_dead_letter_failures_total", Counter, "Tries to deliver to a dead letter queue that failed, by function."},
		{"alcove_events_stopped_for_recursion_total", Counter, "Events stopped because their function fed itself, by function."},
		{"alcove_dead_letters_discarded_total", Counter, "Dead letters that went for want of room."},
		{"alcove_events_waiting", Gauge, "Events that wait, run, or wait for their destination."},
		{"alcove_events_waiting_bytes", Gauge, "What they take of the disk."},
		{"alcove_dead_letters", Gauge, "Dead letters kept."},
		{"alcove_environments", Gauge, "Execution environments, by state."},
		{"alcove_environments_memory_bytes", Gauge, "What all environments were last measured to use."},
		{"alcove_journal_bytes", Gauge, "Size of the journal of reports."},
		{"alcove_journal_waiting_bytes", Gauge, "How far the journal is beyond its budget because the ledger has not taken it."},
		{"alcove_journal_failed_total", Counter, "Reports that could not be written."},
		{"alcove_log_lines_total", Counter, "Log records stored."},
		{"alcove_log_line_bytes_total", Counter, "Bytes of log records stored."},
		{"alcove_log_dropped_lines_total", Counter, "Log records refused because they were written too fast."},
		{"alcove_log_lost_lines_total", Counter, "Log records lost because the disk failed or was full."},
		{"alcove_log_queued_bytes", Gauge, "Bytes of log records that wait for the disk."},
		{"alcove_log_bytes", Gauge, "Size of the log store."},
		{"alcove_metric_series", Gauge, "Series of CloudWatch metrics."},
		{"alcove_metric_dropped_total", Counter, "Measurements dropped because there are too many series or too many lines."},
		{"alcove_otlp_sent_total", Counter, "Telemetry that a collector took, by signal: invocations of traces, log records, looks at all metrics."},
		{"alcove_otlp_dropped_total", Counter, "The same that it did not take, or that there was no room for."},
		{"alcove_otlp_queued_bytes", Gauge, "Telemetry that waits for a collector."},
		{"go_goroutines", Gauge, "Goroutines of the node."},
		{"process_cpu_seconds_total", Counter, "Processor time of the node, without its sandboxes."},
		{"process_open_fds", Gauge, "Open files of the node."},
		{"process_resident_memory_bytes", Gauge, "Resident memory of the node."},
		{"process_start_time_seconds", Gauge, "When the node was started, in Unix time."},
	}
}
