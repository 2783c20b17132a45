package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// Extensions is an [Environment] that has, or may have, extensions. Its methods
// are called as those of Environment are. What it refuses is a [*Refusal]; any
// other error is answered as Environment's are.
type Extensions interface {
	// Register makes an extension known by its name, for the events that it wants.
	Register(name string, events []string) (Registered, error)
	// NextEvent blocks until there is an event for the extension, ctx is done, or for
	// ever. The first one of an extension ends its Init.
	NextEvent(ctx context.Context, id string) (ExtensionEvent, error)
	// ExtensionFailed says that an extension has failed: in Init, or later.
	ExtensionFailed(id string, inInit bool, errorType string) error
	// Subscribe has telemetry taken to a listener of an extension's.
	Subscribe(id string, s Subscription) error
	// KnowsExtension refuses an id that is nobody's.
	KnowsExtension(id string) error
}

// Registered is what an extension is told that has registered.
type Registered struct {
	ID, Function, Version, Handler, Account string
}

// Kinds of events of extensions.
const (
	EventInvoke   = "INVOKE"
	EventShutdown = "SHUTDOWN"
)

// ExtensionEvent is an event as GET /extension/event/next hands it out. There is
// no tenant in it: an extension is told nothing of whose invocation it is.
type ExtensionEvent struct {
	Type        string // EventInvoke or EventShutdown
	Deadline    time.Time
	RequestID   string
	FunctionARN string
	TraceID     string // X-Ray trace header, or empty
	Reason      string // of a shutdown
}

// Refusal is why an extension's request is refused: it is the extension's fault.
type Refusal struct{ Type, Message string }

// Error implements error.
func (r *Refusal) Error() string { return "runtimeapi: " + r.Type + ": " + r.Message }

// Types of refusals (runtime interface emulator, handler/constants.go).
const (
	TypeMissingIdentifier = "Extension.MissingExtensionIdentifier"
	TypeInvalidIdentifier = "Extension.InvalidExtensionIdentifier"
	TypeUnknownIdentifier = "Extension.UnknownExtensionIdentifier"
	TypeInvalidName       = "Extension.InvalidExtensionName"
	TypeRegistrationOver  = "Extension.RegistrationClosed"
	TypeInvalidState      = "Extension.InvalidExtensionState"
	TypeMissingHeader     = "Extension.MissingHeader"
	TypeTooManyExtensions = "Extension.TooManyExtensions"
	TypeInvalidEvent      = "Extension.InvalidEventType"
	TypeInvalidFormat     = "InvalidRequestFormat"
)

// BadTransition is the refusal of a request that an extension may not make now.
// from and to are states as AWS names them.
func BadTransition(from, to, extension string) *Refusal {
	return &Refusal{TypeInvalidState, fmt.Sprintf("State transition from %s to %s failed for extension %s. Error: State transition is not allowed", from, to, extension)}
}

// Names of headers of extensions.
const (
	headerExtensionName    = "Lambda-Extension-Name"
	headerExtensionID      = "Lambda-Extension-Identifier"
	headerExtensionFeature = "Lambda-Extension-Accept-Feature"
	headerExtensionError   = "Lambda-Extension-Function-Error-Type"
	headerExtensionEvent   = "Lambda-Extension-Event-Identifier"
)

const (
	// maxExtensionBody is the longest body of a request of an extension's that is read.
	maxExtensionBody = 64 << 10
	// maxExtensionText bounds names and error types, which go into records.
	maxExtensionText = 255
)

// forExtensions is a route that exists where the environment can have extensions.
func forExtensions(handle func(s *Server, x Extensions, w http.ResponseWriter, r *http.Request)) route {
	return func(s *Server, w http.ResponseWriter, r *http.Request, _ string) {
		x, ok := s.env.(Extensions)
		if !ok {
			s.pay(s.idle, 1)
			w.WriteHeader(http.StatusNotFound)
			return
		}
		handle(s, x, w, r)
	}
}

// identified is the extension that a request says it comes from.
func identified(r *http.Request) (string, error) {
	given := r.Header.Get(headerExtensionID)
	if given == "" {
		return "", &Refusal{TypeMissingIdentifier, "Missing Lambda-Extension-Identifier header"}
	}
	id, err := uuid.Parse(given)
	if err != nil {
		return "", &Refusal{TypeInvalidIdentifier, "Invalid Lambda-Extension-Identifier"}
	}
	return id.String(), nil
}

// refuseExtension answers what was refused.
func (s *Server) refuseExtension(w http.ResponseWriter, r *http.Request, err error) {
	s.pay(s.idle, 1+max(0, r.ContentLength)/idleBody)
	if no, ok := errors.AsType[*Refusal](err); ok {
		renderError(w, http.StatusForbidden, no.Type, no.Message)
		return
	}
	s.log.Error("extensions API call failed", "error", err)
	renderError(w, http.StatusInternalServerError, "InternalServerError", "Internal Server Error")
}
