package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// A tenant that floods by way of many functions, or with lines that name all they may,
// leaves others their places, and a line makes so much and no more.
func TestHostileLinesCostNobodyElse(t *testing.T) {
	d := open(t, t.TempDir(), nil)
	var b strings.Builder
	fmt.Fprintf(&b, `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[`, d.now.UnixMilli())
	for i := range 90 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"Namespace":"n%d","Dimensions":[["a"],["a","b"],["b"]],"Metrics":[{"Name":"x"},{"Name":"y"},{"Name":"z"},{"Name":"w"}]}`, i)
	}
	b.WriteString(`]},"a":"1","b":"2","x":1,"y":[1,2,3],"z":2,"w":3}`)
	line := []byte(b.String())
	if got := parseEmbedded(line); len(got) != maxMeasurements {
		t.Errorf("one line makes %d measurements", len(got))
	}
	for i := range 3000 { // lines that wait, by way of many functions
		d.s.Embedded(fmt.Sprint("group", i%40), "hostile", d.now, line)
	}
	d.s.emf.mu.Lock()
	if n := d.s.emf.bytes; n > embeddedBytes/4 {
		t.Errorf("%d bytes of one tenant wait", n)
	}
	d.s.emf.mu.Unlock()
	d.s.takeEmbedded()
	for i := range 60 { // points, by way of many functions
		for k := range 2 * MaxEmbedded {
			d.s.Embedded(fmt.Sprint("group", i), "hostile", d.now, fmt.Appendf(nil, embeddedLine, d.now.UnixMilli(), fmt.Sprint("spray", k)))
		}
		d.s.takeEmbedded()
	}
	d.s.measured.mu.Lock()
	if n := d.s.measured.embedded; n > maxMeasured/8 {
		t.Errorf("%d points of one tenant wait", n)
	}
	d.s.measured.mu.Unlock()
	for i := range 20 {
		who := fmt.Sprint("honest", i)
		d.s.Embedded("group0", alcove.Tenant(who), d.now, fmt.Appendf(nil, embeddedLine, d.now.UnixMilli(), who))
	}
	for i := range 20 {
		if got := d.point(t, nil, "shop orders", "kind", fmt.Sprint("honest", i)); got.N != 1 {
			t.Errorf("tenant %d has %v", i, got.N)
		}
	}
}

func TestEmbedded(t *testing.T) {
	d := open(t, t.TempDir(), nil)
	d.s.Embedded("group", "blue", d.now, []byte(fmt.Sprintf(embeddedLine, d.now.Add(-time.Hour).UnixMilli(), "book")+"\n"))
	for _, c := range []struct {
		name       string
		dimensions []string
		n, sum     float64
	}{
		{"shop orders", []string{"kind", "book"}, 1, 3}, {"shop orders", []string{"kind", "book", "place", "here"}, 1, 3},
		{"shop took", []string{"kind", "book"}, 3, 6}, {"shop absent", []string{"kind", "book"}, 0, 0}, {"shop orders", nil, 0, 0},
	} {
		if got := d.point(t, nil, c.name, c.dimensions...); got.N != c.n || got.Sum != c.sum {
			t.Errorf("%s %q: %v of %v, want %v of %v", c.name, c.dimensions, got.Sum, got.N, c.sum, c.n)
		}
	}
	if got := d.point(t, func(t alcove.Tenant) bool { return t == "red" }, "shop orders", "kind", "book"); got.N != 0 {
		t.Error("another tenant sees it")
	}
	// A tenant that makes up dimensions has so many series and no more, and another
	// has its own.
	for i := range 3 * MaxEmbedded {
		d.s.Embedded("group", "blue", d.now, fmt.Appendf(nil, embeddedLine, d.now.UnixMilli(), fmt.Sprint("spray", i)))
		d.s.takeEmbedded()
	}
	d.s.Embedded("group", "red", d.now, fmt.Appendf(nil, embeddedLine, d.now.UnixMilli(), "red's"))
	if got := d.point(t, nil, "shop orders", "kind", "red's"); got.N != 1 {
		t.Errorf("another tenant's: %v", got.N)
	}
	if d.s.counts[classOfEmbedded("group", "blue")] != MaxEmbedded || d.s.dropped == 0 {
		t.Errorf("%d series, %d dropped", d.s.counts[classOfEmbedded("group", "blue")], d.s.dropped)
	}
	for _, line := range []string{`{"_aws":1}`, `{"_aws":{"CloudWatchMetrics":[{"Namespace":"AWS/Lambda","Dimensions":[[]],"Metrics":[{"Name":"x"}]}]},"x":1}`,
		`{"_aws":{"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[["a","a"]],"Metrics":[{"Name":"x"}]}]},"x":1,"a":"b"}`,
		`{"_aws":{"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[[]],"Metrics":[{"Name":"x"}]}]},"x":1e300}`, `{"_aws"`, `not "_aws"`} {
		if got := parseEmbedded([]byte(line)); len(got) > 0 {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func FuzzEmbedded(f *testing.F) {
	f.Add(fmt.Appendf(nil, embeddedLine, 1764000000000, "book"))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, m := range parseEmbedded(line) {
			if CheckNamespace(m.metric.Namespace) != nil || CheckDimensions(m.metric.Dimensions) != nil || len(m.values) == 0 || !IsUnit(m.unit) {
				t.Errorf("%+v", m)
			}
		}
	})
}
