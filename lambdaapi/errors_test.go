package lambdaapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/invoke"
)

func TestErrorShapes(t *testing.T) {
	n := newNode(t)
	for _, c := range []struct {
		err    *alcove.Error
		status int
		body   string
	}{
		{alcove.InvalidParameter("m"), 400, `{"Type":"User","message":"m"}`},
		{alcove.ClientError(alcove.CodeInvalidRequestContent, "m"), 400, `{"Type":"User","message":"m"}`},
		{alcove.ClientError(alcove.CodeCodeStorageExceeded, "m"), 400, `{"Type":"User","message":"m"}`},
		{alcove.NotFound("arn"), 404, `{"Message":"Function not found: arn","Type":"User"}`},
		{alcove.ClientError(alcove.CodeResourceConflict, "m"), 409, `{"Type":"User","message":"m"}`},
		{alcove.ClientError(alcove.CodePreconditionFailed, "m"), 412, `{"Type":"User","message":"m"}`},
		{alcove.ClientError(alcove.CodeRequestTooLarge, "m"), 413, `{"Type":"User","message":"m"}`},
		{alcove.ClientError(alcove.CodeRequestEntityTooLarge, "m"), 413, `{"message":"m"}`},
		{alcove.ClientError(alcove.CodeTooManyRequests, "m"), 429, `{"Type":"User","message":"m"}`},
		{alcove.ClientError(alcove.CodeValidation, "m"), 400, `{"message":"m"}`},
		{alcove.ClientError("ResourceNotReadyException", "m"), 502, `{"Type":"User","message":"m"}`},
		{alcove.ClientError("SomethingException", "m"), 400, `{"Type":"User","message":"m"}`},
		{alcove.ClientError("MissingAuthenticationTokenException", "m"), 403, `{"message":"m"}`},
		{alcove.ClientError("InvalidSignatureException", "m"), 403, `{"message":"m"}`},
		{alcove.ClientError("IncompleteSignatureException", "m"), 400, `{"message":"m"}`},
		{alcove.ClientError("AccessDeniedException", "m"), 403, `{"Message":"m"}`},
		{alcove.PlatformError(errors.New("detail")), 500, `{"Message":"An error occurred and the request cannot be processed.","Type":"Service"}`},
	} {
		w := httptest.NewRecorder()
		n.api.writeError(w, httptest.NewRequest("GET", "/", nil), "id", "Op", c.err)
		if w.Code != c.status || w.Body.String() != c.body || w.Header().Get("X-Amzn-Errortype") != c.err.Code || w.Header().Get("X-Amzn-Requestid") != "id" {
			t.Errorf("%s: %d %s %v", c.err.Code, w.Code, w.Body, w.Header())
		}
	}
}

func TestTooManyRequestsSaysWhichLimit(t *testing.T) {
	n := newNode(t)
	w := httptest.NewRecorder()
	n.api.writeError(w, httptest.NewRequest("GET", "/", nil), "id", "Invoke", &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeTooManyRequests,
		Message: "Rate Exceeded.", Reason: alcove.ReasonConcurrency, Limit: alcove.LimitMemory, RetryAfter: 1500 * time.Millisecond})
	want := `{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}`
	if h := w.Header(); h.Get("X-Alcove-Limit") != "memory" || h.Get("Retry-After") != "2" || w.Body.String() != want {
		t.Errorf("%s %v", w.Body, h)
	}
}

// TestSDKReadsErrors checks the spelling of the message member with the SDK's
// own types: a misspelt one arrives empty.
func TestSDKReadsErrors(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	for _, want := range []error{
		&types.InvalidParameterValueException{}, &types.InvalidRequestContentException{}, &types.CodeStorageExceededException{}, &types.ResourceNotFoundException{},
		&types.ResourceConflictException{}, &types.PreconditionFailedException{}, &types.RequestTooLargeException{}, &types.TooManyRequestsException{},
		&types.ServiceException{}, &types.ResourceNotReadyException{}, &types.InvalidZipFileException{}, &types.PolicyLengthExceededException{},
	} {
		code := reflect.TypeOf(want).Elem().Name()
		n.invoker.answer = func(invoke.Request) (*alcove.Result, error) {
			return nil, alcove.ClientError(code, "the text")
		}
		_, err := n.client.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: aws.String("f")})
		found := reflect.New(reflect.TypeOf(want))
		if !errors.As(err, found.Interface()) {
			t.Errorf("%s arrives as %v", code, err)
			continue
		}
		message := found.Elem().Elem().FieldByName("Message").Interface().(*string)
		if message == nil || *message != "the text" {
			t.Errorf("%s arrives without its text", code)
		}
	}
}

func TestPlatformErrorsShowNoDetail(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	for name, answer := range map[string]func(invoke.Request) (*alcove.Result, error){
		"error": func(invoke.Request) (*alcove.Result, error) { return nil, errors.New("the secret detail") },
		"panic": func(invoke.Request) (*alcove.Result, error) { panic("the secret detail") },
	} {
		n.log.Reset()
		n.invoker.answer = answer
		status, h, text := n.raw(t, "POST", invocations, nil, "{}")
		if status != 500 || text != `{"Message":"An error occurred and the request cannot be processed.","Type":"Service"}` || h.Get("X-Amzn-Errortype") != "ServiceException" {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if log := n.log.String(); !strings.Contains(log, "the secret detail") || !strings.Contains(log, h.Get("X-Amzn-Requestid")) || !strings.Contains(log, "operation=Invoke") {
			t.Errorf("%s: the log is %q", name, log)
		}
	}
}

func TestEveryAnswerHasARequestID(t *testing.T) {
	n := start(t)
	for _, c := range []struct{ method, path string }{{"GET", "/nothing"}, {"GET", "/2015-03-31/functions"}, {"GET", "/2015-03-31/functions/f"}, {"DELETE", "/2015-03-31/functions/f"}, {"GET", CodePath + "x"}} {
		_, h, text := n.raw(t, c.method, c.path, nil, "")
		if len(h.Get("X-Amzn-Requestid")) != 36 {
			t.Errorf("%s %s: %v", c.method, c.path, h)
		}
		if h.Get("Content-Type") != "application/json" || !json.Valid([]byte(text)) {
			t.Errorf("%s %s: %s %q", c.method, c.path, h.Get("Content-Type"), text)
		}
	}
}
