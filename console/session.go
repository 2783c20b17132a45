package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Lives of sessions, and how many there may be, of one key and of all: beyond it the
// one goes that was not used for longest. A key's many are no loss of others'.
const (
	sessionIdle = time.Hour
	sessionLife = 12 * time.Hour
	maxOfKey    = 50
	maxSessions = 1000
)

// The session's cookie, whose value is 256 random bits. Over TLS it has the name that
// no page but those of this very host can set. Without, pages of names below this
// one, and servers on other ports of it, can set one too: so a session is good only
// where it was begun (place), and a browser with two of them has none.
const (
	cookieName = "alcove-session"
	tlsCookie  = "__Host-" + cookieName
)

// overTLS says whether the browser speaks TLS with whoever is in front of the node:
// its forms say so, and so do its other requests to a host that is not this machine.
func overTLS(r *http.Request) bool {
	if r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://") {
		return true
	}
	// Browsers tell these to secure origins alone: those of TLS, and loopback names.
	return r.Header.Get("Sec-Fetch-Site") != "" && r.Header.Get("Origin") == "" && !loopbackHost(r.Host)
}

// loopbackHost says whether a Host header names this machine by a name that browsers
// know as such.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// place is where a request comes from, as far as a session is bound to it: the address,
// of IPv6 its network, which hosts change their addresses in; loopback is one place.
func place(r *http.Request) netip.Prefix {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	a := from.Addr().Unmap().WithZone("")
	switch {
	case err != nil:
		return netip.Prefix{}
	case a.IsLoopback():
		return netip.PrefixFrom(netip.IPv6Loopback(), 128)
	case a.Is6():
		return netip.PrefixFrom(a, 64).Masked()
	}
	return netip.PrefixFrom(a, 32)
}

// session is somebody who signed in.
type session struct {
	name string // the key's id
	csrf string
	key  aws.Credentials // empty on a node that asks for none
	from netip.Prefix    // the place where it was begun
	tls  bool            // it was begun over TLS, and has that cookie

	share *share // what all sessions of the key have together

	// Of these, sessions.mu is the guard.
	begun, used time.Time
	ended       bool
}

// owns says whether a form was made for the session.
func (s *session) owns(csrf string) bool {
	return subtle.ConstantTimeCompare([]byte(csrf), []byte(s.csrf)) == 1
}

// sessions are those of a node, in memory: who restarts it signs in again, and no
// secret of a user is on its disk.
type sessions struct {
	now  func() time.Time
	open *session // everybody's, on a node that asks for no key

	mu sync.Mutex
	by map[[sha256.Size]byte]*session // by digest of the cookie, so that a lookup tells nothing of near misses
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, by: map[[sha256.Size]byte]*session{}, open: &session{csrf: random(), share: newShare(maxSeats, maxStreams)}}
}

// random is 256 bits as text.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (s *sessions) everybody() *session { return s.open }

