package lambdaapi

import (
	"strings"

	"github.com/alcove-run/alcove"
)

// Longest forms of a function's name, ARN and all: what AWS's model calls
// FunctionName and NamespacedFunctionName.
const (
	maxFunctionName   = 140
	maxNamespacedName = 256
)

// ref reads a function that the path names, with the qualifier beside it.
func (a *API) ref(name, qualifier string, max int) (alcove.Ref, error) {
	if plain(name) && qualifier == "" {
		return alcove.Ref{Name: name}, nil
	}
	var f failures
	// In characters: what is longer only in bytes is refused for its form.
	(&constraint{max: max}).text(&f, "functionName", name)
	if err := f.err(); err != nil {
		return alcove.Ref{}, err
	}
	return a.Place.ParseRef(name, qualifier)
}

// plain says whether s is a bare name, which most callers send: it spares them
// AWS's pattern.
func plain(s string) bool {
	if s == "" || len(s) > alcove.MaxNameLength {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// qualified reads the function that a call names, and its qualifier.
func (a *API) qualified(c *call) (alcove.Ref, error) {
	qualifier := c.query.Get("Qualifier")
	if qualifier == "" && c.query.Has("Qualifier") {
		var f failures
		(&constraint{min: 1}).text(&f, "qualifier", qualifier)
		return alcove.Ref{}, f.err()
	}
	return a.ref(c.params[0], qualifier, maxNamespacedName)
}

// functionOnly reads the function that a call names where no version of it may
// be named; $LATEST may if latest is set.
func (a *API) functionOnly(name string, latest bool) (string, error) {
	ref, err := a.ref(name, "", maxFunctionName)
	if err != nil {
		return "", err
	}
	if ref.Qualifier != "" && !(latest && ref.Qualifier == alcove.Latest) {
		return "", alcove.InvalidParameter("This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. " +
			"Please specify either a function name or an unqualified function ARN.")
	}
	return ref.Name, nil
}

// tagged reads the ARN of what tags are asked of: a function, or a code signing
// configuration, of which it gives the id.
func (a *API) tagged(resource string) (function, signing string, err error) {
	parts := strings.Split(resource, ":")
	switch parts[5] {
	case "code-signing-config":
		return "", a.signingID(resource), nil
	case "function":
	case "event-source-mapping":
		return "", "", alcove.ClientError(alcove.CodeResourceNotFound, "Event source mapping not found: %s", resource)
	case "capacity-provider":
		return "", "", alcove.ClientError(alcove.CodeResourceNotFound, "Capacity provider not found: %s", resource)
	default:
		return "", "", alcove.ClientError(alcove.CodeResourceNotFound, "The resource you requested does not exist.")
	}
	ref, err := a.Place.ParseRef(resource, "")
	if err != nil {
		return "", "", err
	}
	if ref.Qualifier != "" {
		return "", "", alcove.InvalidParameter("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return ref.Name, "", nil
}
