package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// deep is JSON that is a few kilobytes, and millions with line breaks.
var deep = `{"level":"x onclick=1","a":` + strings.Repeat("[", 4000) + "1" + strings.Repeat(",1", 2000) + strings.Repeat("]", 4000) + "}"

// TestUnfoldingIsBounded has what functions write and answer not become a multiple of
// itself on a page.
func TestUnfoldingIsBounded(t *testing.T) {
	if got := pretty([]byte(deep), maxAnswerShown); got != deep {
		t.Errorf("nested JSON of %d bytes became %d", len(deep), len(got))
	}
	for _, message := range []string{deep, strings.Repeat("é", maxLineShown), `{"message":"` + strings.Repeat("<", maxLineShown) + `"}`, `{"type":"` + strings.Repeat("x", maxLineShown) + `"}`} {
		line := readLine(time.Unix(0, 0).UTC(), "stream", "", message)
		for _, s := range []string{line.Message, line.Fields} {
			if len(s) > maxLineShown+100 || len(message) > maxLineShown && s != "" && !strings.Contains(s, "more: alcove logs") {
				t.Errorf("%.40q… of %d bytes is shown as %d", message, len(message), len(s))
			}
		}
		if line.Level != "" {
			t.Errorf("the level %q", line.Level)
		}
	}
	for text, level := range map[string]string{"warning": "WARN", "CRITICAL": "FATAL", "Info": "INFO"} {
		if got := readLine(time.Unix(0, 0).UTC(), "", "", `{"level":"`+text+`"}`).Level; got != level {
			t.Errorf("%s is %q", text, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Custom(func(t *rapid.T) any { return value(t, 3) }).Draw(t, "value")
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := json.MarshalIndent(v, "", "  ")
		if got := pretty(b, len(want)*4+16); got != string(want) {
			t.Fatalf("%s became %s", b, got)
		}
		if n := unfolded(b); n < len(want) {
			t.Fatalf("%s is said to become %d bytes, and is %d", b, n, len(want))
		}
	})
}

// value is any JSON value.
func value(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
	case kind == 0 && depth > 0:
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any { return value(t, depth-1) }), 0, 3).Draw(t, "list")
	case kind == 1 && depth > 0:
		return rapid.MapOfN(rapid.String(), rapid.Custom(func(t *rapid.T) any { return value(t, depth-1) }), 0, 3).Draw(t, "object")
	case kind == 2:
		return rapid.String().Draw(t, "text")
	}
	return rapid.Int64().Draw(t, "number")
}

// TestPageOfLogsIsBounded has a function fill its log with the longest records that
// there are: pages of it have an end, and lead on to all of them.
func TestPageOfLogsIsBounded(t *testing.T) {
	const all = 100
	longest, _ := json.Marshal(strings.Repeat("\x00", 256<<10))
	other, _ := json.Marshal(strings.Repeat("x", maxLineShown+1))
	var written atomic.Int64 // a handler whose answer was closed may still write
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/alcove/v1/logs" {
			anyKey(w, r)
			return
		}
		from := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("after"), &from)
		for i := from; i < min(all, from+maxLines) && r.Context().Err() == nil; i++ {
			line := other
			if i%40 == 0 {
				line = longest
			}
			if _, err := fmt.Fprintf(w, `{"time":"2026-01-02T03:04:05Z","stream":"s","message":%s,"cursor":"%d"}`+"\n", line, i+1); err != nil {
				return
			}
			written.Add(1)
		}
	})
	s.signIn(t)
	seen, pages := 0, 0
	for path := "logs?function=f"; path != ""; pages++ {
		r := s.ask("GET", path, nil)
		b := body(t, r)
		if r.StatusCode != http.StatusOK || len(b) > 5*maxLinesSize {
			t.Fatalf("%s: %s, %d bytes", path, r.Status, len(b))
		}
		seen += strings.Count(b, `<li class="line`)
		path = ""
		if _, more, ok := strings.Cut(b, `<p class="pages"><a href="?`); ok {
			more, _, _ = strings.Cut(more, `"`)
			q, err := url.ParseQuery(strings.ReplaceAll(more, "&amp;", "&"))
			if err != nil {
				t.Fatal(err)
			}
			path = "logs?" + q.Encode()
		}
	}
	if seen != all || pages < 3 {
		t.Errorf("%d records of %d on %d pages", seen, all, pages)
	}
	if written.Load() > int64(all+3*pages) {
		t.Errorf("%d records were made for %d that are shown", written.Load(), seen)
	}
}
