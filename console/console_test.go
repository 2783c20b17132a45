package console

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// site is a console in front of a handler of APIs, with a clock of the test's.
type site struct {
	*Console
	now time.Time
	jar []*http.Cookie
}

func newSite(t testing.TB, api http.HandlerFunc) *site {
	t.Helper()
	s := &site{now: time.Unix(1_800_000_000, 0)}
	c, err := New(Config{API: api, Region: "us-east-1", Check: func(*http.Request) error { return nil },
		Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Console = c
	t.Cleanup(c.Close)
	return s
}

// ask sends a request as a browser with the site's cookies.
func (s *site) ask(method, path string, form url.Values, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, "http://node.example"+Prefix+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range s.jar {
		r.AddCookie(c)
	}
	for _, fn := range change {
		fn(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	resp := w.Result()
	for _, c := range resp.Cookies() {
		if s.jar = nil; c.MaxAge >= 0 {
			s.jar = []*http.Cookie{c}
		}
	}
	return resp
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// anyKey is an API that accepts every key and has nothing.
func anyKey(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/alcove/v1/environments":
		_, _ = io.WriteString(w, `{"environments":[],"notEnforced":[]}`)
	case strings.HasSuffix(r.URL.Path, "/functions/"), strings.HasSuffix(r.URL.Path, "/functions"):
		_, _ = io.WriteString(w, `{"Functions":[]}`)
	case strings.HasPrefix(r.URL.Path, "/code/"):
		code, _ := pack([]packed{{"lambda_function.py", []byte("x = 1\n"), 0o644}})
		_, _ = w.Write(code)
	case strings.Contains(r.URL.Path, "/functions/") && r.Method == http.MethodGet:
		_, _ = io.WriteString(w, `{"Configuration":{"FunctionName":"f","CodeSha256":"s"},"Code":{"Location":"http://node.example/code/s"}}`)
	default:
		_, _ = io.WriteString(w, `{}`)
	}
}

func (s *site) signIn(t testing.TB) *session {
	t.Helper()
	if r := s.ask("POST", "signin", url.Values{"key": {"AKIA"}, "secret": {"s"}}); r.StatusCode != http.StatusSeeOther || len(s.jar) != 1 {
		t.Fatalf("signing in: %s", r.Status)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(s.jar[0])
	return s.sessions.find(r)
}

// TestFormsAreOurs has a form of another site, and one without its token, change
// nothing.
func TestFormsAreOurs(t *testing.T) {
	changed := 0
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			changed++
		}
		anyKey(w, r)
	})
	one := s.signIn(t)
	form := url.Values{"confirm": {"f"}, "csrf": {one.csrf}}
	for name, r := range map[string]*http.Response{
		"no token":     s.ask("POST", "functions/f/delete", url.Values{"confirm": {"f"}}),
		"wrong token":  s.ask("POST", "functions/f/delete", url.Values{"confirm": {"f"}, "csrf": {random()}}),
		"other origin": s.ask("POST", "functions/f/delete", form, func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }),
		"other site":   s.ask("POST", "functions/f/delete", form, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }),
	} {
		if r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusUnauthorized || changed != 0 {
			t.Errorf("%s: %s, %d changes", name, r.Status, changed)
		}
	}
	if r := s.ask("POST", "functions/f/delete", form); r.StatusCode != http.StatusSeeOther || changed != 1 {
		t.Errorf("its own form: %s, %d changes", r.Status, changed)
	}
}

func TestRequestsAreOfWhoLooks(t *testing.T) {
	var got []*http.Request
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) { got = append(got, r); anyKey(w, r) })
	s.signIn(t)
	got = nil
	s.ask("GET", "floor", nil, func(r *http.Request) { r.RemoteAddr = "192.0.2.1:999" })
	if len(got) != 2 {
		t.Fatalf("%d requests", len(got))
	}
	for _, r := range got {
		if r.RemoteAddr != "192.0.2.1:999" || r.Host != "node.example" || !strings.Contains(r.Header.Get("Authorization"), "Credential=AKIA/") || r.Header.Get("Cookie") != "" {
			t.Errorf("%s %s from %s: %v", r.Host, r.URL, r.RemoteAddr, r.Header)
		}
	}
}

