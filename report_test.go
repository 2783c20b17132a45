package alcove

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// TestReportAsJSON fills every member in many ways, also those that are not there yet.
func TestReportAsJSON(t *testing.T) {
	texts := []string{"", "", "plain", "a b/c:d", `"`, `\`, "<>&", "\x00\x1f\x7f", "\u2028é😀", "\xff", "a\xc3"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		var r Report
		v := reflect.ValueOf(&r).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i).Addr().Interface().(type) {
			case *time.Time:
				*f = time.Unix(random.Int64N(1<<36)-1<<35, random.Int64N(1e9)).In(time.FixedZone("", random.IntN(20)*900))
			case *netip.Addr:
				*f = []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%<a>"), netip.MustParseAddr("::ffff:1.2.3.4")}[random.IntN(4)]
			default:
				switch f := v.Field(i); {
				case f.CanInt():
					f.SetInt([]int64{0, 0, 1, -1, random.Int64()}[random.IntN(5)])
				case f.Kind() == reflect.String:
					f.SetString(texts[random.IntN(len(texts))])
				case f.Kind() == reflect.Bool:
					f.SetBool(random.IntN(2) == 0)
				default:
					t.Fatalf("%s is of a kind that this test does not know", v.Type().Field(i).Name)
				}
			}
		}
		want, wantErr := json.Marshal(&r)
		got, err := r.AppendJSON([]byte("before"))
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%+v: %v, want %v", r, err, wantErr)
		}
		if err == nil && string(got) != "before"+string(want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
	if _, err := (&Report{Started: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}).AppendJSON(nil); err == nil {
		t.Error("a year of five digits is written")
	}
}

func BenchmarkReportAsJSON(b *testing.B) {
	r := Report{RequestID: "8476a536-e9f4-11e8-9739-2dfe598c3fcd", FunctionID: "0123456789abcdef", Function: "throughput", Version: "$LATEST", Tenant: "many-12",
		Environment: "0123456789abcdef0123456789abcdef", Isolation: "namespace", Started: time.Unix(1e9, 12345), Duration: 1234567, Billed: 2e6, Start: StartWarm,
		Status: StatusSuccess, MemorySize: 128, MaxMemoryUsed: 20, BytesIn: 15, BytesOut: 16, Architecture: "x86_64", Ephemeral: 512, LogBytes: 300,
		Caller: "arn:aws:iam::000000000000:root", AccessKey: "AKIAIOSFODNN7EXAMPLE", Source: netip.MustParseAddr("127.0.0.1"), InvokedARN: "arn:aws:lambda:us-east-1:000000000000:function:throughput"}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = r.AppendJSON(buf[:0])
	}
}
