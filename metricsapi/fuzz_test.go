package metricsapi

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/alcove-run/alcove"
)

// validInputs are inputs that succeed, by operation, as JSON; TIME is now, FROM an hour before.
var validInputs = map[string][]string{
	"PutMetricData": {
		`{"Namespace":"n","MetricData":[{"MetricName":"m","Dimensions":[{"Name":"a","Value":"b"}],"Timestamp":TIME,"Values":[1,2.5],"Counts":[2,1],"Unit":"Count"}]}`,
		`{"Namespace":"n","MetricData":[{"MetricName":"m","StatisticValues":{"SampleCount":2,"Sum":3,"Minimum":1,"Maximum":2},"StorageResolution":1}]}`,
	},
	"ListMetrics": {`{"Namespace":"n","MetricName":"m","Dimensions":[{"Name":"a"}],"RecentlyActive":"PT3H"}`, `{}`},
	"GetMetricStatistics": {
		`{"Namespace":"n","MetricName":"m","Dimensions":[{"Name":"a","Value":"b"}],"StartTime":FROM,"EndTime":TIME,"Period":60,"Statistics":["Sum","Average"],"Unit":"Count"}`,
		`{"Namespace":"n","MetricName":"m","StartTime":FROM,"EndTime":TIME,"Period":60,"ExtendedStatistics":["p99"]}`,
	},
	"GetMetricData": {
		`{"MetricDataQueries":[{"Id":"a","MetricStat":{"Metric":{"Namespace":"n","MetricName":"m","Dimensions":[{"Name":"a","Value":"b"}]},"Period":300,"Stat":"p99"},"ReturnData":false},{"Id":"e","Expression":"a*1e308*10/(a-a)","Label":"l"}],` +
			`"StartTime":FROM,"EndTime":TIME,"ScanBy":"TimestampAscending","MaxDatapoints":100}`,
		`{"MetricDataQueries":[{"Id":"a","MetricStat":{"Metric":{"Namespace":"AWS/Lambda","MetricName":"Invocations"},"Period":86400,"Stat":"Sum"},"AccountId":"000000000000"},{"Id":"e","Expression":"SUM(METRICS())"}],"StartTime":FROM,"EndTime":TIME}`,
	},
}

// written is an input as a protocol has it.
func (p protocol) written(t testing.TB, operation, input string) []byte {
	t.Helper()
	if p == awsJSON {
		return []byte(input)
	}
	var tree any
	if err := json.Unmarshal([]byte(input), &tree); err != nil {
		t.Fatal(err)
	}
	if p == rpcCBOR {
		return encodeCBOR(tree)
	}
	form := url.Values{"Action": {operation}, "Version": {"2010-08-01"}}
	flatten(form, "", tree)
	return []byte(form.Encode())
}

// flatten is what unflatten undoes.
func flatten(form url.Values, at string, tree any) {
	inside := func(name string) string {
		if at == "" {
			return name
		}
		return at + "." + name
	}
	switch v := tree.(type) {
	case map[string]any:
		for name, one := range v {
			flatten(form, inside(name), one)
		}
	case []any:
		for i, one := range v {
			flatten(form, inside(fmt.Sprintf("member.%d", i+1)), one)
		}
	default:
		form.Set(at, fmt.Sprint(v))
	}
}

// request is one that names an operation as a protocol does; Query has it in the
// body.
func (p protocol) request(operation string, body []byte) *http.Request {
	r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
	switch p {
	case rpcCBOR:
		r.URL.Path = Path + operation
		r.Header.Set("Smithy-Protocol", "rpc-v2-cbor")
	case awsJSON:
		r.Header.Set("X-Amz-Target", Target+operation)
	case query:
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// readable says whether an answer is what its protocol has.
func (p protocol) readable(body []byte) error {
	switch {
	case p == query:
		d := xml.NewDecoder(bytes.NewReader(body))
		for {
			if _, err := d.Token(); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	case len(body) == 0:
		return nil
	case p == rpcCBOR:
		return cbor.Wellformed(body)
	}
	var object map[string]any
	return json.Unmarshal(body, &object)
}

// FuzzRequest sends anything to any operation in any protocol, from somebody who may
// everything or from somebody who is bound to a tenant. Nothing panics, no answer
// blames the platform, and every answer is what the protocol has.
func FuzzRequest(f *testing.F) {
	d := open(f)
	for v, i := reflect.ValueOf(d.api.Config), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			f.Fatalf("requests would reach nothing where %s should be", v.Type().Field(i).Name)
		}
	}
	all := d.caller
	send := func(p protocol, caller alcove.Caller, operation string, body []byte) *httptest.ResponseRecorder {
		d.caller = caller
		w := httptest.NewRecorder()
		d.api.ServeHTTP(w, p.request(operation, body))
		return w
	}
	now := time.Now().Unix()
	protocols := []protocol{awsJSON, rpcCBOR, query}
	for operation := range operations() {
		if len(validInputs[operation]) == 0 {
			f.Fatalf("the seeds have nothing for %s", operation)
		}
		for _, input := range validInputs[operation] {
			input = strings.NewReplacer("TIME", strconv.FormatInt(now, 10), "FROM", strconv.FormatInt(now-3600, 10)).Replace(input)
			for i, p := range protocols {
				body := p.written(f, operation, input)
				if w := send(p, all, operation, body); w.Code != 200 {
					f.Fatalf("a seed is refused: %s %s: %d %s", operation, input, w.Code, w.Body)
				}
				f.Add(i, false, operation, body)
				f.Add(i, true, operation, body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, how int, bound bool, operation string, body []byte) {
		p, caller := protocols[uint(how)%3], all
		if bound {
			caller = d.bound
		}
		w := send(p, caller, operation, body)
		if err := p.readable(w.Body.Bytes()); err != nil || w.Code >= 500 {
			t.Fatalf("%d %s %q: %d %q, %v", p, operation, body, w.Code, w.Body, err)
		}
	})
}