// TestTransportPassesOnWhatIsWritten reads an answer while its handler runs, and
// ends the handler by closing it.
func TestTransportPassesOnWhatIsWritten(t *testing.T) {
	ended := make(chan error, 1)
	tr := transport{from: httptest.NewRequest("GET", "/", nil), log: slog.New(slog.DiscardHandler), api: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first")
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://x/", nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "first" {
		t.Fatalf("%s %v", b, err)
	}
	resp.Body.Close()
	<-ended

	tr.api = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	})
	resp, err = tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "half" || err != io.ErrUnexpectedEOF {
		t.Errorf("%q %v", b, err)
	}
}

func TestBelow(t *testing.T) {
	for next, want := range map[string]string{
		"": "floor", "floor": "floor", "logs?function=f&since=1h": "logs?function=f&since=1h", "functions/a-b": "functions/a-b",
		"//evil.example": "evil.example", "/\\evil.example": "evil.example", "http://evil.example/": "http://evil.example/",
		"../../x": "floor", "%2e%2e/%2e%2e/x": "floor", "a\r\nb": "floor", "signin": "floor", "signout": "floor",
	} {
		got := below(next)
		if got != want {
			t.Errorf("below(%q) = %q, want %q", next, got, want)
		}
		if u, err := url.Parse("http://node.example" + Prefix + got); err != nil || u.Host != "node.example" || !strings.HasPrefix(u.Path, Prefix) {
			t.Errorf("below(%q) leads to %v", next, u)
		}
	}
}

