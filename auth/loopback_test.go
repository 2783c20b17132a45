package auth

import (
	"net/http/httptest"
	"testing"
)

func TestModeNoneAnswersLoopbackOnly(t *testing.T) {
	a := open(t, ModeNone)
	for _, c := range []struct {
		host string
		ok   bool
	}{
		{"localhost", true}, {"localhost:4566", true}, {"LOCALHOST:4566", true},
		{"127.0.0.1:4566", true}, {"127.0.0.1", true}, {"127.1.2.3:80", true},
		{"[::1]:4566", true}, {"[::1]", true}, {"[::ffff:127.0.0.1]:1", true},
		{"", false}, {"evil.example", false}, {"evil.example:4566", false},
		{"localhost.evil.example:4566", false}, {"127.0.0.1.evil.example", false},
		{"127.0.0.1@evil.example", false}, {"10.0.0.1:4566", false}, {"[::]:4566", false},
		{"0.0.0.0:4566", false}, {"localhost:", false}, {"localhost:45x", false},
		{"[::1%25lo]:1", false}, {"2130706433", false}, {"127.1", false},
		{"localhost:4566:4566", false}, {"[localhost:4566", false},
	} {
		r := httptest.NewRequest("GET", "http://x/2015-03-31/functions", nil)
		r.Host = c.host
		caller, err := a.Authenticate(r, nil)
		if (err == nil) != c.ok || (a.Precheck(r) == nil) != c.ok {
			t.Errorf("host %q: %v", c.host, err)
		}
		if err != nil && code(err) != CodeAccessDenied {
			t.Errorf("host %q: code %s", c.host, code(err))
		}
		if err == nil && (caller.ARN != "arn:aws:iam::000000000000:root" || caller.AccessKeyID != "") {
			t.Errorf("caller %+v", caller)
		}
	}
}

func TestModeNoneRefusesForeignPages(t *testing.T) {
	a := open(t, ModeNone)
	for _, c := range []struct {
		name, value string
		ok          bool
	}{
		{"Origin", "http://localhost:4566", true},
		{"Origin", "https://evil.example", false},
		{"Origin", "http://localhost:3000", false},
		{"Origin", "http://127.0.0.1:4566", false},
		{"Origin", "null", false},
		{"Origin", "", false},
		{"Origin", "://", false},
		{"Sec-Fetch-Site", "none", true},
		{"Sec-Fetch-Site", "same-origin", true},
		{"Sec-Fetch-Site", "same-site", false},
		{"Sec-Fetch-Site", "cross-site", false},
	} {
		r := httptest.NewRequest("POST", "http://localhost:4566/x", nil)
		r.Header.Set(c.name, c.value)
		if _, err := a.Authenticate(r, nil); (err == nil) != c.ok {
			t.Errorf("%s %q: %v", c.name, c.value, err)
		}
	}
	// SDKs always sign: with whatever keys they have.
	r := httptest.NewRequest("POST", "http://localhost:4566/x", nil)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260304/eu-west-1/lambda/aws4_request, SignedHeaders=host, Signature=00")
	if _, err := a.Authenticate(r, nil); err != nil {
		t.Errorf("a signed request: %v", err)
	}
}
