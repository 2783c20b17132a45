package alcove

import (
	"errors"
	"fmt"
	"time"
)

// Fault says who has to act on an [Error].
type Fault int

// The parties at fault.
const (
	FaultPlatform Fault = iota // alcove or its machine: 5xx
	FaultClient                // the caller: 4xx
)

// Error is an error that a caller of the API is meant to see. Code is the name
// of AWS's exception (aws-lambda API reference, "Errors" of each operation),
// Message its text.
type Error struct {
	Fault   Fault
	Code    string
	Message string
	// Reason is TooManyRequestsException's Reason member, else empty.
	Reason string
	// Limit names the limit that a TooManyRequestsException is about, where
	// AWS's reasons do not tell: the X-Alcove-Limit header.
	Limit Limit
	// RetryAfter is the value of a Retry-After header, else zero.
	RetryAfter time.Duration
	// Err is what happened, for the operator's log only.
	Err error
}

// Error gives the code and the message, and what is wrapped: a text for logs,
// not for callers.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return e.Code + ": " + e.Message
}

// Unwrap gives what happened underneath, if anything is known.
func (e *Error) Unwrap() error { return e.Err }

// Names of AWS's exceptions that more than one package answers with.
const (
	CodeInvalidParameterValue = "InvalidParameterValueException"
	CodeResourceNotFound      = "ResourceNotFoundException"
	CodeResourceConflict      = "ResourceConflictException"
	CodePreconditionFailed    = "PreconditionFailedException"
	CodeRequestTooLarge       = "RequestTooLargeException"
	CodeRequestEntityTooLarge = "RequestEntityTooLargeException"
	CodeTooManyRequests       = "TooManyRequestsException"
	CodeInvalidRequestContent = "InvalidRequestContentException"
	CodeCodeStorageExceeded   = "CodeStorageExceededException"
	CodeValidation            = "ValidationException"
	CodeService               = "ServiceException"
	CodeRecursiveInvocation   = "RecursiveInvocationException"
)

// Reasons of a TooManyRequestsException (Lambda's ThrottleReason enum).
const (
	ReasonConcurrency         = "ConcurrentInvocationLimitExceeded"
	ReasonReservedConcurrency = "ReservedFunctionConcurrentInvocationLimitExceeded"
	// ReasonTenantEnvironments is alcove's own: the tenant has its share of the
	// function's environments.
	ReasonTenantEnvironments = "TenantEnvironmentLimitExceeded"
	// ReasonEventQueue is alcove's own, too: as many events wait as may.
	ReasonEventQueue = "EventQueueLimitExceeded"
)

// Limit is alcove's own name of a limit that invocations meet.
type Limit string

// The limits.
const (
	LimitConcurrency         Limit = "concurrency"          // the account's
	LimitReservedConcurrency Limit = "reserved-concurrency" // the function's own
	LimitTenantEnvironments  Limit = "tenant-environments"  // how many tenants a function may have at once
	LimitTenantShare         Limit = "tenant-share"         // how many of those one tenant may have
	LimitEnvironments        Limit = "environments"         // how many the node has file descriptors for
	LimitMemory              Limit = "memory"               // the node's budget for environments
	LimitDisk                Limit = "disk"                 // what /tmp of all environments leaves of the node's disk
	LimitEvents              Limit = "events"               // how many events, or bytes of them, may wait on the node
	LimitTenantEvents        Limit = "tenant-events"        // how many of those may be one tenant's, or one ordinary function's
	LimitIdempotencyKeys     Limit = "idempotency-keys"     // how many results are kept for idempotency keys
)

// ClientError is an [Error] that the caller can mend.
func ClientError(code, format string, args ...any) *Error {
	return &Error{Fault: FaultClient, Code: code, Message: fmt.Sprintf(format, args...)}
}

// InvalidParameter is Lambda's answer to a value that it does not take.
func InvalidParameter(format string, args ...any) *Error {
	return ClientError(CodeInvalidParameterValue, format, args...)
}

// NotFound is the answer for a function, or a version of one, that is not there.
func NotFound(arn string) *Error {
	return ClientError(CodeResourceNotFound, "Function not found: %s", arn)
}

// Throttled is Lambda's answer to an invocation that meets a limit, with the text
// that was recorded from the service. reason is AWS's, limit alcove's own name of
// it; callers may come again in a second.
func Throttled(reason string, limit Limit) *Error {
	return &Error{Fault: FaultClient, Code: CodeTooManyRequests, Message: "Rate Exceeded.",
		Reason: reason, Limit: limit, RetryAfter: time.Second, Err: fmt.Errorf("the limit is %s", limit)}
}

// BeingPurged is the answer to an invocation for a tenant while everything of that
// tenant is taken off the node.
func BeingPurged() *Error {
	return ClientError(CodeResourceConflict, "The operation cannot be performed at this time. The tenant is being purged.")
}

// PlatformError is the answer for a failure that the caller cannot mend; err is
// for the operator and never shown.
func PlatformError(err error) *Error {
	return &Error{Fault: FaultPlatform, Code: CodeService,
		Message: "An error occurred and the request cannot be processed.", Err: err}
}

// AsError gives the [Error] in err's chain, or a platform error that wraps err:
// what nobody foresaw is nobody's fault but ours.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return PlatformError(err)
}
