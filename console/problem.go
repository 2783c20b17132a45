package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/alcove-run/alcove"
)

// problem is an error that a reader can understand: what happened, and what to
// do next.
type problem struct {
	Status        int
	Title, Detail string
	Next          string // what to do, where Detail is the API's and does not say
	Code          string // the API's, if it was the API that refused
	SignIn        bool   // that is what helps
}

// Error implements error.
func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func notFound(detail string) *problem {
	return &problem{Status: http.StatusNotFound, Title: "Not found", Detail: detail}
}

func badInput(detail string) *problem {
	return &problem{Status: http.StatusBadRequest, Title: "Something in the form is not right", Detail: detail}
}

// refused is an answer of alcove's own API, or of CloudWatch Logs, that is an
// error.
type refused struct {
	status        int
	code, message string
}

// Error implements error.
func (r *refused) Error() string { return r.code + ": " + r.message }

// explain makes a problem of any error.
func explain(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &problem{Status: http.StatusGatewayTimeout, Title: "The node took too long", Detail: "It may be busy: try again in a moment."}
	}
	status, code, message := 0, "", ""
	var api smithy.APIError
	var response *smithyhttp.ResponseError
	var own *refused
	var domain *alcove.Error
	switch {
	case errors.As(err, &own):
		status, code, message = own.status, own.code, own.message
	case errors.As(err, &api):
		status, code, message = http.StatusBadRequest, api.ErrorCode(), api.ErrorMessage()
		if errors.As(err, &response) {
			status = response.HTTPStatusCode()
		}
	case errors.As(err, &domain):
		status, code, message = http.StatusForbidden, domain.Code, domain.Message
	default:
		return &problem{Status: http.StatusInternalServerError, Title: "The console failed", Detail: "The node's own log has the reason."}
	}
	p = &problem{Status: status, Code: code, Detail: message, Title: "The node refused"}
	switch {
	case code == "UnrecognizedClientException" || code == "InvalidSignatureException":
		p.Status, p.Title, p.SignIn = http.StatusUnauthorized, "Your key is not accepted any more", true
		p.Detail = "It was deleted, disabled or replaced. Sign in with another one."
	case strings.HasPrefix(code, "AccessDenied"):
		p.Title = "Your key may not do this"
		p.Next = "Whoever runs the node can give you a key whose policy allows it: alcove keys create."
	case strings.HasPrefix(code, "ResourceNotFound"):
		p.Title = "Not found"
		p.Next = "It may have been deleted, or its name is written differently: the lists have what there is."
	case strings.HasPrefix(code, "ResourceConflict"):
		p.Title = "Something else is under way, or of this name"
		p.Next = "If an update is under way, wait until it is done and try again; if the name is taken, choose another."
	case strings.HasPrefix(code, "TooManyRequests") && strings.Contains(message, "logs are followed"):
		p.Title = "Too many logs are followed"
		p.Next = "Close pages that follow one, or end an alcove logs --follow, then try again."
	case strings.HasPrefix(code, "TooManyRequests"):
		p.Title = "Too many at once"
		p.Next = "Try again in a moment. If it stays so, look at the function's reserved concurrency and at who is busy on the floor."
	case code == "PreconditionFailedException":
		p.Title, p.Detail = "Somebody else changed it meanwhile", "Reload the page to see what is there now, then make your change again; nothing was overwritten."
	case status >= http.StatusInternalServerError:
		p.Title = "The node failed"
		p.Next = "Try again; if it fails again, the node's own log has the reason."
	default:
		p.Next = "Change what it says and send it again; nothing was changed."
	}
	return p
}

// problemEvent is a problem as scripts take it that follow a stream.
type problemEvent struct {
	Title  string `json:"title"`
	Detail string `json:"detail"` // what to do included
	SignIn bool   `json:"signIn,omitempty"`
	Again  bool   `json:"again,omitempty"` // it may be otherwise in a while
}

func (p *problem) event() problemEvent {
	return problemEvent{Title: p.Title, Detail: strings.TrimSpace(p.Detail + " " + p.Next), SignIn: p.SignIn,
		Again: p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError}
}

// fail answers with an error.
func (c *Console) fail(q *request, err error) {
	p := explain(err)
	if p.Status >= http.StatusInternalServerError {
		c.Log.Error("console: request failed", "path", q.URL.Path, "error", err)
	}
	if p.Status < http.StatusBadRequest {
		p.Status = http.StatusBadRequest
	}
	answer := func() error { return q.render(p.Status, "problem", p.Title, "", p) }
	switch {
	case strings.HasPrefix(q.Header.Get("Accept"), "text/event-stream"):
		answer = func() error { return q.renderEvent(p) }
	case q.fragment():
		answer = func() error { return q.renderPart(p.Status, "problem", "problem", p) }
	}
	if err := answer(); err != nil {
		c.Log.Error("console: the page of an error failed", "error", err)
		http.Error(q.w, p.Title, p.Status)
	}
}

// renderEvent answers a script that wants a stream of events.
func (q *request) renderEvent(p *problem) error {
	b, err := json.Marshal(p.event())
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/json")
	q.w.WriteHeader(p.Status)
	_, _ = q.w.Write(b) // the connection is all that can fail
	return nil
}

// refuse makes what went wrong with a page's own form a part of the page, so that
// nothing typed is lost, and gives the status of the answer.
func refuse(to **problem, err error) int {
	if err == nil {
		return http.StatusOK
	}
	*to = explain(err)
	return max((*to).Status, http.StatusBadRequest)
}

// denied says whether the key of who looks may not do something.
func denied(err error) bool {
	return err != nil && strings.HasPrefix(explain(err).Code, "AccessDenied")
}

// explainIf is explain of an error, if there is one.
func explainIf(err error) *problem {
	if err == nil {
		return nil
	}
	return explain(err)
}
