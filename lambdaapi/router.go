package lambdaapi

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/alcove-run/alcove"
)

// maxSegments is the longest path of the table; maxNamed the most of its
// segments that are not literal.
const (
	maxSegments = 7
	maxNamed    = 3
)

// routeKey is what a route is looked up by, before its segments are compared.
type routeKey struct {
	method, first string
	segments      int
}

func index(routes []route) map[routeKey][]*route {
	m := make(map[routeKey][]*route)
	for i := range routes {
		r := &routes[i]
		segments, n := split(r.path)
		key := routeKey{r.method, segments[0], n}
		m[key] = append(m[key], r)
	}
	return m
}

// params are the named segments of a path, decoded, in their order.
type params [maxNamed]string

// find gives the route of a request and its named segments.
func (a *API) find(method, path string, query url.Values) (*route, params, error) {
	segments, n := split(path)
	for _, r := range a.routes[routeKey{method, segments[0], n}] {
		if r.query != "" {
			name, value, _ := strings.Cut(r.query, "=")
			if query.Get(name) != value {
				continue
			}
		}
		if p, ok := match(r.path, segments); ok {
			return r, p, nil
		}
	}
	return nil, params{}, alcove.ClientError(codeUnknownOperation, "No operation of the Lambda API has this method and path.")
}

// match compares a pattern with the segments of a path, which are as many.
func match(pattern string, segments [maxSegments]string) (p params, ok bool) {
	want, n := split(pattern)
	named := 0
	for i := range n {
		if !strings.HasPrefix(want[i], "{") {
			if want[i] != segments[i] {
				return params{}, false
			}
			continue
		}
		value := segments[i]
		if strings.Contains(value, "%") {
			var err error
			if value, err = url.PathUnescape(value); err != nil {
				return params{}, false
			}
		}
		if value == "" {
			return params{}, false
		}
		p[named] = value
		named++
	}
	return p, true
}

// split cuts a path at its slashes. A slash at the end does not count: older
// SDKs send /2015-03-31/functions/. A path that is too long gives no segment.
func split(path string) (segments [maxSegments]string, n int) {
	path = strings.TrimPrefix(path, "/")
	path = strings.TrimSuffix(path, "/")
	for segment := range strings.SplitSeq(path, "/") {
		if n == maxSegments {
			return [maxSegments]string{}, -1
		}
		segments[n] = segment
		n++
	}
	return segments, n
}

// sentPath is the path of r as it was sent: encoded slashes are no separators.
func sentPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath()
}
