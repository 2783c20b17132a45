package runtimeapi

import (
	"net/http"
	"strings"
)

// route answers one request. id is the request id in the path, for routes that
// have one.
type route func(s *Server, w http.ResponseWriter, r *http.Request, id string)

// invocationPrefix begins the paths that have a request id in them.
const invocationPrefix = "/2018-06-01/runtime/invocation/"

// find gives the routes of a path, by method, and the request id in it.
//
// The path is compared as it was sent: no decoding, no cleaning, no redirect.
func find(path string) (methods map[string]route, id string) {
	if rest, ok := strings.CutPrefix(path, invocationPrefix); ok && rest != "next" {
		id, verb, ok := strings.Cut(rest, "/")
		if !ok || id == "" {
			return nil, ""
		}
		return invocationRoutes[verb], id
	}
	return routes[path], ""
}

// invocationRoutes are the routes below /runtime/invocation/{id}/.
var invocationRoutes = map[string]map[string]route{
	"response": {http.MethodPost: (*Server).invocationResponse},
	"error":    {http.MethodPost: (*Server).invocationError},
}

// routes are all the others.
//
// Left out on purpose: /runtime/restore/*, which exists only for functions with
// SnapStart; /2021-04-23/credentials.
var routes = map[string]map[string]route{
	pingPath:                              {http.MethodGet: (*Server).ping},
	"/2018-06-01/runtime/invocation/next": {http.MethodGet: (*Server).invocationNext},
	"/2018-06-01/runtime/init/error":      {http.MethodPost: (*Server).initError},
	"/2020-01-01/extension/register":      {http.MethodPost: forExtensions(extensionRegister)},
	"/2020-01-01/extension/event/next":    {http.MethodGet: forExtensions(extensionNext)},
	"/2020-01-01/extension/init/error":    {http.MethodPost: forExtensions(extensionInitError)},
	"/2020-01-01/extension/exit/error":    {http.MethodPost: forExtensions(extensionExitError)},
	"/2022-07-01/telemetry":               {http.MethodPut: forExtensions(telemetrySubscribe)},
	"/2020-08-15/logs":                    {http.MethodPut: forExtensions(logsSubscribe)},
	functionPath:                          {http.MethodGet: (*Server).function},
}

// serve answers one request of the sandbox.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	methods, id := find(r.URL.EscapedPath())
	if methods == nil {
		s.pay(s.idle, 1)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	handle := methods[r.Method]
	if handle == nil {
		s.pay(s.idle, 1)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	handle(s, w, r, id)
}
