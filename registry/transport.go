package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/alcove-run/alcove/internal/hostlist"
)

// listed keeps to the list of hosts, and follows redirects that lead to a
// listed host itself: the library refuses every redirect to another private
// address, listed or not. The library follows the others, without end if a
// registry has none, and reads what is no blob into memory up to 100 MiB; both
// are bounded here.
type listed struct {
	hosts hostlist.List
	next  http.RoundTripper
}

const (
	// redirects is how many are followed for what is asked for, whoever follows them.
	redirects = 10
	// maxManifest is what registries take at least, and as a rule at most.
	maxManifest = 4 << 20
)

// errRedirects is a registry that redirects without end.
var errRedirects = errors.New("too many redirects")

// RoundTrip implements http.RoundTripper.
func (t listed) RoundTrip(r *http.Request) (*http.Response, error) {
	first, before := r, 0
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
		before++
	}
	for ; before <= redirects; before++ {
		res, err := t.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		to, err := t.elsewhere(r, res)
		if err != nil {
			_ = res.Body.Close()
			return nil, err
		}
		if to == nil {
			if !strings.Contains(first.URL.Path, "/blobs/") {
				res.Body = &small{res.Body, maxManifest}
			}
			return res, nil
		}
		_, _ = io.CopyN(io.Discard, res.Body, 4096) // so that the connection serves again
		_ = res.Body.Close()
		// Nothing of the request but what it accepts: its credentials are another's.
		next, err := http.NewRequestWithContext(r.Context(), r.Method, to.String(), nil)
		if err != nil {
			return nil, err
		}
		next.Response = res // as http.Client does
		for _, name := range []string{"Accept", "User-Agent", "Range"} {
			if v, ok := r.Header[name]; ok {
				next.Header[name] = v
			}
		}
		r = next
	}
	return nil, fmt.Errorf("%s: %w", r.URL.Host, errRedirects)
}

// elsewhere gives where a response redirects to, if that is another listed host.
// What is at a private address by its number is refused in words of the list's,
// before the library does.
func (t listed) elsewhere(r *http.Request, res *http.Response) (*url.URL, error) {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, nil
	}
	to, err := res.Location()
	if err != nil || to.Host == r.URL.Host {
		return nil, nil
	}
	port := to.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[to.Scheme]
	}
	if t.hosts.Has(to.Hostname(), port) {
		return to, nil
	}
	if ip, err := netip.ParseAddr(to.Hostname()); err == nil && !hostlist.Public(ip) {
		return nil, fmt.Errorf("%s: %w: redirect to a private address", to.Host, hostlist.ErrRefused)
	}
	return nil, nil
}

// small is a body that may have so many bytes.
type small struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (s *small) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p[:min(len(p), s.left+1)])
	if s.left -= n; s.left < 0 {
		return 0, fmt.Errorf("manifest %w: larger than %d bytes", errUnsupported, maxManifest)
	}
	return n, err
}
