// Package gateway is the handler of the one listener: it tells the services
// apart that share it and hands each request on. It reads the request line and
// headers, no body and no credential, and answers itself only what belongs to
// nobody. Its server (front.go) reads invocations in their plain form without
// net/http, which has all other requests.
package gateway

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/alcove-run/alcove/internal/intake"
	"github.com/alcove-run/alcove/urlapi"
)

// Config names the handlers.
type Config struct {
	Lambda http.Handler // dated paths, such as /2015-03-31/functions, and /code/
	Logs   http.Handler // CloudWatch Logs
	STS    http.Handler
	// Metrics is CloudWatch; nil is a node without it.
	Metrics http.Handler
	// Prometheus answers /metrics; nil is a node without it.
	Prometheus http.Handler
	Node       http.Handler // /alcove/v1/: our own API
	// URLs are the functions' own, which are known by their host names; nil is a
	// node that serves none.
	URLs http.Handler
	// Console is the pages under /console/; nil is a node without them.
	Console http.Handler
	// Bodies is the memory for what requests carry; nil is for requests that are
	// counted elsewhere.
	Bodies *intake.Budget
}

// offered are the services that have something here, as signatures name them.
var offered = map[string]bool{"lambda": true, "logs": true, "monitoring": true, "sts": true}

const offers = "Lambda, and parts of CloudWatch, CloudWatch Logs and STS"

// logsTarget is the prefix of X-Amz-Target, which the JSON services are told
// apart by.
const logsTarget = "Logs_20140328."

// CloudWatch's requests have a target, a path (Smithy RPC v2), or nothing but the
// service that they are signed for (AWS Query).
const (
	metricsTarget = "GraniteServiceVersion20100801."
	metricsPath   = "/service/GraniteServiceVersion20100801/"
)

type gateway struct{ Config }

// New makes the handler.
func New(c Config) http.Handler { return &gateway{c} }

// Limits of the server. Bodies have theirs in the APIs; answers have none,
// because an invocation may take a quarter of an hour.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	// longest is as much of a body as any API reads: a deployment package.
	longest = 72 << 20
)

// NewServer makes a server for h, a Gate, with the limits that a listener open to
// anybody needs. The log gets, at level debug, what is wrong with connections.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// ServeHTTP hands r on.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// By its host a request is a function's, whatever its path, or never is.
	_, isURL := urlapi.ID(r.Host)
	isURL = isURL && g.URLs != nil
	if g.Bodies != nil && r.ContentLength != 0 {
		// Bodies are read before it is known who sends them.
		body, err := g.Bodies.Take(w, r, longest, isURL)
		if err != nil {
			busy(w, r)
			return
		}
		defer body.Done()
	}
	if isURL {
		g.URLs.ServeHTTP(w, r)
		return
	}
	service := signedFor(r.Header.Get("Authorization"))
	switch h := g.choose(r, service); {
	case h != nil:
		h.ServeHTTP(w, r)
	case offered[service]:
		refuse(w, r, service, http.StatusNotFound, unknown, "The request is signed for the service '"+service+"', and is none of its requests that are answered here. "+
			"This endpoint offers "+offers+".")
	case service != "":
		// No 404: a client that looks whether something is there would believe it.
		refuse(w, r, service, http.StatusBadRequest, unsupported, "The request is signed for the service '"+service+"', which this endpoint does not offer. It offers "+offers+
			". AWS_ENDPOINT_URL_LAMBDA sets the endpoint of Lambda alone, AWS_ENDPOINT_URL that of every service.")
	default:
		text := "There is nothing at this path."
		if g.Console != nil {
			text += " The console is at /console/."
		}
		refuse(w, r, service, http.StatusNotFound, unknown, text)
	}
}

// choose gives the handler of a request, or nil.
func (g *gateway) choose(r *http.Request, service string) http.Handler {
	path := r.URL.Path
	switch {
	case dated(path):
		// Other services have dated paths too.
		if service == "" || service == "lambda" {
			return g.Lambda
		}
	case path == "/" || path == "":
		if g.Console != nil && r.Method == http.MethodGet && service == "" && strings.Contains(r.Header.Get("Accept"), "text/html") {
			return http.RedirectHandler("/console/", http.StatusFound) // somebody's browser
		}
		return g.chooseByHeader(r, service)
	case strings.HasPrefix(path, "/alcove/v1/"):
		return g.Node
	case path == "/metrics" && g.Prometheus != nil:
		return g.Prometheus
	case strings.HasPrefix(path, metricsPath):
		return g.Metrics
	case strings.HasPrefix(path, "/code/"):
		return g.Lambda
	case strings.HasPrefix(path, "/console/") && g.Console != nil:
		return g.Console
	case path == "/console" && g.Console != nil:
		return http.RedirectHandler("/console/", http.StatusFound)
	}
	return nil
}

// chooseByHeader tells the services apart whose requests all go to "/".
func (g *gateway) chooseByHeader(r *http.Request, service string) http.Handler {
	target := r.Header.Get("X-Amz-Target")
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	switch {
	case strings.HasPrefix(target, logsTarget):
		return g.Logs
	case strings.HasPrefix(target, metricsTarget), target == "" && r.Method == http.MethodPost && form && service == "monitoring":
		return g.Metrics
	case target == "" && r.Method == http.MethodPost && form && (service == "sts" || service == ""):
		return g.STS
	}
	return nil
}

// dated says whether a path begins as Lambda's do: /2015-03-31/.
func dated(path string) bool {
	const form = "/0000-00-00/"
	if len(path) < len(form) {
		return false
	}
	for i := range len(form) {
		if c := path[i]; form[i] == '0' && (c < '0' || c > '9') || form[i] != '0' && c != form[i] {
			return false
		}
	}
	return true
}

// signedFor is the service that an Authorization header's credential scope
// names: Credential=key/date/region/service/aws4_request. It proves nothing.
func signedFor(authorization string) string {
	_, scope, ok := strings.Cut(authorization, "Credential=")
	if !ok {
		return ""
	}
	scope, _, _ = strings.Cut(scope, ",")
	parts := strings.Split(scope, "/")
	if len(parts) < 5 {
		return ""
	}
	service := parts[len(parts)-2]
	for i := range len(service) {
		if c := service[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return ""
		}
	}
	return service[:min(len(service), 64)]
}
