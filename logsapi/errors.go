package logsapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/logs"
)

// Codes of CloudWatch Logs (API reference, "Errors" of each operation) and of
// its protocol.
const (
	codeInvalidParameter = "InvalidParameterException"
	codeAlreadyExists    = "ResourceAlreadyExistsException"
	codeUnavailable      = "ServiceUnavailableException"
	codeUnknownOperation = "UnknownOperationException"
	codeSerialization    = "SerializationException"
	codeMalformedQuery   = "MalformedQueryException"
	codeLimitExceeded    = "LimitExceededException"
	codeTooManyTags      = "TooManyTagsException"
)

func invalidParameter(format string, args ...any) *alcove.Error {
	return alcove.ClientError(codeInvalidParameter, format, args...)
}

func noGroup() *alcove.Error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "The specified log group does not exist.")
}

func noStream() *alcove.Error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "The specified log stream does not exist.")
}

func invalidToken() *alcove.Error { return invalidParameter("The specified nextToken is invalid.") }

func unknownOperation(name string) *alcove.Error {
	if name == "" {
		return alcove.ClientError(codeUnknownOperation, "The request names no operation of CloudWatch Logs.")
	}
	return alcove.ClientError(codeUnknownOperation, "Operation %.64q is not available here.", name)
}

// storeError gives the store's errors the shape that callers know. Those that
// need words of an operation's own are made there.
func storeError(err error) error {
	switch {
	case errors.Is(err, logs.ErrNoGroup):
		return noGroup()
	case errors.Is(err, logs.ErrNoStream):
		return noStream()
	case errors.Is(err, logs.ErrBadCursor):
		return invalidToken()
	}
	return err
}

// writeError answers with err. Every fault of the client's is a 400 in this
// protocol; its name is in the body.
func (a *API) writeError(w http.ResponseWriter, r *http.Request, requestID string, err error) {
	e := alcove.AsError(err)
	status, code := http.StatusBadRequest, e.Code
	if e.Fault == alcove.FaultPlatform {
		status, code = http.StatusServiceUnavailable, codeUnavailable
		level := slog.LevelError
		if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
			level = slog.LevelDebug // the caller hung up
		}
		a.Log.Log(r.Context(), level, "request failed", "target", r.Header.Get("X-Amz-Target"), "requestId", requestID, "error", err)
	}
	body, err := json.Marshal(struct {
		Type    string             `json:"__type"`
		Message string             `json:"message"`
		Compile *queryCompileError `json:"queryCompileError,omitempty"`
	}{code, e.Message, compileError(err)})
	if err != nil { // two strings
		panic(err)
	}
	write(w, status, requestID, body)
}
