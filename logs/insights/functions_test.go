package insights

import (
	"strings"
	"testing"
	"time"
)

// doc is the event of the page on structure types, and of that on unnest, and more.
const doc = `{"status_code":200,"users":[{"action":"GetData"},{"action":"PutData"}],"user.id":"123","events":[{"name":"exception"},{"name":"user action"}],` +
	`"accounts":[{"accountId":"1","droppedSpans":2,"type":"internal"},{"accountId":"2","droppedSpans":5,"type":"external"},{"accountId":"1","droppedSpans":3,"type":"internal"}],` +
	`"roles":"[\"admin\", \"user\", 7, true]","nested":"{\"a\":{\"b\":[1, 2]}}","empty":[],"ip":"10.1.2.3","when":"2026-11-23"}`

// The functions that AWS's pages describe, with their examples where they have some.
func TestFunctionsOfAWS(t *testing.T) {
	events := []Event{{Message: doc, At: base.UnixMilli(), Ptr: func() string { return "p" }}}
	for _, tt := range []struct{ query, want string }{
		{`fields jsonParse(@message) as json_message | stats count() by json_message.status_code`, "json_message.status_code=200; count()=1"},
		{`fields jsonParse(@message) as json_message | filter json_message.users[1].action = "PutData" | display json_message.users[0].action as first`, "first=GetData"},
		{"fields jsonParse(@message) as json_message | filter json_message.`user.id` = \"123\" | display json_message.`user.id` as who", "who=123"},
		{`fields jsonParse(@message) as json_message | display toupper(json_message)`, ""},
		{`fields jsonParse(@message) as j | display j = j as a, j != 1 as b, j < 1 as c, ispresent(j) as d, ispresent(j.no) as e, j.no = 1 as f`, "a=0; b=0; c=0; d=1; e=0; f=0"},
		{`fields jsonParse(@message) as json_message | unnest json_message.events into event | display event.name`, "event.name=exception / event.name=user action"},
		{`fields jsonParse(@message) as js | unnest js.accounts into account | filter account.type = "internal" | display account.droppedSpans`, "account.droppedSpans=2 / account.droppedSpans=3"},
		{`fields jsonParse(@message) as js, js.accounts as accounts | unnest accounts into account | stats sum(account.droppedSpans) as n by account.accountId | sort n desc, account.accountId asc | limit 10`,
			"account.accountId=1; n=5 / account.accountId=2; n=5"},
		{`fields jsonParse(@message) as j | unnest j.empty into x | display x`, ""},
		{`fields jsonParse(@message) as j | unnest j.status_code into x | display x`, "x=200"},
		{`fields jsonParse(@message) as j | unnest j.users into x | display x`, `x={"action":"GetData"} / x={"action":"PutData"}`},
		{`fields jsonParse(nested) as n | display jsonStringify(n), jsonStringify(n.a.b), n.a.b.1, jsonParse("no") as none, jsonStringify("x") as text`, `jsonStringify(n)={"a":{"b":[1,2]}}; jsonStringify(n.a.b)=[1,2]; n.a.b.1=2`},
		{`fields jsonParse(jsonStringify(jsonParse(nested))) as x | fields coalesce(none, x) as y | display y.a.b[0]`, "y.a.b.0=1"},
		{`display jsonArraySize(roles) as n, jsonArraySize("[]") as z, jsonArraySize("{}") as none`, "n=4; z=0"},
		{`display jsonArrayContains(roles, "admin") as a, jsonArrayContains(roles, "Admin") as b, jsonArrayContains(roles, 7) as c, jsonArrayContains("x", "x") as d, jsonArrayContains(roles, "true") as e`, "a=1; b=0; c=1; d=0; e=1"},
		{`fields split("a,b,,c", ",") as s | display s[0] as a, s[3] as c, jsonArraySize(s) as n, jsonArrayContains(s, "b") as has`, "a=a; c=c; n=4; has=1"},
		{`fields split("a,b", ",") as s | unnest s into one | display one`, "one=a / one=b"},
		{`display hexToAscii("48656c6c6f") as text, hexToDec("0xff") as dec, decToHex(255) as hex, decToHex(-255.9) as minus, hexToDec("xyz") as none, hexToAscii("4") as no`, "text=Hello; dec=255; hex=0xff; minus=-0xff"},
		{`display ipv4ToNumber("192.0.2.1") as n, ipv4ToNumber("::1") as none`, "n=3221225985"},
		{`display isPrivateIP(ip) as a, isPublicIP(ip) as b, isReservedIP(ip) as c, isPublicIP("8.8.8.8") as d, isReservedIP("240.0.0.1") as e, isPublicIP("127.0.0.1") as f, isPublicIP("::ffff:10.0.0.1") as g, isPublicIP("x") as h`,
			"a=1; b=0; c=0; d=1; e=1; f=0; g=0; h=0"},
		{`display round(haversine(52.52, 13.405, 48.8566, 2.3522)) as km, haversine(0, 0, 0, 0) as zero, haversine(0, 0, 0, "x") as none`, "km=877; zero=0"},
		{`fields parseDate(when, "yyyy-MM-dd", "UTC") as epoch`, "epoch=1795392000000"},
		{`display parseDate("23/Nov/2026:12:30:05 +0100", "dd/MMM/yyyy:HH:mm:ss Z") as a, parseDate("20261123113005123", "yyyyMMddHHmmssSSS") as b, parseDate("2026-11-23T11:30:05Z", "yyyy-MM-dd'T'HH:mm:ssX") as c, parseDate("11/23/26 1:05 PM", "MM/dd/yy h:mm a", "Europe/Berlin") as d`,
			"a=1795433405000; b=1795433405123; c=1795433405000; d=1795435500000"},
		{`display parseDate("2026-02-30", "yyyy-MM-dd") as a, parseDate("2026-11-23x", "yyyy-MM-dd") as b, parseDate("11-23", "MM-dd") as c, parseDate("2026-11-23 25:00", "yyyy-MM-dd HH:mm") as d, parseDate(nothing, "yyyy") as e`, ""},
		{`fields formatDate(@timestamp, "%Y-%m-%d", "UTC") as date`, "date=2026-11-23"},
		{`display strftime(@timestamp, "%a %e %b %Y %H:%M:%S.%L %z %j %s %u%%", "America/New_York") as a, formatDate(0, "%FT%T", "+05:30") as b, formatDate("x", "%F") as c`, "a=Mon 23 Nov 2026 07:00:00.000 -0500 327 1795435200 1%; b=1970-01-01T05:30:00"},
		{`display toInt(3000000000) as none, toInt("12.9") as n, toLong(3000000000) as l`, "n=12; l=3000000000"},
	} {
		rows, _, err := run(t, tt.query, Options{Now: base}, events)
		if got := strings.Join(rows, " / "); got != tt.want || err != nil {
			t.Errorf("%s:\n got %s, %v\nwant %s", tt.query, got, err, tt.want)
		}
	}
	for _, query := range []string{
		`fields jsonParse(@message) as j | sort j`, `fields jsonParse(@message) as j | dedup j`, `sort split(@message, ",")`, `fields jsonParse(@message) as j | stats count(*) by j`,
		`fields jsonParse(@message) as j | stats max(j)`, `fields parseDate(@message, "yyyy-QQ")`, `fields parseDate(@message, "yyyy", "Mars/Base")`, `fields parseDate(@message, when)`,
		`fields formatDate(@timestamp, "%Q")`, `fields formatDate(@timestamp, "%")`, `fields formatDate(@timestamp)`, `fields parseDate(@message, "yyyy'")`, `fields strftime(@timestamp, "%F", "../../etc/passwd")`,
		`unnest tags`, `unnest tags as x`, `unnest split(@message, ",") into x`, `fields 1 as x | unnest tags into x`,
	} {
		if _, err := Parse(query); err == nil {
			t.Errorf("%s is taken", query)
		}
	}
}

