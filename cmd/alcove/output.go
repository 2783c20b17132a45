package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alcove-run/alcove/nodeapi"
)

// What functions, tenants and services say reaches a reader's terminal through
// here: now, or later out of a file or a pager that a pipe went to.

// printable takes out of text everything that drives a terminal or changes the
// order in which characters are shown. Line feeds and tabs stay.
func printable(text string) string { return strings.Map(keepPrintable, text) }

func keepPrintable(r rune) rune {
	switch {
	case r == '\n', r == '\t':
		return r
	case unprintable(r):
		return -1
	}
	return r
}

// unprintable says whether r is a control character (C0, DEL, C1), a separator
// that some programs break lines at, or one of Unicode's directional controls.
func unprintable(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0:
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return true
	}
	return false
}

// writeRecord writes one log record for a reader. In a log of several tenants
// every line of it begins with whose it is, so that no line can pass for another
// tenant's: what was written before the environment had a tenant begins with
// the separator, which no tenant id has in it.
func writeRecord(w io.Writer, r nodeapi.Record, severalTenants bool) error {
	who := ""
	if severalTenants && r.Tenant != nil {
		who = strings.TrimLeft(printable(*r.Tenant)+" | ", " ")
	}
	var out bytes.Buffer
	for line := range strings.SplitSeq(strings.TrimRight(printable(r.Message), "\n"), "\n") {
		fmt.Fprintf(&out, "%s%s\n", who, line)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// writeRecordJSON writes one log record for a program: a line of JSON, of the
// members of [nodeapi.Record]. Nothing is taken out; what printable would take
// out is escaped, so that the line is harmless on a terminal as well.
func writeRecordJSON(w io.Writer, r nodeapi.Record) error { return writeJSON(w, r) }

// writeJSON writes a value for a program, escaped as writeRecordJSON says.
func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, c := range string(b) {
		if unprintable(c) {
			fmt.Fprintf(&out, `\u%04x`, c)
		} else {
			out.WriteRune(c)
		}
	}
	out.WriteByte('\n')
	_, err = w.Write(out.Bytes())
	return err
}

func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
