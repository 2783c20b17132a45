package auth

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
)

// house is an Auth with roles, and a clock of the test's.
type house struct {
	*Auth
	now      time.Time
	roles    map[string]string
	policies map[alcove.Ref]string
}

func openHouse(t *testing.T, mode Mode) *house {
	t.Helper()
	h := &house{now: noon, roles: map[string]string{}, policies: map[alcove.Ref]string{}}
	a, err := Open(t.Context(), Config{File: filepath.Join(t.TempDir(), "root-key.json"), Mode: mode, Place: place, Now: func() time.Time { return h.now },
		ResourcePolicy: func(ref alcove.Ref) string { return h.policies[ref] }, RolePolicy: func(name string) string { return h.roles[name] }})
	if err != nil {
		t.Fatal(err)
	}
	h.Auth = a
	return h
}

// from sends a request with a key by the connection that has an address.
func (h *house) from(t *testing.T, address string, key SessionKey, change ...func(*http.Request)) (alcove.Caller, error) {
	t.Helper()
	r := httptest.NewRequest("GET", "http://169.254.100.2/2015-03-31/functions", nil)
	r.RemoteAddr = address
	if key.ID != "" {
		s := h.signing()
		s.key, s.token, s.at = key.Key, key.Token, h.now
		sign(t, r, "", s)
	}
	for _, fn := range change {
		fn(r)
	}
	if err := h.Precheck(r); err != nil {
		return alcove.Caller{}, err
	}
	return h.Authenticate(r, nil)
}

func (h *house) open(s Session) (SessionKey, func()) {
	if s.Environment == "" {
		s.Environment = "e1"
	}
	s.Function, s.Role = "router", "arn:aws:iam::000000000000:role/service/r"
	return h.OpenSession(s)
}

func bound(tenant alcove.Tenant) func() (alcove.Tenant, bool) {
	return func() (alcove.Tenant, bool) { return tenant, true }
}

func unbound() (alcove.Tenant, bool) { return "", false }

// TestCredentialsAreWorthNothingElsewhere tries an environment's credentials from
// where they are not its own, and others from where they are not taken.
func TestCredentialsAreWorthNothingElsewhere(t *testing.T) {
	for _, mode := range []Mode{ModeSigV4, ModeNone} {
		h := openHouse(t, mode)
		key, end := h.open(Session{Isolated: true, Tenant: bound("blue")})
		other, _ := h.open(Session{Environment: "e2", Isolated: true, Tenant: bound("green")})
		if !strings.HasPrefix(key.ID, "ASIA") || key.Token == other.Token || key.Secret == other.Secret {
			t.Errorf("%+v %+v", key, other)
		}
		caller, err := h.from(t, Inside("e1"), key)
		if err != nil || caller.ARN != "arn:aws:sts::000000000000:assumed-role/r/router" || caller.AccessKeyID != key.ID || caller.Source.IsValid() {
			t.Errorf("%s: its own: %+v %v", mode, caller, err)
		}
		tokenless, mixed := key, key
		tokenless.Token, mixed.Token = "", other.Token
		root := SessionKey{Key: h.root}
		for name, got := range map[string]error{
			"another environment's":     second(h.from(t, Inside("e2"), key)),
			"without its token":         second(h.from(t, Inside("e1"), tokenless)),
			"with another's token":      second(h.from(t, Inside("e1"), mixed)),
			"the root key from inside":  second(h.from(t, Inside("e1"), root)),
			"nobody from inside":        second(h.from(t, Inside("e1"), SessionKey{})),
			"with a token of the root":  second(h.from(t, Inside("e1"), SessionKey{Key: h.root, Token: key.Token})),
			"a loopback name, unsigned": second(h.from(t, Inside("e1"), SessionKey{}, func(r *http.Request) { r.Host = "localhost" })),
		} {
			if c := code(got); c != CodeUnrecognizedClient && c != CodeMissingToken {
				t.Errorf("%s: %s: %v", mode, name, got)
			}
		}
		if mode == ModeSigV4 {
			if _, err := h.from(t, "192.0.2.1:5", key); code(err) != CodeUnrecognizedClient {
				t.Errorf("from the network: %v", err)
			}
			h.now = h.now.Add(SessionLife)
			if _, err := h.from(t, Inside("e1"), key); code(err) != CodeExpiredToken {
				t.Errorf("after its life: %v", err)
			}
			h.now = noon
		}
		end()
		end()
		if _, err := h.from(t, Inside("e1"), key); code(err) != CodeUnrecognizedClient {
			t.Errorf("after its environment's end: %v", err)
		}
	}
}

