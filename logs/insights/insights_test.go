package insights

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var base = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const id = "76269889-7d50-4d6d-a3f1-9b4f5322f47c"

// sample is what functions of two tenants, one with text logs and one in JSON, and
// some others leave behind, the oldest first.
func sample() []Event {
	var events []Event
	add := func(stream, message string) {
		at := base.Add(time.Duration(len(events)) * 700 * time.Millisecond)
		place := len(events)
		events = append(events, Event{Log: "000000000000:/aws/lambda/hello", Stream: stream, At: at.UnixMilli(), Ingested: at.UnixMilli() + 5, Message: message,
			Ptr: func() string { return fmt.Sprint("ptr-", place) }})
	}
	add("text", "START RequestId: "+id+" Version: $LATEST\n")
	add("text", "2026-11-23T12:00:00.000Z\t"+id+"\tINFO\tuser=alice, method:GET, latency := 120\n")
	add("text", "[ERROR] 2026-11-23T12:00:00.000Z "+id+" Exception: out of luck\n")
	add("text", `[WARNING] took {"step": {"name": "load", "ms": 31.50}, "ok": true} in all`)
	add("text", "END RequestId: "+id+"\n")
	add("text", "REPORT RequestId: "+id+"\tDuration: 14.97 ms\tBilled Duration: 15 ms\tMemory Size: 128 MB\tMax Memory Used: 67 MB\tInit Duration: 110.10 ms\t\n")
	for i, tenant := range []string{"BlueTenant", "RedTenant", "BlueTenant"} {
		stream := strings.ToLower(tenant[:3])
		add(stream, fmt.Sprintf(`{"time":"t","type":"platform.start","record":{"requestId":"r%d","tenantId":"%s"}}`, i, tenant))
		add(stream, fmt.Sprintf(`{"timestamp":"t","level":"INFO","requestId":"r%d","tenantId":"%s","message":"hello %d","status":%d,"tags":["a","b%d"],"detail-type":"x.y"}`, i, tenant, i, 200+100*i, i))
		add(stream, fmt.Sprintf(`{"time":"t","type":"platform.report","record":{"requestId":"r%d","tenantId":"%s","metrics":{"durationMs":%d.25}}}`, i, tenant, 10*(i+1)))
	}
	add("other", "\u00e9t\u00e9 {not json} {\"a\":1,\"@x\":\"at\",\"a.b\":null,\"big\":1e400}")
	return events
}

// run gives the answer of a query to events, a line a row, and what it counted.
func run(t testing.TB, query string, o Options, events []Event) (rows []string, matched int, err error) {
	t.Helper()
	q, err := Parse(query)
	if err != nil {
		return nil, 0, err
	}
	r := q.Start(o, func(cells []Cell) error {
		var parts []string
		for _, c := range cells {
			if c.Name != "@ptr" || strings.Contains(query, "@ptr") {
				parts = append(parts, c.Name+"="+c.Value)
			}
		}
		rows = append(rows, strings.Join(parts, "; "))
		return nil
	})
	events = slices.Clone(events)
	if !q.OldestFirst() {
		slices.Reverse(events)
	}
	for i := range events {
		more, err := r.Add(&events[i])
		if err != nil {
			return rows, r.Matched(), err
		}
		if !more {
			break
		}
	}
	err = r.End()
	return rows, r.Matched(), err
}

