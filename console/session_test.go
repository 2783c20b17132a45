package console

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestSessionEnds(t *testing.T) {
	s := newSite(t, anyKey)
	in := func() bool { return s.ask("GET", "floor", nil).StatusCode == http.StatusOK }
	if in() {
		t.Fatal("nobody signed in")
	}
	s.signIn(t)
	if c := s.jar[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != Prefix {
		t.Errorf("the cookie is %v", c)
	}
	for range 30 { // used every half hour, until its life is over
		if s.now = s.now.Add(sessionIdle / 2); !in() {
			break
		}
	}
	if got := s.now.Sub(time.Unix(1_800_000_000, 0)); got != sessionLife+sessionIdle/2 {
		t.Errorf("it lived for %s", got)
	}
	s.signIn(t)
	if s.now = s.now.Add(sessionIdle + 1); in() {
		t.Error("it outlived its idle time")
	}
	one := s.signIn(t)
	jar := s.jar
	if s.ask("POST", "signout", url.Values{"csrf": {one.csrf}}); len(s.jar) != 0 || !s.sessions.over(one) {
		t.Error("signing out left it")
	}
	if s.jar = jar; in() {
		t.Error("its cookie still works")
	}
}

// TestStrangersAreBounded has somebody who has not signed in send what would be
// kept in memory.
func TestStrangersAreBounded(t *testing.T) {
	s := newSite(t, anyKey)
	long := url.Values{"key": {strings.Repeat("A", maxSignIn)}, "secret": {"s"}}
	if r := s.ask("POST", "signin", long); r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a long form: %s", r.Status)
	}
	file := "--b\r\nContent-Disposition: form-data; name=\"key\"; filename=\"f\"\r\n\r\n" + strings.Repeat("A", maxSignIn) + "\r\n--b--\r\n"
	r := s.ask("POST", "signin", nil, func(r *http.Request) {
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		r.Body = io.NopCloser(strings.NewReader(file))
	})
	if r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a file: %s", r.Status)
	}
	s.signIn(t)
}

func TestSessionsAreBounded(t *testing.T) {
	s := newSite(t, anyKey)
	r := httptest.NewRequest("GET", "/", nil)
	first := s.sessions.add(r, aws.Credentials{AccessKeyID: "first"})
	for i := range maxSessions {
		s.now = s.now.Add(time.Millisecond)
		s.sessions.add(r, aws.Credentials{AccessKeyID: strconv.Itoa(i)})
	}
	if n := len(s.sessions.by); n != maxSessions {
		t.Errorf("%d sessions", n)
	}
	r.AddCookie(&http.Cookie{Name: cookieName, Value: first})
	if s.sessions.find(r) != nil {
		t.Error("the one unused for longest should have gone")
	}
}

// TestAKeyCrowdsOutNobody signs in with one key again and again: its own oldest go, with
// what they had open.
func TestAKeyCrowdsOutNobody(t *testing.T) {
	s := newSite(t, anyKey)
	r := httptest.NewRequest("GET", "/", nil)
	s.sessions.add(r, aws.Credentials{AccessKeyID: "other"})
	var first *session
	for i := range maxSessions {
		s.now = s.now.Add(time.Millisecond)
		cookie := s.sessions.add(r, aws.Credentials{AccessKeyID: "one"})
		if i == 0 {
			r := httptest.NewRequest("GET", "/", nil)
			r.AddCookie(&http.Cookie{Name: cookieName, Value: cookie})
			first = s.sessions.find(r)
		}
	}
	by := map[string]int{}
	shares := map[*share]bool{}
	for _, one := range s.sessions.by {
		by[one.name]++
		shares[one.share] = true
	}
	if by["one"] != maxOfKey || by["other"] != 1 || len(shares) != 2 {
		t.Errorf("%v sessions, %d shares", by, len(shares))
	}
	if !s.sessions.over(first) {
		t.Error("a session that went is not over for its streams")
	}
}