func second(_ alcove.Caller, err error) error { return err }

// TestAnEnvironmentActsForItsOwnTenant tries what code of a tenant may, with a role
// that may do everything.
func TestAnEnvironmentActsForItsOwnTenant(t *testing.T) {
	const everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	for _, mode := range []Mode{ModeSigV4, ModeNone} {
		h := openHouse(t, mode)
		h.roles["r"] = everything
		other := alcove.Ref{Name: "other"}
		invoke := func(tenant alcove.Tenant) Operation {
			return Operation{Action: "lambda:InvokeFunction", Function: other, Tenant: tenant, Invocation: true, Reported: true}
		}
		change := Operation{Action: "lambda:UpdateFunctionCode", Function: other}
		list := Operation{Action: "alcove:ListEnvironments", Function: other, PerTenant: true}
		whole := Operation{Action: "alcove:ListKeys", Resource: "*", Whole: true}
		read := Operation{Action: "lambda:GetFunction", Function: other}
		for _, c := range []struct {
			name    string
			session Session
			o       Operation
			allowed bool
		}{
			{"its own", Session{Isolated: true, Tenant: bound("blue")}, invoke("blue"), true},
			{"an ordinary function", Session{Isolated: true, Tenant: bound("blue")}, invoke(""), true},
			{"another's", Session{Isolated: true, Tenant: bound("blue")}, invoke("green"), false},
			{"anybody's, before it is bound", Session{Isolated: true, Tenant: unbound}, invoke("blue"), false},
			{"a change", Session{Isolated: true, Tenant: bound("blue")}, change, false},
			{"all tenants", Session{Isolated: true, Tenant: bound("blue")}, whole, false},
			{"a reading", Session{Isolated: true, Tenant: bound("blue")}, read, true},
			{"records", Session{Isolated: true, Tenant: bound("blue")}, list, true},
			{"a router for anybody", Session{Tenant: bound("")}, invoke("green"), true},
			{"a router's change", Session{Tenant: bound("")}, change, true},
		} {
			key, end := h.open(c.session)
			caller, err := h.from(t, Inside("e1"), key)
			if err != nil {
				t.Fatal(err)
			}
			scope, err := h.Authorize(caller, c.o)
			if (err == nil) != c.allowed || err != nil && code(err) != CodeAccessDenied {
				t.Errorf("%s: %s: %v", mode, c.name, err)
			}
			if c.session.Isolated && c.allowed && !c.o.Invocation && (scope.Sees("green") || !scope.Sees("blue") || scope.All()) {
				t.Errorf("%s: %s: sees another tenant's, or not its own", mode, c.name)
			}
			end()
			if _, err := h.Authorize(caller, c.o); code(err) != CodeUnrecognizedClient {
				t.Errorf("%s: %s: after its end: %v", mode, c.name, err)
			}
		}
		// A function that lets everybody does not let a tenant be another.
		h.roles["r"] = ""
		h.policies[other] = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunction","Resource":"*"}}`
		key, _ := h.open(Session{Isolated: true, Tenant: bound("blue")})
		caller, err := h.from(t, Inside("e1"), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Authorize(caller, invoke("blue")); err != nil {
			t.Errorf("%s: by the function's policy: %v", mode, err)
		}
		if _, err := h.Authorize(caller, invoke("green")); code(err) != CodeAccessDenied {
			t.Errorf("%s: by the function's policy, as another: %v", mode, err)
		}
		if _, err := h.Authorize(caller, read); code(err) != CodeAccessDenied || !strings.Contains(err.Error(), "the role r has no policy here") {
			t.Errorf("%s: without a policy: %v", mode, err)
		}
		// A policy is in force at once.
		h.roles["r"] = statement("Allow", "lambda:GetFunction", "*", "")
		if _, err := h.Authorize(caller, read); err != nil {
			t.Errorf("%s: with a policy: %v", mode, err)
		}
		h.roles["r"] = statement("Deny", "lambda:InvokeFunction", "*", "")
		if _, err := h.Authorize(caller, invoke("blue")); code(err) != CodeAccessDenied {
			t.Errorf("%s: a denial: %v", mode, err)
		}
	}
}
