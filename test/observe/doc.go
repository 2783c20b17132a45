// Package observe tests what a node tells of itself to others: traces, log records and
// metrics, sent to an OpenTelemetry collector that is the test's own, and queries of
// logs by AWS's clients, with the real binary and real sandboxes.
package observe
