package runtimeapi_test

import (
	"net/http"
	"testing"

	"github.com/alcove-run/alcove/runtimeapi/runtimeapitest"
)

const function = "/alcove/function"

// TestFunctionIsToldOnce: a blank environment's runtime hears of its function
// once, and nobody else ever hears anything.
func TestFunctionIsToldOnce(t *testing.T) {
	env := runtimeapitest.NewBlank()
	s := serveFor(t, env, env)
	if res, body := s.do("GET", next, nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("next before there is a function: %s %s", res.Status, body)
	}
	type answer struct {
		status int
		body   string
	}
	// Two ask: one of them waits, and the other is refused, whichever is first.
	answers := make(chan answer)
	for range 2 {
		go func() {
			res, body := s.do("GET", function, nil)
			answers <- answer{res.StatusCode, body}
		}()
	}
	if a := wait(t, answers, "refusal"); a.status != http.StatusForbidden {
		t.Errorf("asked twice at once: %+v", a)
	}
	env.Specialise([]byte(`{"environment":{"A":"b"}}`))
	if a := wait(t, answers, "answer"); a.status != http.StatusOK || a.body != `{"environment":{"A":"b"}}` {
		t.Errorf("got %+v", a)
	}
	for range 2 {
		if res, body := s.do("GET", function, nil); res.StatusCode != http.StatusNotFound || body != "" {
			t.Errorf("asked again: %s %q", res.Status, body)
		}
	}
	if res, _ := s.do("POST", function, nil); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
	if _, _, out := s.invoke(event("r1")); out != nil {
		s.do("POST", response, nil)
		wait(t, out, "outcome")
	}
}

// TestOrdinaryEnvironmentHasNoFunctionToTell: neither before its Init is done nor
// while it runs an invocation.
func TestOrdinaryEnvironmentHasNoFunctionToTell(t *testing.T) {
	s := serve(t)
	for _, when := range []string{"during Init", "during an invocation"} {
		if res, body := s.do("GET", function, nil); res.StatusCode != http.StatusNotFound || body != "" {
			t.Errorf("%s: %s %q", when, res.Status, body)
		}
		if when == "during Init" {
			s.invoke(event("r1"))
		}
	}
}
