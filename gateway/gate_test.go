package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func ask(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

// slowly is an API of which every request is under way until end is closed.
type slowly struct{ begun, end chan struct{} }

func (s slowly) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.begun <- struct{}{}
	<-s.end
	_, _ = io.WriteString(w, "done")
}

// TestGate follows a node from its start to its end.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate()
		expect := func(path string, code int, text string) {
			t.Helper()
			if got, body := ask(g, path); got != code || !strings.Contains(body, text) {
				t.Errorf("%s: %d %q, want %d %q", path, got, body, code, text)
			}
		}
		expect("/healthz", 200, "ok")
		expect("/readyz", 503, "starting")
		expect("/2015-03-31/functions", 503, "The node is starting. Try again.")

		api := slowly{make(chan struct{}), make(chan struct{})}
		g.Open(New(Config{Lambda: api}))
		expect("/readyz", 200, "ok")
		answered := make(chan string, 1)
		go func() {
			_, body := ask(g, "/2015-03-31/functions")
			answered <- body
		}()
		<-api.begun

		closed := make(chan error, 1)
		go func() { closed <- g.Close(t.Context()) }()
		<-g.Ending()
		synctest.Wait()
		expect("/healthz", 200, "ok")
		expect("/readyz", 503, "stopping")
		expect("/2015-03-31/functions", 503, unavailable)
		expect("/2015-03-31/functions", 503, "The node is stopping. Try again.")
		select {
		case err := <-closed:
			t.Fatalf("closed with a request under way: %v", err)
		default:
		}
		close(api.end)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if body := <-answered; body != "done" {
			t.Errorf("the request under way was answered with %q", body)
		}
	})
}

// TestGateWaitsNoLongerThanItMay has a request that does not end in time.
func TestGateWaitsNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate()
		api := slowly{make(chan struct{}), make(chan struct{})}
		g.Open(New(Config{Lambda: api}))
		go ask(g, "/2015-03-31/functions")
		<-api.begun
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		close(api.end)
		synctest.Wait()
	})
}

// TestGateAnswersInTheCallersForm: a client of a service whose answers are XML
// reads that it is to try again, and that it is not at fault.
func TestGateAnswersInTheCallersForm(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Content-Type", form)
	w := httptest.NewRecorder()
	NewGate().ServeHTTP(w, r)
	if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, "<Type>Receiver</Type><Code>"+unavailable) ||
		w.Header().Get("Retry-After") != "1" || w.Header().Get("Connection") != "close" {
		t.Errorf("%d %v %s", w.Code, w.Header(), body)
	}
}