// add begins a session for who sent a request, and gives its cookie's value.
func (s *sessions) add(r *http.Request, key aws.Credentials) string {
	cookie, now := random(), s.now()
	one := &session{name: key.AccessKeyID, csrf: random(), key: key, from: place(r), tls: overTLS(r), begun: now, used: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	of := 0
	for digest, old := range s.by {
		if s.expired(old, now) {
			delete(s.by, digest)
		} else if old.name == one.name {
			of++
			one.share = old.share
		}
	}
	if one.share == nil {
		one.share = newShare(seatsOfKey, streamsOfKey)
	}
	switch {
	case of >= maxOfKey:
		s.dropOldest(func(old *session) bool { return old.name == one.name })
	case len(s.by) >= maxSessions:
		s.dropOldest(func(*session) bool { return true })
	}
	s.by[sha256.Sum256([]byte(cookie))] = one
	return cookie
}

// dropOldest ends the session that was not used for longest, of some. Preconditions:
// s.mu is held.
func (s *sessions) dropOldest(of func(*session) bool) {
	var at [sha256.Size]byte
	var oldest *session
	for digest, one := range s.by {
		if of(one) && (oldest == nil || one.used.Before(oldest.used)) {
			at, oldest = digest, one
		}
	}
	oldest.ended = true
	delete(s.by, at)
}

func (s *sessions) expired(one *session, now time.Time) bool {
	return now.Sub(one.used) > sessionIdle || now.Sub(one.begun) > sessionLife
}

// find is the session of a request, or nil.
func (s *sessions) find(r *http.Request) *session {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of(r, now)
	if one != nil {
		one.used = now
	}
	return one
}

// of looks for the one session that a request's cookies are of. Preconditions: s.mu is
// held.
func (s *sessions) of(r *http.Request, now time.Time) (found *session) {
	here := place(r)
	for name, digest := range cookies(r) {
		one := s.by[digest]
		switch {
		case one == nil || one.from != here || one.tls != (name == tlsCookie):
			continue // somebody else's
		case s.expired(one, now):
			delete(s.by, digest)
			continue
		case found != nil && one != found:
			return nil // one of them was put there: nobody can tell which
		}
		found = one
	}
	return found
}

// cookies are the digests of a request's cookies that may be a session's, with their
// names. Over TLS only those count that have the name for it.
func cookies(r *http.Request) iter.Seq2[string, [sha256.Size]byte] {
	names := []string{tlsCookie, cookieName}
	if overTLS(r) {
		names = names[:1]
	}
	return func(yield func(string, [sha256.Size]byte) bool) {
		for _, name := range names {
			for _, cookie := range r.CookiesNamed(name) {
				if !yield(name, sha256.Sum256([]byte(cookie.Value))) {
					return
				}
			}
		}
	}
}

// over says whether a session that a stream belongs to has ended. A stream alone
// does not keep one.
func (s *sessions) over(one *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return one.ended || s.expired(one, s.now())
}

// end ends every session that a request has a cookie of.
func (s *sessions) end(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, digest := range cookies(r) {
		if one := s.by[digest]; one != nil {
			one.ended = true
			delete(s.by, digest)
		}
	}
}

// setCookie gives the browser a session's cookie, or with an empty value takes it.
func (q *request) setCookie(value string) {
	c := &http.Cookie{Name: cookieName, Value: value, Path: Prefix, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if overTLS(q.Request) {
		c.Name, c.Path, c.Secure = tlsCookie, "/", true
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(q.w, c)
}

// signInForm is what the page of signing in shows.
type signInForm struct {
	Next  string
	KeyID string
	Error string
}

func (q *request) home() error { q.redirect("floor"); return nil }

func (q *request) showSignIn() error {
	if q.con.Open || q.who != nil {
		return q.home()
	}
	return q.render(http.StatusOK, "signin", "Sign in", "", signInForm{Next: q.URL.Query().Get("next")})
}

// signIn begins a session if the node accepts the key: it asks STS who it is, which
// every key may.
func (q *request) signIn() error {
	if q.con.Open {
		return q.home()
	}
	form := signInForm{Next: q.PostFormValue("next"), KeyID: strings.TrimSpace(q.PostFormValue("key"))}
	key := aws.Credentials{AccessKeyID: form.KeyID, SecretAccessKey: strings.TrimSpace(q.PostFormValue("secret"))}
	if key.AccessKeyID == "" || key.SecretAccessKey == "" {
		form.Error = "Give both the access key ID and the secret access key."
		return q.render(http.StatusBadRequest, "signin", "Sign in", "", form)
	}
	_, err := q.as(key).send(q.Context(), call{service: "sts", method: http.MethodPost, path: "/",
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, body: []byte("Action=GetCallerIdentity&Version=2011-06-15")})
	if err != nil {
		form.Error = "The node does not accept this key. Check both parts; `alcove keys list` shows the keys that there are."
		return q.render(http.StatusForbidden, "signin", "Sign in", "", form)
	}
	q.con.sessions.end(q.Request)
	q.setCookie(q.con.sessions.add(q.Request, key))
	q.redirect(below(form.Next))
	return nil
}

func (q *request) signOut() error {
	q.con.sessions.end(q.Request)
	q.setCookie("")
	q.redirect("signin")
	return nil
}

// below makes of where somebody wanted to go a path of the console, or the first
// page: nobody is sent elsewhere.
func below(next string) string {
	u, err := url.Parse(Prefix + strings.TrimLeft(next, "/\\"))
	if err != nil || u.Host != "" || next == "" || strings.HasPrefix(next, "sign") {
		return "floor"
	}
	path := strings.TrimPrefix(u.EscapedPath(), Prefix)
	if strings.Contains(u.Path, "..") || strings.Contains(u.Path, "\\") { // browsers read %2e as a dot
		return "floor"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}