// TestForeignCookiesFixNoSession has pages of other names, and other servers of this
// machine, put a cookie into somebody's browser: nobody looks with another's key.
func TestForeignCookiesFixNoSession(t *testing.T) {
	s := newSite(t, anyKey)
	from := func(addr, origin string) func(*http.Request) {
		return func(r *http.Request) {
			r.RemoteAddr = addr
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
		}
	}
	key := url.Values{"key": {"AKIA"}, "secret": {"s"}}
	signIn := func(addr, origin string) *http.Cookie {
		t.Helper()
		s.jar = nil
		if s.ask("POST", "signin", key, from(addr, origin)); len(s.jar) != 1 {
			t.Fatal("signing in set no cookie")
		}
		c := s.jar[0]
		s.jar = nil
		return c
	}
	in := func(addr string, secure bool, jar ...*http.Cookie) bool {
		s.jar = jar
		defer func() { s.jar = nil }()
		return s.ask("GET", "floor", nil, func(r *http.Request) {
			r.RemoteAddr = addr
			if secure { // what browsers say to secure origins alone
				r.Header.Set("Sec-Fetch-Site", "same-origin")
			}
		}).StatusCode == http.StatusOK
	}

	mine := signIn("192.0.2.1:1000", "http://node.example")
	if mine.Name != cookieName || mine.Secure {
		t.Errorf("without TLS the cookie is %v", mine)
	}
	if !in("192.0.2.1:2000", false, mine) || in("192.0.2.2:1000", false, mine) {
		t.Error("a session is to be good where it was begun, and only there")
	}
	theirs := signIn("192.0.2.1:3000", "http://node.example")
	if in("192.0.2.1:1000", false, theirs, mine) {
		t.Error("of two sessions one was taken")
	}
	// Who signs in then has one again: theirs is over.
	s.jar = []*http.Cookie{theirs, mine}
	s.ask("POST", "signin", key, from("192.0.2.1:1000", "http://node.example"))
	if again := s.jar[0]; !in("192.0.2.1:1000", false, theirs, again) || in("192.0.2.1:1000", false, theirs) {
		t.Error("signing in with a foreign cookie about")
	}

	secure := signIn("192.0.2.9:1", "https://node.example")
	if secure.Name != tlsCookie || !secure.Secure || secure.Path != "/" || secure.Domain != "" || !secure.HttpOnly {
		t.Errorf("over TLS the cookie is %v", secure)
	}
	if !in("192.0.2.9:1", true, secure) {
		t.Error("over TLS nobody is signed in")
	}
	// All come from the proxy, so the name has to hold.
	plain := signIn("192.0.2.9:1", "http://node.example")
	renamed := &http.Cookie{Name: cookieName, Value: secure.Value}
	if in("192.0.2.9:1", true, plain) || in("192.0.2.9:1", true, renamed) || in("192.0.2.9:1", false, renamed) || !in("192.0.2.9:1", true, secure, plain) {
		t.Error("over TLS a cookie that another name's page can set counts")
	}
}

func TestPlace(t *testing.T) {
	at := func(addr string) netip.Prefix { return place(&http.Request{RemoteAddr: addr}) }
	for _, same := range [][2]string{{"127.0.0.1:1", "[::1]:2"}, {"127.0.0.1:1", "127.9.9.9:1"}, {"[::ffff:192.0.2.1]:1", "192.0.2.1:5"}, {"[2001:db8::1]:1", "[2001:db8::ffff]:2"}} {
		if at(same[0]) != at(same[1]) {
			t.Errorf("%v are two places", same)
		}
	}
	for _, other := range [][2]string{{"192.0.2.1:1", "192.0.2.2:1"}, {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1"}, {"127.0.0.1:1", "192.0.2.1:1"}} {
		if at(other[0]) == at(other[1]) {
			t.Errorf("%v are one place", other)
		}
	}
}
