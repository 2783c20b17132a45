package auth

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/alcove-run/alcove"
)

// CheckLoopback refuses what a program on this machine would not send: a request
// by another name than a loopback one (a page whose name was pointed here), with
// the Origin of another site, or that a browser says comes from another site.
// It stands between a node without authentication and the web pages that its
// user looks at.
func CheckLoopback(r *http.Request) error {
	if !loopbackHost(r.Host) {
		return denied("This endpoint runs without authentication and answers only to a loopback name, such as localhost.")
	}
	for _, origin := range r.Header["Origin"] {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.EqualFold(u.Host, r.Host) {
			return denied("This endpoint runs without authentication and answers no page of another origin.")
		}
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "none" && site != "same-origin" {
			return denied("This endpoint runs without authentication and answers no page of another site.")
		}
	}
	return nil
}

// loopbackHost says whether a Host header, with or without a port, names the
// loopback interface.
func loopbackHost(host string) bool {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if port == "" {
			return false
		}
		for i := range len(port) {
			if port[i] < '0' || port[i] > '9' {
				return false
			}
		}
		name = h
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		name = host[1 : len(host)-1]
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}

func denied(text string) *alcove.Error {
	return alcove.ClientError(CodeAccessDenied, "%s", text)
}