// TestReplace changes one file of a package and no other.
func TestReplace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,4}\.py`), 1, 6, rapid.ID[string]).Draw(t, "names")
		var files []packed
		want := map[string]string{}
		for _, n := range names {
			text := rapid.StringMatching(`[a-z\n]{0,20}`).Draw(t, n)
			files, want[n] = append(files, packed{n, []byte(text), 0o644}), text
		}
		code, err := pack(files)
		if err != nil {
			t.Fatal(err)
		}
		name := rapid.SampledFrom(append(names, "new.py")).Draw(t, "name")
		want[name] = "changed"
		if code, err = replace(code, name, []byte("changed")); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		listed, err := listFiles(code)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range listed {
			if got[f.Name], err = readText(code, f.Name); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestEnvironmentVariables(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env := rapid.MapOf(rapid.StringMatching(`[A-Z]{2,5}`), rapid.StringMatching(`[^\r\n]*`)).Draw(t, "env")
		got, err := parseEnv(formatEnv(env))
		if err != nil || len(got) != len(env) || len(env) > 0 && !reflect.DeepEqual(got, env) {
			t.Fatalf("%q came back as %q, %v", env, got, err)
		}
	})
	for _, bad := range []string{"NAME", "=x", "A=1\nA=2"} {
		if _, err := parseEnv(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestShares(t *testing.T) {
	f := aliasForm{Second: "2", Share: "12.5"}
	if r, err := f.routing(); err != nil || r.AdditionalVersionWeights["2"] != 0.125 || percent(0.125) != "12.5" {
		t.Errorf("%v %v %s", r, err, percent(0.125))
	}
	if r, err := (&aliasForm{Share: "x"}).routing(); err != nil || len(r.AdditionalVersionWeights) != 0 {
		t.Errorf("of no other version: %v %v", r, err)
	}
	for _, bad := range []string{"", "x", "-1", "100.1", "NaN"} {
		f.Share = bad
		if _, err := f.routing(); err == nil {
			t.Errorf("a share of %q was taken", bad)
		}
	}
}

// TestFollowedGoesOn says where a followed log begins when a connection was lost.
func TestFollowedGoesOn(t *testing.T) {
	s := newSite(t, anyKey)
	at := s.now.UTC().Format(time.RFC3339Nano)
	for _, c := range []struct{ address, last, want string }{
		{"", "", url.Values{"since": {at}}.Encode()},
		{"since=S", "", "since=S"}, {"since=S", "since=T", "since=T"}, {"since=S", "x", "since=S"}, {"since=S", "%zz", "since=S"},
	} {
		r := httptest.NewRequest("GET", "http://node.example/?"+c.address, nil)
		if c.last != "" {
			r.Header.Set("Last-Event-ID", c.last)
		}
		q := &request{Request: r, con: s.Console}
		if got := q.begin(r.URL.Query()).Encode(); got != c.want {
			t.Errorf("%q behind %q begins at %q, want %q", c.address, c.last, got, c.want)
		}
	}
}

func TestPhases(t *testing.T) {
	got, total := phases("queue;dur=10.000, start;desc=cold;dur=20.000, init;dur=30.000, handler;dur=40.000")
	want := []phase{{"queue", parts[0].help, "", 10 * time.Millisecond, 0, 10}, {"start", starts["cold"], "cold", 20 * time.Millisecond, 10, 20},
		{"init", parts[2].help, "", 30 * time.Millisecond, 30, 30}, {"handler", parts[3].help, "", 40 * time.Millisecond, 60, 40}}
	if total != 100*time.Millisecond || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v", got, total)
	}
	// What took nothing is seen too, and all is as wide as the bar.
	got, _ = phases("queue;dur=0.000, start;desc=warm;dur=0.010, handler;dur=900")
	for i, p := range got {
		if p.Width < leastWidth/2.0 || i == len(got)-1 && math.Abs(p.From+p.Width-100) > 1e-9 {
			t.Errorf("%+v", p)
		}
	}
	for _, bad := range []string{"", "x", "queue;dur=", "queue;dur=-1", "queue;dur=NaN", "queue;dur=0", "queue;dur=Inf"} {
		if got, _ := phases(bad); got != nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// TestFloorTellsWhatChanges compares what a page knows after each event with what
// there is.
func TestFloorTellsWhatChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known := map[string]tile{}
		var there map[string]tile
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			there = map[string]tile{}
			for _, id := range rapid.SliceOfDistinct(rapid.StringMatching(`[a-e]`), rapid.ID[string]).Draw(t, "ids") {
				there[id] = tile{ID: id, Look: rapid.SampledFrom([]string{lookIdle, lookBusy, lookFrozen}).Draw(t, "look"),
					MemoryKB: rapid.Int64Range(900, 1200).Draw(t, "memory"), Invocations: rapid.Int64Range(0, 3).Draw(t, "invocations")}
			}
			change, now := compare(known, there)
			page := map[string]tile{}
			for id, x := range known {
				page[id] = x
			}
			for _, id := range change.Gone {
				if _, ok := page[id]; !ok {
					t.Fatalf("%s is gone, and was not there", id)
				}
				delete(page, id)
			}
			for _, x := range change.Set {
				page[x.ID] = x
			}
			if !reflect.DeepEqual(page, now) {
				t.Fatalf("the page has %v, the node thinks it has %v", page, now)
			}
			known = now
		}
		if len(known) != len(there) {
			t.Fatalf("%v, there are %v", known, there)
		}
		for id, x := range there {
			if d := x.MemoryKB - known[id].MemoryKB; d*16 >= known[id].MemoryKB || -d*16 >= known[id].MemoryKB {
				t.Fatalf("%s: memory %d is shown as %d", id, x.MemoryKB, known[id].MemoryKB)
			}
			x.MemoryKB = known[id].MemoryKB
			if x != known[id] {
				t.Fatalf("%v is shown as %v", x, known[id])
			}
		}
	})
}

// FuzzReadLine reads what functions write: whatever it is, it becomes valid text.
func FuzzReadLine(f *testing.F) {
	for _, s := range []string{"", "plain", `{"level":"ERROR","message":"m"}`, `{"type":"platform.report","record":{"status":"success","metrics":{"durationMs":1e300}}}`,
		`{"message":{"a":1}}`, "{\"message\":\"\xff\"}", `{"level":5}`, `{`, `{"type":"x","record":[]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line := readLine(time.Unix(0, 0).UTC(), "stream", "", s)
		b, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(b, "\n\r") {
			t.Fatalf("an event of a stream cannot hold %q", b)
		}
	})
}

// FuzzForms sends what no form of ours would: it is refused, and the node goes on.
func FuzzForms(f *testing.F) {
	s := newSite(f, anyKey)
	one := s.signIn(f)
	for _, path := range []string{"functions", "functions/f/code", "functions/f/configuration", "functions/f/aliases", "functions/f/invoke"} {
		f.Add(path, "name=x&runtime=python3.13&memory=1&timeout=1&ephemeral=1&code=x", "application/x-www-form-urlencoded")
		f.Add(path, "--b\r\nContent-Disposition: form-data; name=\"zip\"; filename=\"x\"\r\n\r\nPK\r\n--b--", "multipart/form-data; boundary=b")
	}
	f.Fuzz(func(t *testing.T, path, form, kind string) {
		u, err := url.Parse("http://node.example" + Prefix + path)
		if err != nil || u.Host != "node.example" {
			return
		}
		r := httptest.NewRequest("POST", "http://node.example/", strings.NewReader(form+"&csrf="+one.csrf))
		r.URL = u
		r.Header.Set("Content-Type", kind)
		r.AddCookie(s.jar[0])
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusGatewayTimeout {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
	})
}
