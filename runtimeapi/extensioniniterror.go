package runtimeapi

import "net/http"

// extensionInitError answers POST /extension/init/error.
func extensionInitError(s *Server, x Extensions, w http.ResponseWriter, r *http.Request) {
	s.extensionFailed(x, w, r, true)
}

// extensionFailed takes an extension's word that it has failed. The body is the
// extension's account of it; nobody reads that (nor does AWS show it).
func (s *Server) extensionFailed(x Extensions, w http.ResponseWriter, r *http.Request, inInit bool) {
	id, err := identified(r)
	if err != nil {
		s.refuseExtension(w, r, err)
		return
	}
	kind := r.Header.Get(headerExtensionError)
	if kind == "" {
		s.refuseExtension(w, r, &Refusal{TypeMissingHeader, headerExtensionError + " not found"})
		return
	}
	if len(kind) > maxExtensionText {
		kind = kind[:maxExtensionText]
	}
	if err := x.ExtensionFailed(id, inInit, kind); err != nil {
		s.refuseExtension(w, r, err)
		return
	}
	renderAccepted(w)
}
