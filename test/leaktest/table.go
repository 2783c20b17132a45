package leaktest

import (
	"fmt"
	"io"
	"strings"
)

// Write prints the report as a table, and what it comes to.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	width := 0
	for _, row := range r.Rows {
		width = max(width, len(row.Check))
	}
	runtime := ""
	counts := map[Verdict]int{}
	for _, row := range r.Rows {
		if row.Runtime != runtime {
			runtime = row.Runtime
			fmt.Fprintf(&b, "\n%s\n", runtime)
		}
		counts[row.Verdict]++
		verdict := string(row.Verdict)
		if row.Verdict == Unsupported {
			verdict = "n/a "
		}
		fmt.Fprintf(&b, "  %s  %-*s  %s\n", verdict, width, row.Check, printable(row.Seen))
	}
	b.WriteString("\n")
	for _, n := range r.Notes {
		fmt.Fprintln(&b, printable(n))
	}
	fmt.Fprintf(&b, "%d PASS, %d FAIL, %d not supported by this service (n/a)\n", counts[Pass], counts[Fail], counts[Unsupported])
	_, err := io.WriteString(w, b.String())
	return err
}

// printable drops what could drive a terminal: parts of a row are what the
// service, or code that ran in it, answered.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
