package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/nodeapi"
)

// FuzzWriteRecord looks at what a reader sees of a message that a function chose.
func FuzzWriteRecord(f *testing.F) {
	for _, message := range []string{"", "one\n", "one\ntwo\n\n", "\x1b[2Jgone", "red\r\ngreen | forged", "a\u2028green | b", "\u0085green | b",
		"\u202eneerg", "\x9b31m", "\xff\xfe", "a\tb", "\u009b31m"} {
		f.Add("blue", message)
		f.Add("", message)
	}
	f.Fuzz(func(t *testing.T, id, message string) {
		if _, err := alcove.ParseTenant(id); err != nil && id != "" {
			t.Skip()
		}
		r := nodeapi.Record{Tenant: &id, Message: message}
		var out bytes.Buffer
		if err := writeRecord(&out, r, true); err != nil {
			t.Fatal(err)
		}
		prefix := id + " | "
		if id == "" {
			prefix = "| "
		}
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, prefix) || !strings.HasSuffix(line, "\n") {
				t.Errorf("line %q does not begin with %q, or does not end", line, prefix)
			}
		}
		checkHarmless(t, out.Bytes())
	})
}

// checkHarmless fails on anything that drives a terminal.
func checkHarmless(t *testing.T, out []byte) {
	t.Helper()
	for _, r := range string(out) {
		if strings.ContainsRune("\n\t", r) {
			continue
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r <= 0x9f || strings.ContainsRune("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c", r) {
			t.Errorf("%q has %U in it", out, r)
		}
	}
}

func TestRecordsOfOneTenantHaveNoPrefix(t *testing.T) {
	blue := "blue"
	var out bytes.Buffer
	for _, r := range []nodeapi.Record{{Tenant: &blue, Message: "one\ntwo\n"}} {
		if err := writeRecord(&out, r, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeRecord(&out, nodeapi.Record{Message: "three"}, true); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "one\ntwo\nthree\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzWriteRecordJSON reads back what was written for a program.
func FuzzWriteRecordJSON(f *testing.F) {
	f.Add("one\r\ntwo\x1b[0m\x7f\u0085\u009b\u2028\u202e \" \\ </script>")
	f.Fuzz(func(t *testing.T, message string) {
		if !utf8.ValidString(message) {
			t.Skip() // the log store keeps none
		}
		tenant := ""
		r := nodeapi.Record{Time: time.UnixMilli(1).UTC(), Stream: "s", Tenant: &tenant, Message: message}
		var out bytes.Buffer
		if err := writeRecordJSON(&out, r); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 || bytes.Contains(out.Bytes(), []byte("\t")) {
			t.Errorf("%q: want one line", out.Bytes())
		}
		checkHarmless(t, out.Bytes())
		var back nodeapi.Record
		if err := json.Unmarshal(out.Bytes(), &back); err != nil {
			t.Fatal(err)
		}
		if back.Message != message || back.Tenant == nil || !back.Time.Equal(r.Time) {
			t.Errorf("%q came back as %+v", message, back)
		}
	})
}

// The table of the audit says what its columns do not.
func TestReason(t *testing.T) {
	const who = "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:us-east-1:000000000000:function:f "
	for text, want := range map[string]string{
		"": "", "ResourceNotFoundException": "ResourceNotFoundException",
		who + "because no identity-based policy allows the lambda:InvokeFunction action": "no identity-based policy allows the lambda:InvokeFunction action",
		who + "with an explicit deny in a resource-based policy":                         "with an explicit deny in a resource-based policy",
	} {
		if got := reason(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
