package console

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// functions are what templates format with.
var functions = template.FuncMap{
	"bytes":    byteSize,
	"duration": duration,
	"ago":      func(t time.Time) string { return age(time.Since(t)) },
	"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
	"day":      func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"title":    func(s string) string { return strings.ToUpper(s[:1]) + s[1:] },
	"moment":   moment,
	"rfc3339":  func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"look":     func(e environment) string { return e.look() },
	"query":    query,
	"encoded":  encoded,
	"count":    count,
	"inc":      func(n int) int { return n + 1 },
	"short":    func(s string) string { return s[:min(len(s), 12)] },
	"list":     func(v ...string) []string { return v },
	"prefix":   func() string { return Prefix },
	"queueActions": func() map[string]string {
		return map[string]string{"purge": "Remove its events", "replay": "Try its dead letters again"}
	},
	"policyOfOneTenant": func() string {
		return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*",
  "Condition": {"StringEquals": {"lambda:TenantId": "blue"}}}]}`
	},
	"policyOfARole": func() string {
		return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}]}`
	},
	"tenantFlag": tenantFlag, "snippetPython": snippetPython, "snippetJS": snippetJS,
}

// byteSize is a number of bytes for people, in the units that AWS gives MemorySize
// in: 1 MB is 1024 KB.
func byteSize(n int64) string {
	switch {
	case n >= 1<<30:
		return strconv.FormatFloat(float64(n)/(1<<30), 'f', 1, 64) + " GB"
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
	case n >= 1<<10:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 0, 64) + " KB"
	}
	return strconv.FormatInt(n, 10) + " B"
}

// duration is a time span for people.
func duration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	case d >= 100*time.Millisecond:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64) + " ms"
}

// age is how long something has been there.
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d s", max(int(d.Seconds()), 0))
}

// moment is a time of Lambda's API in two ways: how long ago for people, and the time
// itself.
func moment(text string) (m struct{ Ago, At, Full string }) {
	at, err := time.Parse("2006-01-02T15:04:05.999-0700", text)
	if err != nil {
		m.Ago, m.Full = text, text
		return m
	}
	m.Ago, m.At, m.Full = age(time.Since(at))+" ago", at.UTC().Format(time.RFC3339), at.UTC().Format("2006-01-02 15:04:05")+" UTC"
	return m
}

// count is a number with thousands apart.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// pages is where a page of a list of n begins and ends, and the queries of the
// pages around it.
func pages(v url.Values, n int) (from, to int, next, back string) {
	from, _ = strconv.Atoi(v.Get("from"))
	from = min(max(from, 0), n)
	to = min(from+pageSize, n)
	at := func(from int) string {
		w := url.Values{}
		for name := range v {
			w.Set(name, v.Get(name))
		}
		w.Set("from", strconv.Itoa(from))
		return w.Encode()
	}
	if to < n {
		next = at(to)
	}
	if from > 0 {
		back = at(max(from-pageSize, 0))
	}
	return from, to, next, back
}

// query is a value as it stands in the query of a link. The type says that it is
// encoded: templates would do it once more.
func query(s string) template.URL { return template.URL(url.QueryEscape(s)) }

// encoded is a whole query as it stands in a link; nothing but a query comes of it.
func encoded(s string) template.URL {
	v, _ := url.ParseQuery(s) // as much of it as is one
	return template.URL(v.Encode())
}

// Snippets that do what a page does, from a program.

func tenantFlag(isolated bool) string {
	if isolated {
		return " --tenant-id blue"
	}
	return ""
}

func snippetPython(node, region, name string, isolated bool) string {
	tenant := ""
	if isolated {
		tenant = `, TenantId="blue"`
	}
	return "import boto3\nclient = boto3.client(\"lambda\", endpoint_url=\"" + node + "\", region_name=\"" + region + "\")\n" +
		"print(client.invoke(FunctionName=\"" + name + "\"" + tenant + ", Payload=b\"{}\")[\"Payload\"].read())"
}

func snippetJS(node, region, name string, isolated bool) string {
	tenant := ""
	if isolated {
		tenant = `, TenantId: "blue"`
	}
	return "import { LambdaClient, InvokeCommand } from \"@aws-sdk/client-lambda\";\n" +
		"const client = new LambdaClient({ endpoint: \"" + node + "\", region: \"" + region + "\" });\n" +
		"const out = await client.send(new InvokeCommand({ FunctionName: \"" + name + "\"" + tenant + ", Payload: \"{}\" }));\n" +
		"console.log(out.Payload.transformToString());"
}
