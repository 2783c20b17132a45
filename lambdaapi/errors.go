package lambdaapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
)

// Codes that only this API answers with.
const (
	codeUnknownOperation = "UnknownOperationException"
	codeSerialization    = "SerializationException"
	// codeUnsupported answers for operations and members that are not there
	// yet: a client error, so that SDKs do not try again.
	codeUnsupported = "UnsupportedOperationException"
)

// shape is how an error of some code goes over the wire.
type shape struct {
	status int
	// member is what the text is called: AWS spells it in two ways.
	member string
	// bare errors have no Type member: those that AWS's front end answers with.
	bare bool
}

// shapeOf gives the shape of an error code (Lambda API reference, "Errors" of
// the operations; the spelling is botocore's, lambda 2015-03-31).
func shapeOf(code string, fault alcove.Fault) shape {
	switch code {
	case alcove.CodeInvalidParameterValue, alcove.CodeInvalidRequestContent, alcove.CodeCodeStorageExceeded,
		codeUnsupported, "PolicyLengthExceededException", "AliasLimitExceededException":
		return shape{status: http.StatusBadRequest, member: "message"}
	case "CodeVerificationFailedException":
		return shape{status: http.StatusBadRequest, member: "Message"}
	case "ProvisionedConcurrencyConfigNotFoundException":
		return shape{status: http.StatusNotFound, member: "message"}
	case alcove.CodeResourceNotFound, "CodeSigningConfigNotFoundException":
		return shape{status: http.StatusNotFound, member: "Message"}
	case alcove.CodeResourceConflict:
		return shape{status: http.StatusConflict, member: "message"}
	case alcove.CodePreconditionFailed:
		return shape{status: http.StatusPreconditionFailed, member: "message"}
	case alcove.CodeTooManyRequests:
		return shape{status: http.StatusTooManyRequests, member: "message"}
	case alcove.CodeRequestTooLarge:
		return shape{status: http.StatusRequestEntityTooLarge, member: "message"}
	case alcove.CodeRequestEntityTooLarge:
		return shape{status: http.StatusRequestEntityTooLarge, member: "message", bare: true}
	case "ResourceNotReadyException", "InvalidRuntimeException":
		return shape{status: http.StatusBadGateway, member: "message"}
	case "InvalidZipFileException":
		return shape{status: http.StatusBadGateway, member: "Message"}
	case alcove.CodeValidation, codeSerialization, "IncompleteSignatureException":
		return shape{status: http.StatusBadRequest, member: "message", bare: true}
	case "MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException":
		return shape{status: http.StatusForbidden, member: "message", bare: true}
	case "AccessDeniedException":
		return shape{status: http.StatusForbidden, member: "Message", bare: true}
	case codeUnknownOperation:
		return shape{status: http.StatusNotFound, member: "message", bare: true}
	case alcove.CodeService:
		return shape{status: http.StatusInternalServerError, member: "Message"}
	}
	if fault == alcove.FaultClient {
		return shape{status: http.StatusBadRequest, member: "message"}
	}
	return shape{status: http.StatusInternalServerError, member: "message"}
}

// writeError answers with err. The details of what is the platform's fault go to
// the log and nowhere else.
func (a *API) writeError(w http.ResponseWriter, r *http.Request, requestID, operation string, err error) {
	e := alcove.AsError(err)
	if e.Fault == alcove.FaultPlatform {
		level := slog.LevelError
		if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
			level = slog.LevelDebug // the caller hung up
		}
		a.Log.Log(r.Context(), level, "request failed", "operation", operation, "requestId", requestID, "error", err)
	}
	s := shapeOf(e.Code, e.Fault)
	body := map[string]any{s.member: e.Message}
	if !s.bare {
		body["Type"] = "User"
		if e.Fault == alcove.FaultPlatform {
			body["Type"] = "Service"
		}
	}
	if e.Reason != "" {
		body["Reason"] = e.Reason
	}
	h := w.Header()
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	if e.Limit != "" {
		h["X-Alcove-Limit"] = []string{string(e.Limit)}
	}
	h["X-Amzn-Errortype"] = []string{e.Code}
	text, err := json.Marshal(body)
	if err != nil { // a map of strings
		panic(err)
	}
	write(w, s.status, requestID, text)
}

// write sends an answer that is JSON, or has no body.
func write(w http.ResponseWriter, status int, requestID string, body []byte) {
	h := w.Header()
	h["X-Amzn-Requestid"] = []string{requestID}
	if len(body) == 0 {
		w.WriteHeader(status)
		return
	}
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller may have gone
}

// unsupported is the answer for what AWS has and this program does not have yet.
func unsupported(format string, args ...any) *alcove.Error {
	return alcove.ClientError(codeUnsupported, format, args...)
}

// unsupportedMember is the answer for a member of a request that is not there
// yet, given a value other than its empty one.
func unsupportedMember(name string) *alcove.Error {
	return alcove.InvalidParameter("%s is not supported yet. Remove it from your request and try again.", name)
}
