package auth

import "github.com/alcove-run/alcove"

// Codes of this package's errors (AWS, "Common errors" of every API reference).
// REST and JSON services answer with these names; query services have names of
// their own for them.
const (
	CodeMissingToken        = "MissingAuthenticationTokenException" // 403
	CodeUnrecognizedClient  = "UnrecognizedClientException"         // 403
	CodeInvalidSignature    = "InvalidSignatureException"           // 403
	CodeIncompleteSignature = "IncompleteSignatureException"        // 400
	CodeExpiredToken        = "ExpiredTokenException"               // 403
	CodeAccessDenied        = "AccessDeniedException"               // 403
)

func invalid(format string, args ...any) *alcove.Error {
	return alcove.ClientError(CodeInvalidSignature, format, args...)
}
