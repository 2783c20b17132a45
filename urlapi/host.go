package urlapi

import (
	"net"
	"strings"
)

// ID is the id of the function URL that a Host header names, as in
// ID.lambda-url.REGION.NAME, whatever the name and in any case.
func ID(host string) (id string, ok bool) {
	id, rest, ok := strings.Cut(host, ".")
	const label = "lambda-url."
	if !ok || len(rest) < len(label) || !strings.EqualFold(rest[:len(label)], label) || id == "" {
		return "", false
	}
	return strings.ToLower(id), true
}

// bareHost is a Host header without its port, and the port.
func bareHost(host string) (name, port string) {
	if h, p, err := net.SplitHostPort(host); err == nil {
		return h, p
	}
	return host, ""
}
