package registry

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/alcove-run/alcove/internal/hostlist"
)

// listed keeps to the list of hosts, and follows redirects that lead to a
// listed host itself: the library refuses every redirect to another private
// address, listed or not.
type listed struct {
	hosts hostlist.List
	next  http.RoundTripper
}

// redirects is how many of those are followed for one request.
const redirects = 4

// RoundTrip implements http.RoundTripper.
func (t listed) RoundTrip(r *http.Request) (*http.Response, error) {
	for range redirects {
		res, err := t.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		to := t.elsewhere(r, res)
		if to == nil {
			return res, nil
		}
		_, _ = io.CopyN(io.Discard, res.Body, 4096) // so that the connection serves again
		_ = res.Body.Close()
		// Nothing of the request but what it accepts: its credentials are another's.
		next, err := http.NewRequestWithContext(r.Context(), r.Method, to.String(), nil)
		if err != nil {
			return nil, err
		}
		for _, name := range []string{"Accept", "User-Agent", "Range"} {
			if v, ok := r.Header[name]; ok {
				next.Header[name] = v
			}
		}
		r = next
	}
	return nil, fmt.Errorf("%s: more than %d redirects", r.URL.Host, redirects)
}

// elsewhere gives where a response redirects to, if that is another listed host.
func (t listed) elsewhere(r *http.Request, res *http.Response) *url.URL {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	to, err := res.Location()
	if err != nil || to.Host == r.URL.Host {
		return nil
	}
	port := to.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[to.Scheme]
	}
	if !t.hosts.Has(to.Hostname(), port) {
		return nil
	}
	return to
}
