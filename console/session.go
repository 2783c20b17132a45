package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Lives of sessions, and how many there may be: beyond it the one goes that was
// not used for longest.
const (
	sessionIdle = time.Hour
	sessionLife = 12 * time.Hour
	maxSessions = 1000
)

// cookieName is the session's cookie. Its value is 256 random bits.
const cookieName = "alcove-session"

// session is somebody who signed in.
type session struct {
	name string // the key's id
	csrf string
	key  aws.Credentials // empty on a node that asks for none

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
	return &sessions{now: now, by: map[[sha256.Size]byte]*session{}, open: &session{csrf: random()}}
}

// random is 256 bits as text.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (s *sessions) everybody() *session { return s.open }

// add begins a session and gives its cookie's value.
func (s *sessions) add(key aws.Credentials) string {
	cookie, now := random(), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest [sha256.Size]byte
	var at time.Time
	for digest, old := range s.by {
		if s.expired(old, now) {
			delete(s.by, digest)
		} else if at.IsZero() || old.used.Before(at) {
			oldest, at = digest, old.used
		}
	}
	if len(s.by) >= maxSessions {
		delete(s.by, oldest)
	}
	s.by[sha256.Sum256([]byte(cookie))] = &session{name: key.AccessKeyID, csrf: random(), key: key, begun: now, used: now}
	return cookie
}

func (s *sessions) expired(one *session, now time.Time) bool {
	return now.Sub(one.used) > sessionIdle || now.Sub(one.begun) > sessionLife
}

// find is the session of a request, or nil.
func (s *sessions) find(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	digest, now := sha256.Sum256([]byte(cookie.Value)), s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.by[digest]
	if one == nil {
		return nil
	}
	if s.expired(one, now) {
		delete(s.by, digest)
		return nil
	}
	one.used = now
	return one
}

// over says whether a session that a stream belongs to has ended. A stream alone
// does not keep one.
func (s *sessions) over(one *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return one.ended || s.expired(one, s.now())
}

// end ends the session of a request.
func (s *sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(cookieName); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		digest := sha256.Sum256([]byte(cookie.Value))
		if one := s.by[digest]; one != nil {
			one.ended = true
			delete(s.by, digest)
		}
	}
}

// setCookie gives the browser a session's cookie, or with an empty value takes it.
func (q *request) setCookie(value string) {
	c := &http.Cookie{Name: cookieName, Value: value, Path: Prefix, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: q.TLS != nil}
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
	q.setCookie(q.con.sessions.add(key))
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
	if strings.Contains(path, "..") || strings.Contains(path, "\\") {
		return "floor"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}
