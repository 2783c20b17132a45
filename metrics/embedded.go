package metrics

import (
	"bytes"
	"encoding/json"
	"math"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
)

// embedded holds log lines that may be metrics until somebody has time for them.
type embedded struct {
	wake chan struct{} // one element while there is much

	mu      sync.Mutex
	lines   []line         // guarded by mu
	bytes   int            // of them, guarded by mu
	holds   map[string]int // bytes of each party, guarded by mu
	dropped int64          // guarded by mu
}

type line struct {
	group  string
	tenant alcove.Tenant
	at     time.Time
	text   []byte
}

const (
	// embeddedBytes bounds the lines that wait; one party may have a quarter.
	embeddedBytes = 4 << 20
	// embeddedPause is how long nobody looks at lines after much was looked at: no
	// flood of them takes more than a part of a processor.
	embeddedPause = 500 * time.Millisecond
	// maxEmbeddedLine bounds one.
	maxEmbeddedLine = 256 << 10
)

var embeddedMark = []byte(`"_aws"`)

// Embedded takes a record that a function wrote into a log group. If it is in the
// embedded metric format its metrics are the tenant's whose environment wrote it. It
// never waits: what is too much is dropped.
func (s *Store) Embedded(group string, tenant alcove.Tenant, at time.Time, record []byte) {
	text := bytes.TrimSpace(record)
	if len(text) == 0 || text[0] != '{' || len(text) > maxEmbeddedLine || !bytes.Contains(text, embeddedMark) {
		return
	}
	e := &s.emf
	party := partyOfEmbedded(group, tenant)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bytes+len(text) > embeddedBytes || e.holds[party]+len(text) > embeddedBytes/4 {
		e.dropped++
		return
	}
	if e.holds == nil {
		e.holds = make(map[string]int)
	}
	e.holds[party] += len(text)
	e.bytes += len(text)
	e.lines = append(e.lines, line{group, tenant, at, bytes.Clone(text)})
	if e.bytes < embeddedBytes/2 {
		return // the next transaction takes them
	}
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// partyOfEmbedded is who shares what waits: a tenant through however many functions,
// or a function without tenants.
func partyOfEmbedded(group string, tenant alcove.Tenant) string {
	if tenant != "" {
		return string(tenant)
	}
	return "\x00" + group
}

func classOfEmbedded(group string, tenant alcove.Tenant) string {
	return classEmbedded + group + "\x00" + string(tenant)
}

// takeEmbedded makes metrics of the lines that wait.
func (s *Store) takeEmbedded() {
	e := &s.emf
	e.mu.Lock()
	lines := e.lines
	e.lines, e.bytes, e.holds = nil, 0, nil
	e.mu.Unlock()
	for _, l := range lines {
		for _, v := range parseEmbedded(l.text) {
			at := l.at
			if now := s.now(); !v.at.IsZero() && v.at.After(now.Add(-maxPast)) && v.at.Before(now.Add(maxFuture)) {
				at = v.at
			}
			se := &series{metric: v.metric, unit: v.unit, tenant: l.tenant, class: classOfEmbedded(l.group, l.tenant)}
			for _, value := range v.values {
				s.measured.put(se, minuteOf(at), value)
			}
		}
	}
}

// How far from now the times of measurements may be (PutMetricData; the embedded
// format has the same).
const (
	maxPast   = 14 * 24 * time.Hour
	maxFuture = 2 * time.Hour
)

// Limits of the embedded metric format.
const (
	maxDirectives = 100 // of one line
	maxSets       = 30  // of dimensions, of one directive
	maxDimensions = 30  // of one set
	maxMetrics    = 100 // of one directive
	maxValues     = 100 // of one metric
	// maxMeasurements bounds what one line makes: sets times metrics.
	maxMeasurements = 1000
)

// measurement is what a line says of one metric.
type measurement struct {
	metric Metric
	unit   string
	at     time.Time // zero if the line does not say
	values []float64
}

// parseEmbedded gives the metrics of a line in the embedded metric format, and none
// if it is not: such a line is a log record and nothing else, as on AWS.
func parseEmbedded(text []byte) []measurement {
	var head struct {
		AWS struct {
			Timestamp         float64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &head) != nil || json.Unmarshal(text, &members) != nil || len(head.AWS.CloudWatchMetrics) > maxDirectives {
		return nil
	}
	var at time.Time
	if ms := head.AWS.Timestamp; ms > 0 && ms < 1<<53 {
		at = time.UnixMilli(int64(ms))
	}
	var list []measurement
	for _, d := range head.AWS.CloudWatchMetrics {
		if CheckNamespace(d.Namespace) != nil || len(d.Dimensions) > maxSets || len(d.Metrics) > maxMetrics {
			continue
		}
		for _, names := range d.Dimensions {
			dimensions, ok := dimensionsOf(names, members)
			if !ok {
				continue
			}
			for _, m := range d.Metrics {
				values := valuesOf(members[m.Name])
				if len(list) == maxMeasurements {
					return list
				}
				if len(values) == 0 || CheckName("MetricName", m.Name, 255) != nil {
					continue
				}
				if m.Unit == "" || !IsUnit(m.Unit) {
					m.Unit = "None"
				}
				list = append(list, measurement{Metric{d.Namespace, m.Name, dimensions}, m.Unit, at, values})
			}
		}
	}
	return list
}

// dimensionsOf are those that a set of names stands for: members of the line that are
// texts.
func dimensionsOf(names []string, members map[string]json.RawMessage) ([]Dimension, bool) {
	if len(names) > maxDimensions {
		return nil, false
	}
	list := make([]Dimension, 0, len(names))
	for _, name := range names {
		var value string
		if json.Unmarshal(members[name], &value) != nil {
			return nil, false
		}
		list = append(list, Dimension{name, value})
	}
	return list, CheckDimensions(list) == nil
}

// valuesOf are the numbers of a member: one, or several.
func valuesOf(text json.RawMessage) []float64 {
	var one float64
	var several []float64
	switch {
	case len(text) == 0 || string(text) == "null":
		return nil
	case json.Unmarshal(text, &one) == nil:
		several = []float64{one}
	case json.Unmarshal(text, &several) != nil || len(several) > maxValues:
		return nil
	}
	for _, v := range several {
		if math.Abs(v) > MaxValue {
			return nil
		}
	}
	return several
}
