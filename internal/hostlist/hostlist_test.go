package hostlist

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	l, err := Parse([]string{"ghcr.io", "Registry.Lan:5000", "http://plain.lan:5001", "https://tls.lan/", "[::1]:5002", "127.0.0.1:5003"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, port string
		has, plain bool
	}{
		{"ghcr.io", "443", true, false},
		{"GHCR.io.", "443", true, false},
		{"ghcr.io", "80", false, false},
		{"registry.lan", "5000", true, false},
		{"registry.lan", "443", false, false},
		{"plain.lan", "5001", true, true},
		{"tls.lan", "443", true, false},
		{"::1", "5002", true, true},
		{"127.0.0.1", "5003", true, true},
		{"127.0.0.1", "5004", false, false},
		{"evil.ghcr.io", "443", false, false},
	} {
		if got := l.Has(c.host, c.port); got != c.has {
			t.Errorf("Has(%s, %s) = %v", c.host, c.port, got)
		}
		if got := l.Plain(c.host, c.port); got != c.plain {
			t.Errorf("Plain(%s, %s) = %v", c.host, c.port, got)
		}
	}
	for _, bad := range []string{"", "http://", "a b", "user@host", "host/path", "*.io", "host:port", "ftp://host"} {
		if _, err := Parse([]string{bad}); err == nil {
			t.Errorf("%q is taken for a host", bad)
		}
	}
}

func TestPublic(t *testing.T) {
	for _, s := range []string{"1.1.1.1", "140.82.121.3", "2606:4700::1111"} {
		if !Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is not public", s)
		}
	}
	for _, s := range []string{
		"127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
		"224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:1::", "fec0::1",
	} {
		if Public(netip.MustParseAddr(s)) {
			t.Errorf("%s is public", s)
		}
	}
}

// What is listed is reached wherever it is, and what it redirects to only if that
// is listed or public.
func TestTransport(t *testing.T) {
	reached := 0
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer inside.Close()
	to := inside.URL
	listed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}))
	defer listed.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer secure.Close()

	host := func(raw string) string {
		u, _ := url.Parse(raw)
		return u.Host
	}
	l, err := Parse([]string{host(listed.URL)})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: l.Transport()}
	if res, err := client.Get(listed.URL); err != nil || res.StatusCode != 200 {
		t.Fatalf("a listed host: %v", err)
	}
	for _, target := range []string{inside.URL, secure.URL, strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)} {
		to = target
		if _, err := client.Get(listed.URL + "/away"); !errors.Is(err, ErrRefused) {
			t.Errorf("redirected to %s: %v", target, err)
		}
	}
	if reached != 0 {
		t.Errorf("%d requests came through", reached)
	}
	to = inside.URL
	l, _ = Parse([]string{host(listed.URL), host(inside.URL)})
	client.Transport = l.Transport()
	if _, err := client.Get(listed.URL + "/away"); err != nil || reached != 1 {
		t.Errorf("redirected to a listed host: %v", err)
	}
	// By a name whose address is private.
	l, _ = Parse([]string{"127.0.0.1:1"})
	client.Transport = l.Transport()
	if _, err := client.Get(strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)); !errors.Is(err, ErrRefused) {
		t.Errorf("a name of a private address: %v", err)
	}
	if _, err := client.Get("http://example.invalid"); !errors.Is(err, ErrRefused) {
		t.Errorf("plain HTTP: %v", err)
	}
}