func TestQueries(t *testing.T) {
	options := Options{Now: base.Add(time.Minute), Since: base.Add(-time.Hour), Until: base.Add(time.Hour)}
	for _, tt := range []struct {
		query   string
		matched int
		want    []string
	}{
		// The two of AWS's page on monitoring tenants.
		{`fields @logStream, @message | filter tenantId=='BlueTenant' or record.tenantId=='BlueTenant' | stats count() as logCount by @logStream | sort @timestamp desc`,
			6, []string{"@logStream=blu; logCount=6"}},
		{`fields @message | filter tenantId=='RedTenant' or record.tenantId=='RedTenant' | limit 1`, 3,
			[]string{`@message={"time":"t","type":"platform.report","record":{"requestId":"r1","tenantId":"RedTenant","metrics":{"durationMs":20.25}}}`}},
		{`filter @type = "REPORT" | stats max(@memorySize / 1000 / 1000) as provisonedMemoryMB, min(@maxMemoryUsed / 1000 / 1000) as smallestMemoryRequestMB,
			avg(@maxMemoryUsed / 1000 / 1000) as avgMemoryUsedMB, max(@maxMemoryUsed / 1000 / 1000) as maxMemoryUsedMB, provisonedMemoryMB - maxMemoryUsedMB as overProvisionedMB`,
			1, []string{"provisonedMemoryMB=128; smallestMemoryRequestMB=67; avgMemoryUsedMB=67; maxMemoryUsedMB=67; overProvisionedMB=61"}},
		{`fields @type, @duration, @billedDuration, @memorySize, @maxMemoryUsed, @initDuration, @requestId | filter @type = "REPORT"`, 1,
			[]string{"@type=REPORT; @duration=14.97; @billedDuration=15.0; @memorySize=1.28E8; @maxMemoryUsed=6.7E7; @initDuration=110.1; @requestId=" + id}},
		{`filter @requestId = "` + id + `" | stats count(*) by @type`, 4, []string{"@type=REPORT; count(*)=1", "@type=END; count(*)=1", "count(*)=1", "@type=START; count(*)=1"}},
		{`filter @message like /Exception/ | fields @timestamp`, 1, []string{"@timestamp=2026-11-23 12:00:01.400"}},
		{`filter @message like "exception" or @message like /(?i)WARN/ | fields @logStream`, 1, []string{"@logStream=text"}},
		{`fields step.name, step.ms, ok | filter step.ms > 31`, 1, []string{"step.name=load; step.ms=31.50; ok=1"}},
		{`filter ok = true | fields ok = "true" as a, ok = 1 as b, not ok as c`, 1, []string{"a=1; b=1; c=0"}},
		{`parse @message "user=*, method:*, latency := *" as @user, @method, @latency | stats avg(@latency) by @method, @user`, 16, []string{"", "@method=GET; @user=alice; avg(@latency)=120"}},
		{`parse @message /user=(?<user2>.*?), method:(?<method2>\w+)/ | filter ispresent(user2) | display user2, method2`, 1, []string{"user2=alice; method2=GET"}},
		{`parse "[*] *" as level, rest | filter level in ["ERROR", "WARNING"] | display level, level = "ERROR" as isError`, 2, []string{"level=WARNING; isError=0", "level=ERROR; isError=1"}},
		{"stats count(*) as n by `detail-type` | filter ispresent(`detail-type`)", 16, []string{"detail-type=x.y; n=3"}},
		{`filter status in [200, "400"] and tags[1] like /b/ | fields status, tags.1, abs(status-500) as left | sort status asc`, 2, []string{"status=200; tags.1=b0; left=300", "status=400; tags.1=b2; left=100"}},
		{`filter status not in [200] and ispresent(status) | sort status desc | display status | limit 1`, 2, []string{"status=400"}},
		{`filter ispresent(tenantId) | dedup tenantId | fields tenantId, message`, 3, nil}, // nothing but limit is behind dedup
		{`fields tenantId, message | filter ispresent(tenantId) | sort @timestamp asc | dedup tenantId`, 3, []string{"tenantId=BlueTenant; message=hello 0", "tenantId=RedTenant; message=hello 1"}},
		{`filter ispresent(status) | stats sum(status), min(status), max(status), pct(status, 50), count_distinct(tenantId), stddev(status), earliest(message), latest(message), sortsFirst(tenantId), sortsLast(tenantId)`, 3,
			[]string{"sum(status)=900; min(status)=200; max(status)=400; pct(status, 50)=300; count_distinct(tenantId)=2; stddev(status)=81.6497; earliest(message)=hello 0; latest(message)=hello 2; sortsFirst(tenantId)=BlueTenant; sortsLast(tenantId)=RedTenant"}},
		{`stats count(*) as n by bin(5s) as t | sort t asc`, 16, []string{"t=2026-11-23 12:00:00.000; n=8", "t=2026-11-23 12:00:05.000; n=7", "t=2026-11-23 12:00:10.000; n=1"}},
		{`stats count(*) as n by bin(5s) | sort bin(5s) asc | limit 1`, 16, []string{"bin(5s)=2026-11-23 12:00:00.000; n=8"}},
		{`stats count(*) as n by @logStream | stats max(n) as most, count(*) as streams`, 16, []string{"most=6; streams=4"}},
		{`stats sum(strcontains(@message, "BlueTenant")) / count(*) * 100 as part`, 16, []string{"part=37.5"}},
		{`filter @message = "nowhere" | stats count(*)`, 0, []string{"count(*)=0"}},
		{`filter @message = "nowhere" | stats count(*) by bin(1h)`, 0, nil},
		{`fields 2 ^ 3 ^ 2 as p, 10 % 3 as m, 1 / 0 as none, -(-2) as two, 1 + 2 * 3 as seven, 2/3 as third, 0.00001234 as small | limit any 1`, 1, []string{"p=512; m=1; two=2; seven=7; third=0.6667; small=0.00001234"}},
		{`fields concat("a", 1, nothing) as c, coalesce(nothing, "x") as d, strlen("été") as e, substr("xyZfooxyZ", 3, 3) as f, trim("xyZxyfooxyxyZ", "xyZ") as g, replace("aXa", "a", "bb") as h, if(1 > 2, 3, 4) as i, case(1 > 2, "a", 2 > 1, "b", "c") as j | limit any 1`, 1,
			[]string{"c=a1; d=x; e=3; f=foo; g=foo; h=bbXbb; i=4; j=b"}},
		{`fields datefloor(@timestamp, 1h) as h, dateceil(@timestamp, 1 day) as d, toMillis(@timestamp) - toMillis(h) as ms, fromMillis(0) as zero, now() as n, bin(1w) as w, bin(3mo) as q | sort @timestamp asc | limit 2`, 16,
			[]string{"h=2026-11-23 12:00:00.000; d=2026-11-24 00:00:00.000; ms=0; zero=1970-01-01 00:00:00.000; n=1795435260; w=2026-11-23 00:00:00.000; q=2026-10-01 00:00:00.000",
				"h=2026-11-23 12:00:00.000; d=2026-11-24 00:00:00.000; ms=700; zero=1970-01-01 00:00:00.000; n=1795435260; w=2026-11-23 00:00:00.000; q=2026-10-01 00:00:00.000"}},
		{`fields a, @@x, big, a.b | filter a = 1 # a comment
			| display a, @@x, big`, 1, []string{"a=1; @@x=at; big=1e400"}},
		{`FIELDS @log, @ingestionTime, @ptr | LIMIT ANY 1`, 1, []string{"@log=000000000000:/aws/lambda/hello; @ingestionTime=2026-11-23 12:00:10.505; @ptr=ptr-15"}},
		{`limit 2 | stats count(*)`, 16, []string{"count(*)=2"}},
		{`fields isIpv4InSubnet("10.1.2.3", "10.0.0.0/8") as a, isValidIpV6("::1") as b, isIpInSubnet("10.1.2.3", "::/0") as c, regexReplace("a1b22", "[0-9]+", "#") as d, base64decode("aGk=") as e, urldecode("a%20b") as f, strcontains("ABC", "b", true) as g | limit any 1`, 1,
			[]string{"a=1; b=1; c=0; d=a#b#; e=hi; f=a b; g=1"}},
	} {
		got, matched, err := run(t, tt.query, options, sample())
		if tt.want == nil && strings.Contains(tt.query, "dedup") {
			if e, ok := errors.AsType[*SyntaxError](err); !ok || !strings.HasPrefix(e.Message, "unexpected symbol found fields") {
				t.Errorf("%s: %v", tt.query, err)
			}
			continue
		}
		if err != nil || matched != tt.matched || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %d matched, want %d\n got %q\nwant %q", tt.query, err, matched, tt.matched, got, tt.want)
		}
	}
}

