package runtimeapi

import "net/http"

// extensionExitError answers POST /extension/exit/error.
func extensionExitError(s *Server, x Extensions, w http.ResponseWriter, r *http.Request) {
	s.extensionFailed(x, w, r, false)
}
