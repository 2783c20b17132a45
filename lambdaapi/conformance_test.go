package lambdaapi

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// conformance counts what the tests of this package compared with AWS. `make
// conformance` has it written to the file that ALCOVE_CONFORMANCE names.
var conformance = tally{kinds: map[string]map[string]bool{}}

// What is counted, in the order of the report.
const (
	countAnswered  = "operations that answered the SDK in a test"
	countRequests  = "requests as the SDK writes them, replayed"
	countResponses = "responses as the SDK reads them, compared"
	countShapes    = "exceptions of the model: status, members"
	countTexts     = "texts of errors, compared"
)

type tally struct {
	mu    sync.Mutex
	kinds map[string]map[string]bool // guarded by mu; by kind and name: whether it never failed
}

// count takes down that something was compared, and whether it was as on AWS.
func (c *tally) count(kind, name string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kinds[kind] == nil {
		c.kinds[kind] = map[string]bool{}
	}
	before, seen := c.kinds[kind][name]
	c.kinds[kind][name] = ok && (before || !seen)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if path := os.Getenv("ALCOVE_CONFORMANCE"); path != "" {
		var report strings.Builder
		conformance.report(&report)
		if err := os.WriteFile(path, []byte(report.String()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// report writes what was counted, and which operations nothing was counted of.
func (c *tally) report(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	built := 0
	var silent, missing []string
	for _, r := range table() {
		switch {
		case r.serve == nil:
			missing = append(missing, r.operation)
			continue
		case !c.kinds[countAnswered][r.operation]:
			silent = append(silent, r.operation)
		}
		built++
	}
	fmt.Fprintf(w, "%5d of %d operations of the Lambda API\n", built, built+len(missing))
	for _, kind := range []string{countAnswered, countRequests, countResponses, countShapes, countTexts} {
		failed := 0
		for _, name := range slices.Sorted(maps.Keys(c.kinds[kind])) {
			if !c.kinds[kind][name] {
				failed++
				fmt.Fprintf(w, "      failed: %.160s\n", name)
			}
		}
		fmt.Fprintf(w, "%5d %s, %d failed\n", len(c.kinds[kind]), kind, failed)
	}
	fmt.Fprintf(w, "not there: %s\n", strings.Join(missing, ", "))
	if len(silent) > 0 {
		fmt.Fprintf(w, "there, but answered nobody: %s\n", strings.Join(silent, ", "))
	}
}

// counting counts the operations that api answers.
func counting(api *API) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &statusWriter{ResponseWriter: w}
		api.ServeHTTP(s, r)
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil || s.status >= 300 {
			return
		}
		if route, _, err := api.find(r.Method, sentPath(r), query); err == nil {
			conformance.count(countAnswered, route.operation, true)
		}
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