// Rows that are made of one event are bounded, however lists are in each other.
func TestUnnestIsBounded(t *testing.T) {
	long := Event{Message: `{"a":[` + strings.Repeat("1,", 2000) + `1]}`, Ptr: func() string { return "" }}
	if _, _, err := run(t, `fields jsonParse(@message) as j | unnest j.a into x | unnest j.a into y | stats count(*)`, Options{Now: base}, []Event{long}); err != ErrMemory {
		t.Errorf("four millions of rows: %v", err)
	}
	rows, matched, err := run(t, `fields jsonParse(@message) as j | unnest j.a into x | stats sum(x)`, Options{Now: base}, []Event{long, long})
	if len(rows) != 1 || rows[0] != "sum(x)=4002" || matched != 2 || err != nil {
		t.Errorf("%q, %d matched, %v", rows, matched, err)
	}
}

// parseDate and strftime are each other's, as far as a pattern says all.
func FuzzDates(f *testing.F) {
	f.Add("yyyy-MM-dd'T'HH:mm:ss.SSSX", "2026-11-23T11:30:05.000Z", "%Y-%m-%dT%H:%M:%S.%LZ")
	f.Add("d MMMM y h:m a z", "3 January 2026 5:7 PM Europe/Berlin", "%c %p")
	f.Add("EEEE, dd LLL uuuu 'o''clock' kk:mm:ss.n xx", "", "%")
	f.Fuzz(func(t *testing.T, pattern, text, format string) {
		if parts, err := javaPattern(pattern); err == nil {
			parseDate(parts, textValue(text), time.UTC)
		}
		if checkStrftime(format) == nil {
			if s := strftime(format, base); len(s) > 30*len(format) {
				t.Fatalf("%d bytes of %q", len(s), format)
			}
		}
	})
}
