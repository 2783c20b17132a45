package urlapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Cross-origin requests. What a URL's configuration says is answered here, over
// whatever the function says; without one it is the function's own business.

const (
	corsPrefix  = "Access-Control-"
	allowOrigin = corsPrefix + "Allow-Origin"
)

// preflight answers a preflight request to a URL that has a configuration, and
// tells whether it did. The function is not asked: nothing about such a request
// says who makes it.
func preflight(w http.ResponseWriter, q *request) bool {
	c := q.url.Cors
	method := q.Header.Get(corsPrefix + "Request-Method")
	if c == nil || q.Method != http.MethodOptions || method == "" || q.Header.Get("Origin") == "" {
		return false
	}
	h := w.Header()
	if cors(h, q); h.Get(allowOrigin) != "" && allows(c.AllowMethods, method) {
		h.Set(corsPrefix+"Allow-Methods", list(c.AllowMethods, method))
		if asked := q.Header.Get(corsPrefix + "Request-Headers"); asked != "" && len(c.AllowHeaders) > 0 {
			h.Set(corsPrefix+"Allow-Headers", list(c.AllowHeaders, asked))
		}
		if c.MaxAge != nil && *c.MaxAge > 0 {
			h.Set(corsPrefix+"Max-Age", strconv.Itoa(*c.MaxAge))
		}
	} else {
		h.Del(allowOrigin)
		h.Del(corsPrefix + "Allow-Credentials")
	}
	h.Del(corsPrefix + "Expose-Headers")
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusOK)
	return true
}

// cors sets what an answer to any request has, in the place of what the function
// may have said.
func cors(h http.Header, q *request) {
	if q.url == nil || q.url.Cors == nil {
		return
	}
	c := q.url.Cors
	for name := range h {
		if strings.HasPrefix(name, corsPrefix) {
			delete(h, name)
		}
	}
	origin := q.Header.Get("Origin")
	switch {
	case origin == "":
		return
	case slices.Contains(c.AllowOrigins, "*"):
		h.Set(allowOrigin, "*") // which browsers refuse together with credentials
	case slices.ContainsFunc(c.AllowOrigins, func(one string) bool { return strings.EqualFold(one, origin) }):
		h.Set(allowOrigin, origin)
		h.Add("Vary", "Origin")
	default:
		h.Add("Vary", "Origin")
		return
	}
	if c.AllowCredentials != nil && *c.AllowCredentials {
		h.Set(corsPrefix+"Allow-Credentials", "true")
	}
	if len(c.ExposeHeaders) > 0 {
		h.Set(corsPrefix+"Expose-Headers", strings.Join(c.ExposeHeaders, ","))
	}
}

func allows(methods []string, method string) bool {
	return slices.Contains(methods, "*") || slices.Contains(methods, method)
}

// list is what is allowed, or what was asked for if all is: a "*" means all only
// without credentials.
func list(allowed []string, asked string) string {
	if slices.Contains(allowed, "*") {
		return asked
	}
	return strings.Join(allowed, ",")
}