// What a query may hold is bounded, and says so.
func TestMemoryIsBounded(t *testing.T) {
	var events []Event
	for i := range 2000 {
		events = append(events, Event{At: int64(i), Message: fmt.Sprintf(`{"n":%d,"text":"%0200d"}`, i, i), Ptr: func() string { return "" }})
	}
	for _, tt := range []struct {
		query string
		fails bool
	}{
		{"stats count(*) by text", true}, {"fields text | sort n asc | dedup text", true}, {"fields text | sort @timestamp asc | dedup text", true},
		{"fields n | sort text asc | limit 2000", true}, {"stats sortsLast(text), pct(n, 50), count_distinct(n), max(text) by n % 3", false},
		{"fields text | limit 2000", false}, {"fields text | sort n desc | limit 50", false},
	} {
		_, _, err := run(t, tt.query, Options{Memory: 100 << 10}, events)
		if errors.Is(err, ErrMemory) != tt.fails || err != nil && !tt.fails {
			t.Errorf("%s: %v", tt.query, err)
		}
	}
}

// So is what functions make of one event.
func TestTextIsBounded(t *testing.T) {
	large := []Event{{Message: strings.Repeat("x", 256<<10), Ptr: func() string { return "" }}}
	four := "concat(@message, @message, @message, @message)"
	for query, fails := range map[string]bool{
		"fields " + four + " as a | display strlen(a)":                         false,
		"fields concat(" + four + ", 'x') as a | display ispresent(a)":         false, // it is missing
		"fields strlen(concat(" + strings.Repeat(four+", ", 20) + "'x')) as n": true,
		"stats max(" + four + ") as a | fields concat(a) as b":                 false,
	} {
		if _, _, err := run(t, query, Options{}, large); errors.Is(err, ErrMemory) != fails || err != nil && !fails {
			t.Errorf("%.80s: %v", query, err)
		}
	}
}

