package promapi

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// docs/metrics.md describes every metric, as what it is, and no other.
func TestDocumentsNameEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\|").FindAllStringSubmatch(string(text), -1) {
		described[m[1]] = m[2]
	}
	for _, n := range Names() {
		if described[n.Name] != string(n.Kind) {
			t.Errorf("docs/metrics.md says that %s is a %q, and it is a %s", n.Name, described[n.Name], n.Kind)
		}
		if (n.Kind == Counter) != strings.HasSuffix(n.Name, "_total") && n.Name != "process_cpu_seconds_total" {
			t.Errorf("%s is a %s", n.Name, n.Kind)
		}
		delete(described, n.Name)
	}
	for name := range described {
		t.Errorf("docs/metrics.md describes %s, which is none", name)
	}
}

func TestWhoMayRead(t *testing.T) {
	h := New(Config{Token: "right", Collect: func(p *Page) { p.Add("go_goroutines", 1) },
		Authenticate: func(r *http.Request, _ []byte) (alcove.Caller, error) {
			if r.Header.Get("Authorization") == "signed badly" {
				return alcove.Caller{}, alcove.ClientError("InvalidSignatureException", "no")
			}
			return alcove.Caller{ARN: r.Header.Get("Authorization")}, nil
		},
		Authorize: func(c alcove.Caller, o auth.Operation) (*auth.Scope, error) {
			if c.ARN != "signed well" || o.Action != Action || !o.Whole {
				return nil, alcove.ClientError(auth.CodeAccessDenied, "no")
			}
			return nil, nil
		}})
	for _, c := range []struct {
		from, host, authorization, header string
		status                            int
	}{
		{"127.0.0.1:1", "127.0.0.1:4566", "", "", 200},
		{"[::1]:1", "[::1]:4566", "", "", 200},
		{"127.0.0.1:1", "localhost:4566", "", "", 200},
		{"127.0.0.1:1", "attacker.example:4566", "", "", 401},
		{"127.0.0.1:1", "localhost:4566", "", "X-Forwarded-For", 401},
		{"127.0.0.1:1", "localhost:4566", "", "Origin", 401},
		{"192.0.2.1:1", "localhost:4566", "", "", 401},
		{"192.0.2.1:1", "node:4566", "Bearer right", "", 200},
		{"192.0.2.1:1", "node:4566", "Bearer wrong", "", 401},
		{"127.0.0.1:1", "localhost:4566", "Bearer ", "", 401},
		{"192.0.2.1:1", "node:4566", "signed well", "", 200},
		{"192.0.2.1:1", "node:4566", "signed badly", "", 401},
		{"192.0.2.1:1", "node:4566", "signed by another", "", 403},
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr, r.Host = c.from, c.host
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		if c.header != "" {
			r.Header.Set(c.header, "x")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || (w.Code == 200) != strings.Contains(w.Body.String(), "go_goroutines 1") {
			t.Errorf("%+v: %d %s", c, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", "/metrics", nil)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
	// Without a token none is right.
	r = httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Authorization", "Bearer ")
	w = httptest.NewRecorder()
	if New(Config{}).ServeHTTP(w, r); w.Code != 401 {
		t.Errorf("no token: %d", w.Code)
	}
}

func TestText(t *testing.T) {
	p := newPage()
	p.Add("alcove_starts_total", 2, "start", "warm")
	p.Add("alcove_invocations_total", 1e9, "function", "a\"\\\nb", "status", "error")
	p.Histogram("alcove_invocation_duration_seconds", []float64{0.5, 1}, []int64{1, 2, 3}, 4.5, "function", "f")
	const want = `# HELP alcove_invocations_total Invocations that an environment took, by function and status (success, error, timeout, failure).
# TYPE alcove_invocations_total counter
alcove_invocations_total{function="a\"\\\nb",status="error"} 1e+09
# HELP alcove_invocation_duration_seconds How long invocations ran, by function.
# TYPE alcove_invocation_duration_seconds histogram
alcove_invocation_duration_seconds_bucket{function="f",le="0.5"} 1
alcove_invocation_duration_seconds_bucket{function="f",le="1"} 3
alcove_invocation_duration_seconds_bucket{function="f",le="+Inf"} 6
alcove_invocation_duration_seconds_sum{function="f"} 4.5
alcove_invocation_duration_seconds_count{function="f"} 6
# HELP alcove_starts_total Invocations by what they found: warm, stock, runtime-stock, sandbox or cold.
# TYPE alcove_starts_total counter
alcove_starts_total{start="warm"} 2
`
	if got := string(p.text()); got != want {
		t.Errorf("%s", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a metric that nothing describes was taken")
		}
	}()
	p.Add("unknown", 1)
}
