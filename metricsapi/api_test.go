package metricsapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/journal"
	"github.com/alcove-run/alcove/metrics"
	"github.com/alcove-run/alcove/store"
)

// desk is an API over a store, whose requests are from caller.
type desk struct {
	api    *API
	url    string
	j      *journal.Journal
	caller alcove.Caller
	bound  alcove.Caller // is bound to the tenant blue
	client *cloudwatch.Client
}

func open(t testing.TB) *desk {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	place := alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}
	keys, err := auth.Open(t.Context(), auth.Config{File: filepath.Join(dir, "root"), Mode: auth.ModeSigV4, Place: place, Keys: st.Bucket(auth.KeysBucket)})
	if err != nil {
		t.Fatal(err)
	}
	root, _ := keys.RootKey()
	d := &desk{caller: alcove.Caller{AccessKeyID: root.ID}}
	bound, _, err := keys.CreateKey(t.Context(), d.caller, "blue", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"cloudwatch:*","Resource":"*",
		"Condition":{"StringEquals":{"lambda:TenantId":"blue"}}}}`)
	if err != nil {
		t.Fatal(err)
	}
	d.bound = alcove.Caller{AccessKeyID: bound.AccessKeyID, ARN: place.UserARN("blue"), Account: place.Account}
	if d.j, err = journal.Open(journal.Config{Dir: filepath.Join(dir, "journal")}); err != nil {
		t.Fatal(err)
	}
	m, err := metrics.Open(metrics.Config{Dir: filepath.Join(dir, "metrics"), Journal: d.j, GatherEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	d.api = New(Config{Store: m, Authorize: keys.Authorize, Log: slog.New(slog.DiscardHandler),
		Authenticate: func(*http.Request, []byte) (alcove.Caller, error) { return d.caller, nil }})
	server := httptest.NewServer(d.api)
	d.url = server.URL
	d.client = cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &d.url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
	t.Cleanup(func() {
		server.Close()
		if err := errors.Join(m.Close(), d.j.Close(), keys.Close(), st.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func dims(pairs ...string) (list []types.Dimension) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, types.Dimension{Name: &pairs[i], Value: &pairs[i+1]})
	}
	return list
}

func codeOf(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

// The official client for Go puts, lists and gets.
func TestSDK(t *testing.T) {
	d := open(t)
	now := time.Now().UTC().Truncate(time.Minute)
	var values []float64
	for i := range 100 {
		values = append(values, float64(i+1))
	}
	_, err := d.client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("shop"), MetricData: []types.MetricDatum{
		{MetricName: aws.String("took"), Dimensions: dims("place", "here"), Timestamp: &now, Values: values, Unit: types.StandardUnitMilliseconds},
		{MetricName: aws.String("took"), Dimensions: dims("place", "here"), Timestamp: aws.Time(now.Add(-time.Hour)), Value: aws.Float64(7), Unit: types.StandardUnitMilliseconds},
		{MetricName: aws.String("orders"), StatisticValues: &types.StatisticSet{SampleCount: aws.Float64(4), Sum: aws.Float64(10), Minimum: aws.Float64(1), Maximum: aws.Float64(4)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.client.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Namespace: aws.String("shop"), RecentlyActive: types.RecentlyActivePt3h,
		Dimensions: []types.DimensionFilter{{Name: aws.String("place")}}})
	if err != nil || len(list.Metrics) != 1 || *list.Metrics[0].MetricName != "took" || *list.Metrics[0].Dimensions[0].Value != "here" {
		t.Errorf("%+v, %v", list, err)
	}
	stats, err := d.client.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String("shop"), MetricName: aws.String("took"),
		Dimensions: dims("place", "here"), StartTime: aws.Time(now), EndTime: aws.Time(now.Add(time.Minute)), Period: aws.Int32(60),
		Statistics: []types.Statistic{"SampleCount", "Sum", "Average", "Minimum", "Maximum"}, ExtendedStatistics: []string{"p50", "p99.9"}})
	if err != nil || len(stats.Datapoints) != 1 {
		t.Fatalf("%+v, %v", stats, err)
	}
	p := stats.Datapoints[0]
	if *p.SampleCount != 100 || *p.Sum != 5050 || *p.Average != 50.5 || *p.Minimum != 1 || *p.Maximum != 100 || !p.Timestamp.Equal(now) ||
		p.Unit != types.StandardUnitMilliseconds || math.Abs(p.ExtendedStatistics["p50"]-50) > 1.1 || math.Abs(p.ExtendedStatistics["p99.9"]-99) > 2 {
		t.Errorf("%+v", p)
	}
	query := func(id, stat string) types.MetricDataQuery {
		return types.MetricDataQuery{Id: &id, MetricStat: &types.MetricStat{Stat: &stat, Period: aws.Int32(300),
			Metric: &types.Metric{Namespace: aws.String("shop"), MetricName: aws.String("took"), Dimensions: dims("place", "here")}}}
	}
	in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(now.Add(-2 * time.Hour)), EndTime: aws.Time(now.Add(time.Minute)),
		MetricDataQueries: []types.MetricDataQuery{query("a", "Sum"), query("b", "Maximum")}, ScanBy: types.ScanByTimestampAscending}
	got, err := d.client.GetMetricData(t.Context(), in)
	if err != nil || len(got.MetricDataResults) != 2 || !slices.Equal(got.MetricDataResults[0].Values, []float64{7, 5050}) ||
		!slices.Equal(got.MetricDataResults[1].Values, []float64{7, 100}) || *got.MetricDataResults[0].Label != "took" {
		t.Errorf("%+v, %v", got, err)
	}
	// In pages of one point.
	in.MaxDatapoints = aws.Int32(1)
	byID := map[string][]float64{}
	for pages := cloudwatch.NewGetMetricDataPaginator(d.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.MetricDataResults {
			byID[*r.Id] = append(byID[*r.Id], r.Values...)
		}
	}
	if fmt.Sprint(byID) != "map[a:[7 5050] b:[7 100]]" {
		t.Errorf("page by page %v", byID)
	}
}

// TestExpressions: queries that name others are worked out, in any order, and what
// cannot be is refused with what is wrong.
func TestExpressions(t *testing.T) {
	d := open(t)
	now := time.Now().UTC().Truncate(time.Hour)
	var data []types.MetricDatum
	for i := range 3 {
		at := aws.Time(now.Add(time.Duration(i-10) * time.Minute))
		data = append(data, types.MetricDatum{MetricName: aws.String("all"), Timestamp: at, Value: aws.Float64(float64(10 * (i + 1)))})
		if i != 1 {
			data = append(data, types.MetricDatum{MetricName: aws.String("bad"), Timestamp: at, Value: aws.Float64(float64(i + 1))})
		}
	}
	if _, err := d.client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("shop"), MetricData: data}); err != nil {
		t.Fatal(err)
	}
	ask := func(expressions ...string) (*cloudwatch.GetMetricDataOutput, error) {
		in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(now.Add(-10 * time.Minute)), EndTime: aws.Time(now.Add(-7 * time.Minute)), ScanBy: types.ScanByTimestampAscending}
		for i, e := range expressions {
			in.MetricDataQueries = append(in.MetricDataQueries, types.MetricDataQuery{Id: aws.String(fmt.Sprintf("e%d", i)), Expression: &e})
		}
		for _, name := range []string{"all", "bad"} {
			in.MetricDataQueries = append(in.MetricDataQueries, types.MetricDataQuery{Id: &name, ReturnData: aws.Bool(false), MetricStat: &types.MetricStat{Stat: aws.String("Sum"), Period: aws.Int32(60),
				Metric: &types.Metric{Namespace: aws.String("shop"), MetricName: &name}}})
		}
		return d.client.GetMetricData(t.Context(), in)
	}
	got, err := ask("100*e1/all", "FILL(bad,0)", "SUM(METRICS())", "METRICS()*2", "RATE(all)*PERIOD(all)")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range got.MetricDataResults {
		list = append(list, fmt.Sprint(*r.Id, " ", *r.Label, " ", r.Values))
	}
	if text := strings.Join(list, ", "); text != "e0 e0 [10 0 10], e1 e1 [1 0 3], e2 e2 [11 20 33], e3 all [20 40 60], e3 bad [2 6], e4 e4 [10 10]" {
		t.Errorf("%s", text)
	}
	if at := got.MetricDataResults[0].Timestamps[0]; !at.Equal(now.Add(-10 * time.Minute)) {
		t.Errorf("the first is of %s", at)
	}
	for text, want := range map[string]string{
		"e0":                                "it needs itself",
		"e1":                                "it needs itself", // by way of e1
		"SUM(absent)":                       "there is no query absent",
		"AVG(all)":                          "it has to give a time series",
		"SEARCH('{AWS/Lambda} x', 'Sum')":   "SEARCH is not supported",
		"SELECT AVG(Duration) FROM x":       "Metrics Insights",
		"all +":                             "something is missing",
		strings.Repeat("METRICS()*0+", 150): "nothing",
	} {
		_, err := ask(text, "e0+1")
		if codeOf(err) != "ValidationError" || want != "nothing" && !strings.Contains(err.Error(), "Error in expression 'e") || want != "nothing" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	d := open(t)
	now := time.Now()
	put := func(namespace string, m types.MetricDatum) error {
		_, err := d.client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: &namespace, MetricData: []types.MetricDatum{m}})
		return err
	}
	one := aws.Float64(1)
	name := aws.String("n")
	for what, c := range map[string]struct {
		namespace string
		datum     types.MetricDatum
		code      string
	}{
		"AWS's namespace": {"AWS/Lambda", types.MetricDatum{MetricName: name, Value: one}, "InvalidParameterValue"},
		"no value":        {"n", types.MetricDatum{MetricName: name}, "MissingParameter"},
		"two values":      {"n", types.MetricDatum{MetricName: name, Value: one, Values: []float64{1}}, "InvalidParameterCombination"},
		"not a number":    {"n", types.MetricDatum{MetricName: name, Value: aws.Float64(math.NaN())}, "InvalidParameterValue"},
		"infinite":        {"n", types.MetricDatum{MetricName: name, Value: aws.Float64(math.Inf(1))}, "InvalidParameterValue"},
		"too large":       {"n", types.MetricDatum{MetricName: name, Value: aws.Float64(1e200)}, "InvalidParameterValue"},
		"counts":          {"n", types.MetricDatum{MetricName: name, Values: []float64{1, 2}, Counts: []float64{1}}, "InvalidParameterValue"},
		"too old":         {"n", types.MetricDatum{MetricName: name, Value: one, Timestamp: aws.Time(now.AddDate(0, 0, -15))}, "InvalidParameterValue"},
		"unit":            {"n", types.MetricDatum{MetricName: name, Value: one, Unit: "Parsec"}, "InvalidParameterValue"},
		"twice":           {"n", types.MetricDatum{MetricName: name, Value: one, Dimensions: dims("a", "1", "a", "2")}, "InvalidParameterValue"},
		"NUL":             {"n", types.MetricDatum{MetricName: name, Value: one, Dimensions: dims("a", "1\x00")}, "InvalidParameterValue"},
	} {
		if err := put(c.namespace, c.datum); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", what, err, c.code)
		}
	}
	stat := cloudwatch.GetMetricStatisticsInput{Namespace: name, MetricName: name, StartTime: aws.Time(now.Add(-time.Hour)), EndTime: &now, Period: aws.Int32(60), Statistics: []types.Statistic{"Sum"}}
	for what, c := range map[string]struct {
		change func(*cloudwatch.GetMetricStatisticsInput)
		code   string
	}{
		"seconds":    {func(in *cloudwatch.GetMetricStatisticsInput) { in.Period = aws.Int32(10) }, "InvalidParameterValue"},
		"many":       {func(in *cloudwatch.GetMetricStatisticsInput) { in.StartTime = aws.Time(now.AddDate(0, 0, -2)) }, "InvalidParameterCombination"},
		"backwards":  {func(in *cloudwatch.GetMetricStatisticsInput) { in.StartTime = aws.Time(now.Add(time.Hour)) }, "InvalidParameterValue"},
		"statistic":  {func(in *cloudwatch.GetMetricStatisticsInput) { in.Statistics = []types.Statistic{"Mode"} }, "InvalidParameterValue"},
		"percentile": {func(in *cloudwatch.GetMetricStatisticsInput) { in.ExtendedStatistics = []string{"tm99"} }, "InvalidParameterValue"},
		"none":       {func(in *cloudwatch.GetMetricStatisticsInput) { in.Statistics = nil }, "MissingParameter"},
	} {
		in := stat
		c.change(&in)
		if _, err := d.client.GetMetricStatistics(t.Context(), &in); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", what, err, c.code)
		}
	}
	if _, err := d.client.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{}); codeOf(err) != "InvalidAction" {
		t.Errorf("an operation that there is not: %v", err)
	}
}

// A key that is bound to a tenant sees what the tenant's environments measured.
func TestBoundKey(t *testing.T) {
	d := open(t)
	for _, tenant := range []alcove.Tenant{"blue", "red"} {
		if err := d.j.Append(&alcove.Report{Function: "f", Version: "$LATEST", Tenant: tenant, Started: time.Now(), Duration: time.Millisecond, Status: alcove.StatusSuccess}); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int, tenants []string) {
		t.Helper()
		list, err := d.client.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list.Metrics {
			for _, x := range m.Dimensions {
				if *x.Name == "TenantId" && !slices.Contains(tenants, *x.Value) {
					tenants = append(tenants, *x.Value)
				}
			}
		}
		slices.Sort(tenants)
		return len(list.Metrics), tenants
	}
	if n, tenants := count(); n != 20 || !slices.Equal(tenants, []string{"blue", "red"}) {
		t.Errorf("%d metrics, of %q", n, tenants)
	}
	d.caller = d.bound
	if n, tenants := count(); n != 4 || !slices.Equal(tenants, []string{"blue"}) {
		t.Errorf("%d metrics, of %q", n, tenants)
	}
	for tenant, want := range map[string]int{"blue": 1, "red": 0} {
		out, err := d.client.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String("AWS/Lambda"), MetricName: aws.String("Invocations"),
			Dimensions: dims("FunctionName", "f", "TenantId", tenant), StartTime: aws.Time(time.Now().Add(-time.Hour)), EndTime: aws.Time(time.Now().Add(time.Minute)), Period: aws.Int32(3600 * 24), Statistics: []types.Statistic{"Sum"}})
		if err != nil || len(out.Datapoints) != want {
			t.Errorf("%s: %+v, %v", tenant, out, err)
		}
	}
	_, err := d.client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("n"), MetricData: []types.MetricDatum{{MetricName: aws.String("n"), Value: aws.Float64(1)}}})
	if !strings.Contains(codeOf(err), "AccessDenied") {
		t.Errorf("puts: %v", err)
	}
}

// send makes a request by hand.
func (d *desk) send(t *testing.T, path string, header map[string]string, body []byte) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// The protocols of older clients say the same.
func TestQueryAndJSON(t *testing.T) {
	d := open(t)
	now := time.Now().UTC().Truncate(time.Minute)
	form := map[string]string{"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
	ask := func(action string, pairs ...string) (int, string) {
		t.Helper()
		v := url.Values{"Action": {action}, "Version": {"2010-08-01"}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		status, _, body := d.send(t, "/", form, []byte(v.Encode()))
		return status, body
	}
	status, body := ask("PutMetricData", "Namespace", "old & new", "MetricData.member.1.MetricName", "n", "MetricData.member.1.Value", "2.5",
		"MetricData.member.1.Dimensions.member.1.Name", "a", "MetricData.member.1.Dimensions.member.1.Value", "<1>", "MetricData.member.2.MetricName", "m", "MetricData.member.2.Values.member.1", "1")
	if status != 200 || !strings.Contains(body, "<PutMetricDataResponse xmlns=") || !strings.Contains(body, "<RequestId>") {
		t.Errorf("%d %s", status, body)
	}
	status, body = ask("ListMetrics", "MetricName", "n")
	if status != 200 || !strings.Contains(body, "<ListMetricsResult><Metrics><member><Namespace>old &amp; new</Namespace><MetricName>n</MetricName><Dimensions><member><Name>a</Name><Value>&lt;1&gt;</Value></member></Dimensions></member></Metrics></ListMetricsResult>") {
		t.Errorf("%d %s", status, body)
	}
	span := []string{"Namespace", "old & new", "MetricName", "n", "Dimensions.member.1.Name", "a", "Dimensions.member.1.Value", "<1>", "StartTime", now.Add(-time.Hour).Format(time.RFC3339), "EndTime", now.Add(time.Hour).Format(time.RFC3339),
		"Period", "86400", "Statistics.member.1", "Sum", "ExtendedStatistics.member.1", "p90"}
	status, body = ask("GetMetricStatistics", span...)
	if status != 200 || !strings.Contains(body, "<Sum>2.5</Sum><Unit>None</Unit><ExtendedStatistics><entry><key>p90</key><value>2.5</value></entry></ExtendedStatistics>") {
		t.Errorf("%d %s", status, body)
	}
	status, body = ask("PutMetricData", "Namespace", "AWS/x")
	if status != 400 || !strings.Contains(body, "<Error><Type>Sender</Type><Code>InvalidParameterValue</Code>") {
		t.Errorf("%d %s", status, body)
	}
	if status, body = ask("DescribeAlarms"); status != 404 || !strings.Contains(body, "<Code>InvalidAction</Code>") {
		t.Errorf("%d %s", status, body)
	}
	if status, body = ask("ListMetrics", "Dimensions", "x", "Dimensions.member.1.Name", "y"); status != 400 {
		t.Errorf("%d %s", status, body)
	}

	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprintf(w, `{"Namespace":"json","MetricData":[{"MetricName":"n","Value":1,"Timestamp":%d}]}`, now.Unix())
	w.Close()
	header := map[string]string{"X-Amz-Target": Target + "PutMetricData", "Content-Type": "application/x-amz-json-1.0", "Content-Encoding": "gzip"}
	if status, h, body := d.send(t, "/", header, z.Bytes()); status != 200 || body != "{}" && body != "null" || h.Get("Content-Type") != "application/x-amz-json-1.0" {
		t.Errorf("%d %s", status, body)
	}
	header = map[string]string{"X-Amz-Target": Target + "ListMetrics"}
	if status, _, body := d.send(t, "/", header, []byte(`{"Namespace":"json"}`)); status != 200 || body != `{"Metrics":[{"Dimensions":[],"MetricName":"n","Namespace":"json"}]}` {
		t.Errorf("%d %s", status, body)
	}
	if status, h, body := d.send(t, "/", header, []byte(`{"RecentlyActive":"always"}`)); status != 400 || !strings.Contains(body, `"__type":"com.amazonaws.cloudwatch#InvalidParameterValueException"`) || h.Get("X-Amzn-Query-Error") != "InvalidParameterValue;Sender" {
		t.Errorf("%d %s", status, body)
	}
	bomb := bytes.Repeat([]byte{0}, maxBody*2)
	z.Reset()
	w = gzip.NewWriter(&z)
	w.Write(bomb)
	w.Close()
	if status, _, body := d.send(t, "/", map[string]string{"X-Amz-Target": Target + "PutMetricData", "Content-Encoding": "gzip"}, z.Bytes()); status != 413 && status != 400 {
		t.Errorf("%d %s", status, body)
	}
}

func TestEveryOperationHasAKind(t *testing.T) {
	for name, op := range operations() {
		if op.kind == 0 {
			t.Errorf("%s: nothing says whose metrics it is about", name)
		}
	}
}
