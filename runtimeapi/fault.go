package runtimeapi

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Types of a [Fault] that this package makes up itself.
const (
	// TypeTruncated means that a connection broke, or a body ended too early,
	// in the middle of an answer: the environment's state is unknown.
	TypeTruncated       = "Runtime.TruncatedResponse"
	TypeRuntimeUnknown  = "Runtime.Unknown"
	TypeFunctionUnknown = "Function.Unknown"
)

// maxFaultType is the longest error type that is kept: it goes into log records
// and reports.
const maxFaultType = 128

var faultTypePattern = regexp.MustCompile(`^(Runtime|Function)\.[A-Z][a-zA-Z]+$`)

// faultType is the rule by which a type that a runtime gave is taken or
// replaced (runtime interface emulator, fatalerror.go; anchored here, because
// the rest of the string would end up in logs).
func faultType(given string) string {
	switch {
	case len(given) <= maxFaultType && faultTypePattern.MatchString(given):
		return given
	case strings.HasPrefix(given, "Function."):
		return TypeFunctionUnknown
	}
	return TypeRuntimeUnknown
}

// maxXRayCause is the largest X-Ray document.
const maxXRayCause = 64 << 10

// xrayCause checks a cause: a JSON object with at least one member that X-Ray
// knows. Anything else, and one that is too large, is dropped; it is not worth
// failing an answer for.
func xrayCause(raw []byte) []byte {
	if len(raw) == 0 || len(raw) > maxXRayCause {
		return nil
	}
	var known struct {
		Exceptions []json.RawMessage `json:"exceptions"`
		WorkingDir string            `json:"working_directory"`
		Paths      []string          `json:"paths"`
		Message    string            `json:"message"`
	}
	if json.Unmarshal(raw, &known) != nil {
		return nil
	}
	if len(known.Exceptions) == 0 && known.WorkingDir == "" && len(known.Paths) == 0 && known.Message == "" {
		return nil
	}
	return append([]byte(nil), raw...)
}
