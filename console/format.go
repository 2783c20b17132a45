package console

import (
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"time"
)

// functions are what templates format with.
var functions = template.FuncMap{
	"bytes":    byteSize,
	"duration": duration,
	"ago":      func(t time.Time) string { return age(time.Since(t)) },
	"clock":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000") },
	"rfc3339":  func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"look":     func(e environment) string { return e.look() },
	"query":    func(s string) string { return url.QueryEscape(s) },
	"count":    count,
	"short":    func(s string) string { return s[:min(len(s), 12)] },
	"list":     func(v ...string) []string { return v },
	"prefix":   func() string { return Prefix },
	"queueActions": func() map[string]string {
		return map[string]string{"purge": "Remove its events", "replay": "Try its dead letters again"}
	},
	"tenantFlag": tenantFlag, "snippetPython": snippetPython, "snippetJS": snippetJS,
}

// byteSize is a number of bytes for people.
func byteSize(n int64) string {
	switch {
	case n >= 1<<30:
		return strconv.FormatFloat(float64(n)/(1<<30), 'f', 1, 64) + " GiB"
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
	case n >= 1<<10:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 0, 64) + " KiB"
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

// Snippets that do what a page does, from a program.

func tenantFlag(isolated bool) string {
	if isolated {
		return " --tenant-id blue"
	}
	return ""
}

func snippetPython(host, name string, isolated bool) string {
	tenant := ""
	if isolated {
		tenant = `, TenantId="blue"`
	}
	return "import boto3\nclient = boto3.client(\"lambda\", endpoint_url=\"http://" + host + "\")\n" +
		"print(client.invoke(FunctionName=\"" + name + "\"" + tenant + ", Payload=b\"{}\")[\"Payload\"].read())"
}

func snippetJS(host, name string, isolated bool) string {
	tenant := ""
	if isolated {
		tenant = `, TenantId: "blue"`
	}
	return "import { LambdaClient, InvokeCommand } from \"@aws-sdk/client-lambda\";\n" +
		"const client = new LambdaClient({ endpoint: \"http://" + host + "\" });\n" +
		"const out = await client.send(new InvokeCommand({ FunctionName: \"" + name + "\"" + tenant + ", Payload: \"{}\" }));\n" +
		"console.log(out.Payload.transformToString());"
}