// A query that has all it may have sees as many events as one that has not, unless
// any will do.
func TestHowFarAQueryLooks(t *testing.T) {
	events := sample()
	for _, tt := range []struct {
		query         string
		rows, matched int
	}{{"limit 2", 2, 16}, {"limit any 2", 2, 2}, {"filter @logStream = 'text' | limit any 2", 2, 2}, {"fields @message", 3, 16}, {"stats count(*) by @message", 3, 16}} {
		rows, matched, err := run(t, tt.query, Options{Rows: 3}, events)
		if err != nil || len(rows) != tt.rows || matched != tt.matched {
			t.Errorf("%s: %v, %d rows, %d matched", tt.query, err, len(rows), matched)
		}
	}
}

// Many values are told by estimates that are as right as the document says.
func TestEstimates(t *testing.T) {
	var events []Event
	for i := range 60_000 {
		n := i * 7919 % 20_000
		events = append(events, Event{At: int64(i), Message: fmt.Sprintf(`{"n":%d}`, n-2000), Ptr: func() string { return "" }})
	}
	q, err := Parse("stats count_distinct(n) as d, pct(n, 50) as half, pct(n, 99.9) as most, pct(n, 5) as negative, pct(n, 0) as least")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	r := q.Start(Options{}, func(cells []Cell) error {
		for _, c := range cells {
			got[c.Name], _ = parseNumber(c.Value)
		}
		return nil
	})
	for i := range events {
		r.Add(&events[i])
	}
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"d": 20_000, "half": 8000, "most": 17_980, "negative": -1000, "least": -2000} {
		off := 0.011
		if name == "d" {
			off = 0.04 // by chance: the hash has a seed
		}
		if d := got[name]/want - 1; d > off || d < -off {
			t.Errorf("%s is %v, want about %v", name, got[name], want)
		}
	}
}

func TestTenants(t *testing.T) {
	for query, want := range map[string]string{
		`filter tenantId = "a"`: "[a]", `filter record.tenantId == 'a' or tenantId='b'`: "[a b]", `filter n > 1 and (tenantId in ["a", "b"])`: "[a b]",
		`filter n > 1 | fields n | sort n desc | filter "a" = tenantId`: "[a]", "filter `tenantId` = 'a' and x = 1 or tenantId = 'b' and y = 2": "[a b]",
		`filter tenantId = "a" or n > 1`: "", `filter not (tenantId = "a")`: "", `filter tenantId != "a"`: "", `filter tenantId = 7`: "",
		`filter tenantId like "a"`: "", `limit 5 | filter tenantId = "a"`: "", `stats count(*) as n by tenantId | filter tenantId = "a"`: "",
		`fields n as tenantId | filter tenantId = "a"`: "", `filter tenantId = other`: "", `filter a.tenantId = "a"`: "", `filter tenantId not in ["a"]`: "",
		`fields tenantId = "a" as t | filter t`: "", `filter tenantId in ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"]`: "",
	} {
		q, err := Parse(query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		names, ok := q.Tenants()
		got := ""
		if ok {
			got = fmt.Sprint(names)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// One event that takes long pauses again and again, whatever takes the time, and ends
// the run where it is told to.
func TestALongEventPauses(t *testing.T) {
	stop := errors.New("stop")
	long := Event{Message: `{"a":"` + strings.Repeat("ab", 40_000) + `"}`, Ptr: func() string { return "" }}
	for _, tt := range []struct {
		query string
		least int
	}{
		{`filter @message like /[ab]{200}x[ab]{200}y/`, 30},
		{`parse @message /(?<x>[ab]{200}x[ab]{200}y)/`, 30},
		{"filter " + strings.Repeat(`@message like /ac/ or `, 100) + `@message like "ac"`, 10},
		{"fields " + strings.Repeat(`strlen(@message) + `, 100) + "1", 10},
		{"fields a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + b1 + b2 + b3", 1},
	} {
		q, err := Parse(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		pauses := 0
		r := q.Start(Options{Pause: func() error { pauses++; return nil }}, func([]Cell) error { return nil })
		if _, err := r.Add(&long); err != nil || pauses < tt.least {
			t.Errorf("%s: %d pauses, %v", tt.query, pauses, err)
		}
		ended := 0
		r = q.Start(Options{Pause: func() error { ended++; return stop }}, func([]Cell) error { return nil })
		if _, err := r.Add(&long); err != stop || ended != 1 {
			t.Errorf("%s: went on for %d pauses, %v", tt.query, ended, err)
		}
	}
}
