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
	"github.com/alcove-run/alcove/internal/pump"
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

// shapeOf gives the shape of an error code.
func shapeOf(code string, fault alcove.Fault) shape {
	if s, ok := shapes[code]; ok {
		return s
	}
	if fault == alcove.FaultClient {
		return shape{status: http.StatusBadRequest, member: "message"}
	}
	return shape{status: http.StatusInternalServerError, member: "message"}
}

// shapes are the exceptions of AWS's model (the error fixtures of
// aws-sdk-go-v2, service/lambda), and what its front end answers with.
var shapes = func() map[string]shape {
	all := map[string]shape{}
	add := func(status int, member string, codes ...string) {
		for _, code := range codes {
			all[code] = shape{status: status, member: member}
		}
	}
	add(http.StatusBadRequest, "message", alcove.CodeInvalidParameterValue, alcove.CodeInvalidRequestContent, alcove.CodeCodeStorageExceeded,
		codeUnsupported, "AliasLimitExceededException", "PolicyLengthExceededException", "ModeNotSupportedException",
		"CapacityProviderLimitExceededException", "FunctionVersionsPerCapacityProviderLimitExceededException")
	add(http.StatusBadRequest, "Message", "CodeVerificationFailedException", "InvalidCodeSignatureException", "NoPublishedVersionException",
		"PublicPolicyException", "RecursiveInvocationException", "ResourceInUseException", "SnapStartException", "CallbackTimeoutException")
	add(http.StatusPaymentRequired, "Message", "ServiceQuotaExceededException")
	add(http.StatusForbidden, "Message", "EFSMountFailureException", "S3FilesMountFailureException")
	add(http.StatusNotFound, "Message", alcove.CodeResourceNotFound, "CodeSigningConfigNotFoundException")
	add(http.StatusNotFound, "message", "ProvisionedConcurrencyConfigNotFoundException")
	add(http.StatusRequestTimeout, "Message", "EFSMountConnectivityException", "EFSMountTimeoutException",
		"S3FilesMountConnectivityException", "S3FilesMountTimeoutException", "SnapStartTimeoutException")
	add(http.StatusConflict, "message", alcove.CodeResourceConflict, "CodeArtifactUserDeletedException", "CodeArtifactUserFailedException",
		"CodeArtifactUserPendingException")
	add(http.StatusConflict, "Message", "DurableExecutionAlreadyStartedException", "SnapStartNotReadyException", "SnapStartRegenerationFailureException")
	add(http.StatusGone, "Message", "EFSIOException")
	add(http.StatusPreconditionFailed, "message", alcove.CodePreconditionFailed)
	add(http.StatusRequestEntityTooLarge, "message", alcove.CodeRequestTooLarge, "SerializedRequestEntityTooLargeException")
	add(http.StatusUnsupportedMediaType, "message", "UnsupportedMediaTypeException")
	add(http.StatusTooManyRequests, "message", alcove.CodeTooManyRequests)
	add(http.StatusInternalServerError, "Message", alcove.CodeService)
	add(http.StatusBadGateway, "message", "ResourceNotReadyException")
	add(http.StatusBadGateway, "Message", "InvalidRuntimeException", "InvalidZipFileException", "InvalidSecurityGroupIDException",
		"InvalidSubnetIDException", "SubnetIPAddressLimitReachedException", "ENILimitReachedException", "ENINotReadyException",
		"EC2AccessDeniedException", "EC2ThrottledException", "EC2UnexpectedException",
		"KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException")

	bare := func(status int, member string, codes ...string) {
		for _, code := range codes {
			all[code] = shape{status: status, member: member, bare: true}
		}
	}
	bare(http.StatusBadRequest, "message", alcove.CodeValidation, codeSerialization, "IncompleteSignatureException")
	bare(http.StatusForbidden, "message", "MissingAuthenticationTokenException", "UnrecognizedClientException", "InvalidSignatureException")
	bare(http.StatusForbidden, "Message", "AccessDeniedException")
	bare(http.StatusNotFound, "message", codeUnknownOperation)
	bare(http.StatusRequestEntityTooLarge, "message", alcove.CodeRequestEntityTooLarge)
	return all
}()

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
	pump.Whole(w, body)
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
