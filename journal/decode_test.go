package journal

import (
	standard "encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/segmentio/encoding/json"
	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
)

// Reports are written by encoding/json and read by another decoder: what comes
// back is what went in.
func TestReportsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a\u2028b", "\\\"\x00", "tenant/1", "\U0001f600"}))
		number := rapid.Int64()
		r := alcove.Report{
			RequestID: text.Draw(t, "request"), FunctionID: text.Draw(t, "id"), Function: text.Draw(t, "function"),
			Tenant: alcove.Tenant(rapid.StringMatching(`[a-zA-Z0-9_.:/=+@ -]{1,256}`).Draw(t, "tenant")), Environment: text.Draw(t, "environment"),
			Started: time.Unix(rapid.Int64Range(0, 1<<34).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			Queued:  time.Duration(number.Draw(t, "queued")), Duration: time.Duration(number.Draw(t, "duration")),
			StartReason: text.Draw(t, "reason"), ErrorType: text.Draw(t, "error"), MemorySize: rapid.Int().Draw(t, "memory"),
			NetworkIn: number.Draw(t, "in"), Caller: text.Draw(t, "caller"), Bound: rapid.Bool().Draw(t, "bound"), Attempt: rapid.IntRange(0, 3).Draw(t, "attempt"),
		}
		if rapid.Bool().Draw(t, "source") {
			r.Source = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")))
		}
		payload, err := standard.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		want, got := alcove.Report{}, alcove.Report{}
		if err := standard.Unmarshal(payload, &want); err != nil {
			t.Fatal(err)
		}
		err = decoded(func(_ Position, report *alcove.Report) error {
			got = *report
			return nil
		})(Position{}, payload)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: got %+v (%v), want %+v", payload, got, err, want)
		}
		// The bytes belong to the journal's buffer.
		clear(payload)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("a report changed with the buffer that it was read from: %+v, want %+v", got, want)
		}
	})
}

// What both decoders take, they take for the same.
func FuzzDecode(f *testing.F) {
	good, err := standard.Marshal(report("1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"requestId":"\ud800","started":"2026-11-27T00:00:00Z","source":"::1%eth0"}`))
	f.Add([]byte(`{"billed":1e3,"tenant":null}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var want, got alcove.Report
		wantErr, gotErr := standard.Unmarshal(payload, &want), json.Unmarshal(payload, &got)
		if wantErr == nil && gotErr == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v", payload, got, want)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	payload, err := standard.Marshal(report("1"))
	if err != nil {
		b.Fatal(err)
	}
	decode := decoded(func(Position, *alcove.Report) error { return nil })
	b.ReportAllocs()
	for b.Loop() {
		if err := decode(Position{}, payload); err != nil {
			b.Fatal(err)
		}
	}
}
