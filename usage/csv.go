package usage

import (
	"encoding/csv"
	"io"
	"strconv"
)

// CSV writes rows as CSV (RFC 4180), a head line first.
type CSV struct {
	by []By
	w  *csv.Writer
}

// NewCSV begins a table of rows that are summed by those.
func NewCSV(w io.Writer, by []By) (*CSV, error) {
	c := &CSV{by: by, w: csv.NewWriter(w)}
	var head []string
	for _, b := range []By{ByDay, ByTenant, ByFunction} {
		if q := (Query{By: by}); q.by(b) {
			head = append(head, string(b))
			if b == ByFunction {
				head = append(head, "function_id")
			}
		}
	}
	head = append(head, "invocations", "errors", "timeouts", "failures", "billed_ms", "gb_seconds", "ephemeral_gb_seconds", "environments", "environment_mb",
		"bytes_in", "bytes_out", "log_bytes", "queue_bytes", "network_in", "network_out", "connections", "cost", "currency")
	if err := c.w.Write(head); err != nil {
		return nil, err
	}
	return c, nil
}

// Write writes a row.
func (c *CSV) Write(r *Row, currency string) error {
	var cells []string
	q := Query{By: c.by}
	if q.by(ByDay) {
		cells = append(cells, r.Day)
	}
	if q.by(ByTenant) {
		name := ""
		if r.Tenant != nil {
			name = string(*r.Tenant)
		}
		cells = append(cells, Cell(name))
	}
	if q.by(ByFunction) {
		cells = append(cells, Cell(r.Function), r.FunctionID)
	}
	for _, n := range []int64{r.Invocations, r.Errors, r.Timeouts, r.Failures, r.BilledMillis} {
		cells = append(cells, strconv.FormatInt(n, 10))
	}
	cells = append(cells, r.GBSeconds.String(), r.EphemeralGBSeconds.String())
	for _, n := range []int64{r.Environments, r.EnvironmentMemory, r.BytesIn, r.BytesOut, r.LogBytes, r.QueueBytes, r.NetworkIn, r.NetworkOut, r.Connections} {
		cells = append(cells, strconv.FormatInt(n, 10))
	}
	return c.w.Write(append(cells, r.Cost.String(), Cell(currency)))
}

// Flush writes what is buffered.
func (c *CSV) Flush() error {
	c.w.Flush()
	return c.w.Error()
}

// Cell is text that no spreadsheet takes for a formula: what begins like one has
// an apostrophe before it. Tenants choose such text.
func Cell(text string) string {
	if text == "" {
		return ""
	}
	switch text[0] {
	case '=', '+', '-', '@', '\t', '\r':
		return "'" + text
	}
	return text
}
