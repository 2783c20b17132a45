package runtimeapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// extensionRegister answers POST /extension/register.
func extensionRegister(s *Server, x Extensions, w http.ResponseWriter, r *http.Request) {
	name := r.Header.Get(headerExtensionName)
	switch {
	case name == "":
		s.refuseExtension(w, r, &Refusal{TypeInvalidName, "Empty extension name"})
		return
	case len(name) > maxExtensionText:
		s.refuseExtension(w, r, &Refusal{TypeInvalidName, "Extension name is too long"})
		return
	}
	events, err := registration(r.Body)
	if err != nil {
		s.refuseExtension(w, r, &Refusal{TypeInvalidFormat, err.Error()})
		return
	}
	made, err := x.Register(name, events)
	if err != nil {
		s.refuseExtension(w, r, err)
		return
	}
	answer := struct {
		Account  string `json:"accountId,omitempty"`
		Function string `json:"functionName"`
		Version  string `json:"functionVersion"`
		Handler  string `json:"handler"`
	}{Function: made.Function, Version: made.Version, Handler: made.Handler}
	for feature := range strings.SplitSeq(r.Header.Get(headerExtensionFeature), ",") {
		if strings.TrimSpace(feature) == "accountId" {
			answer.Account = made.Account
		}
	}
	raw, err := json.Marshal(answer)
	if err != nil { // strings always marshal
		panic(err)
	}
	w.Header()[headerExtensionID] = []string{made.ID}
	render(w, http.StatusOK, typeJSON, raw)
}

// registration reads the events of a registration.
func registration(body io.Reader) ([]string, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxExtensionBody+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxExtensionBody {
		return nil, errors.New("request body is too large")
	}
	var in struct {
		Events            []string `json:"events"`
		ConfigurationKeys []string `json:"configurationKeys"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	if len(in.ConfigurationKeys) > 0 {
		return nil, errors.New("configurationKeys are deprecated; use environment variables instead")
	}
	return in.Events, nil
}
