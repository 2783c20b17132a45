// Package stsapi answers the one operation of AWS STS that tools ask before they
// do anything else: GetCallerIdentity. It speaks the query protocol, form in and
// XML out, and keeps no state.
package stsapi

import (
	"encoding/xml"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// Config is what an [API] is made from.
type Config struct {
	// Authenticate says who made a request whose whole body is given. Its
	// errors are *[alcove.Error].
	Authenticate func(r *http.Request, body []byte) (alcove.Caller, error)
	// Authorize keeps a record of the call. Nobody is refused, as on AWS:
	// GetCallerIdentity needs no permission.
	Authorize func(caller alcove.Caller, o auth.Operation) (*auth.Scope, error)
	// Log gets what is the platform's fault.
	Log *slog.Logger
}

// API serves STS.
type API struct{ Config }

// New makes an API.
func New(c Config) *API { return &API{c} }

const (
	version   = "2011-06-15"
	namespace = "https://sts.amazonaws.com/doc/" + version + "/"
	// maxBody bounds a form; GetCallerIdentity's has 43 bytes.
	maxBody     = 64 << 10
	bodyTimeout = 10 * time.Second
)

// identity is the answer to GetCallerIdentity.
type identity struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	Namespace string   `xml:"xmlns,attr"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// ServeHTTP answers a request of the query protocol.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := uuid.NewString()
	caller, err := a.answer(w, r, requestID)
	if err != nil {
		a.writeError(w, requestID, err)
		return
	}
	write(w, http.StatusOK, requestID, identity{Namespace: namespace, ARN: caller.ARN, UserID: caller.UserID, Account: caller.Account, RequestID: requestID})
}

func (a *API) answer(w http.ResponseWriter, r *http.Request, requestID string) (alcove.Caller, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" || r.Method != http.MethodPost {
		return alcove.Caller{}, alcove.ClientError("MalformedQueryString", "A request is a POST of a form.")
	}
	control := http.NewResponseController(w)
	// Writers of tests cannot do it; the server's can.
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return alcove.Caller{}, alcove.ClientError("MalformedQueryString", "The request body could not be read.")
	}
	if len(body) > maxBody {
		return alcove.Caller{}, alcove.ClientError("RequestEntityTooLarge", "The request is too large.")
	}
	caller, err := a.Authenticate(r, body)
	if err != nil {
		return alcove.Caller{}, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return alcove.Caller{}, alcove.ClientError("MalformedQueryString", "The form is malformed.")
	}
	switch action := form.Get("Action"); {
	case action == "":
		return alcove.Caller{}, alcove.ClientError("MissingAction", "The request must contain the parameter Action.")
	case action != "GetCallerIdentity" || form.Get("Version") != version:
		return alcove.Caller{}, alcove.ClientError("InvalidAction", "Could not find operation %.64q for version %.32q. Only GetCallerIdentity for version %q is here.",
			action, form.Get("Version"), version)
	}
	_, err = a.Authorize(caller, auth.Operation{Action: "sts:GetCallerIdentity", Resource: "*", Free: true, Request: r, RequestID: requestID})
	return caller, err
}

// failure is an error of the query protocol.
type failure struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func (a *API) writeError(w http.ResponseWriter, requestID string, err error) {
	e := alcove.AsError(err)
	out := failure{Namespace: namespace, Type: "Sender", Code: e.Code, Message: e.Message, RequestID: requestID}
	status := http.StatusBadRequest
	switch e.Code {
	// The query protocol has names of its own for these.
	case "MissingAuthenticationTokenException":
		out.Code, status = "MissingAuthenticationToken", http.StatusForbidden
	case "UnrecognizedClientException":
		out.Code, status = "InvalidClientTokenId", http.StatusForbidden
	case "InvalidSignatureException":
		out.Code, status = "SignatureDoesNotMatch", http.StatusForbidden
	case "IncompleteSignatureException":
		out.Code = "IncompleteSignature"
	case "AccessDeniedException":
		out.Code, status = "AccessDenied", http.StatusForbidden
	case "RequestEntityTooLarge":
		status = http.StatusRequestEntityTooLarge
	}
	if e.Fault == alcove.FaultPlatform {
		a.Log.Error("request failed", "operation", "sts", "requestId", requestID, "error", err)
		out.Type, out.Code, status = "Receiver", "InternalFailure", http.StatusInternalServerError
	}
	write(w, status, requestID, out)
}

func write(w http.ResponseWriter, status int, requestID string, body any) {
	text, err := xml.Marshal(body)
	if err != nil { // structs of strings
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/xml")
	h.Set("X-Amzn-RequestId", requestID)
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller may have gone
}
