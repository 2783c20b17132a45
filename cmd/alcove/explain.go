package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/alcove-run/alcove"
)

// explain says in the words of this program what a call of the node came to: the
// service's own code and message without the SDK's frame, and what to do next
// where the error does not say.
func (c clientFlags) explain(err error) error {
	var send *smithyhttp.RequestSendError
	var api smithy.APIError
	var answer *smithyhttp.ResponseError
	switch {
	case errors.As(err, &send):
		return c.noNode(send.Err)
	case errors.As(err, &api):
		refusal := c.refused(api.ErrorCode(), api.ErrorMessage())
		if errors.As(err, &answer) && answer.Response != nil {
			if limit := answer.Response.Header.Get("X-Alcove-Limit"); limit != "" {
				return fmt.Errorf("%w (the limit that was reached: %s)", refusal, limit)
			}
		}
		return refusal
	}
	return err
}

// noNode is the error of a call that nobody answered.
func (c clientFlags) noNode(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("no node answers at %s: %w (start one with `alcove serve`, or name it with --endpoint)", c.Endpoint, err)
}

// refused is the error of a call that the service refused.
func (c clientFlags) refused(code, message string) error {
	return fmt.Errorf("%s: %s%s", code, message, c.advice(code, message))
}

// advice is what to do about an answer, empty if its message tells.
func (c clientFlags) advice(code, message string) string {
	switch {
	case code == "UnrecognizedClientException" && os.Getenv("AWS_ACCESS_KEY_ID") != "":
		return " (AWS_ACCESS_KEY_ID is set to a key that this node does not know: set the one that `alcove serve` printed, or unset it to use the root key in the data directory)"
	case code == "UnrecognizedClientException":
		return fmt.Sprintf(" (no key of this node is in AWS_ACCESS_KEY_ID, nor in %s: set the one that `alcove serve` printed, or give the node's --data)",
			filepath.Join(c.dataDir(), rootKeyFile))
	case code == "InvalidSignatureException" && strings.Contains(message, "valid region"):
		return fmt.Sprintf(" (the request was signed for %s: give the node's --region)", c.Region)
	case code == alcove.CodeResourceNotFound && strings.HasPrefix(message, "Function not found"):
		return " (`alcove deploy DIR --name NAME` makes one)"
	case code == alcove.CodeInvalidParameterValue && (strings.HasPrefix(message, "The invoked function is enabled with tenancy") || strings.HasPrefix(message, "Say whose events")):
		return " (here: --tenant ID)"
	case strings.Contains(message, "at 'functionName' failed"):
		return " (a name has letters, digits, - and _; `alcove deploy --name NAME` gives another than the directory's)"
	}
	return ""
}

// refusal reads an error of alcove's own API.
func (c clientFlags) refusal(status string, body []byte) error {
	var e struct{ Code, Message string }
	if json.Unmarshal(body, &e) != nil || e.Code == "" {
		return fmt.Errorf("%s is no alcove node, or one of another version: it answered %s", c.Endpoint, status)
	}
	return c.refused(e.Code, e.Message)
}

// base is the endpoint as a URL.
func (c clientFlags) base() (string, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("--endpoint %s: give a URL, as http://127.0.0.1:4566", c.Endpoint)
	}
	return strings.TrimRight(c.Endpoint, "/"), nil
}

// checkTenant refuses a tenant id that would not arrive as it was given: HTTP
// drops spaces around a header.
func checkTenant(id string) error {
	if id == "" {
		return nil
	}
	if _, err := alcove.ParseTenant(id); err != nil {
		return fmt.Errorf("--tenant %q: %s", id, alcove.AsError(err).Message)
	}
	return nil
}
