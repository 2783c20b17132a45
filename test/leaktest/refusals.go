package leaktest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// refusals sends what a service with tenants must refuse: no id, malformed ids,
// and an id where none belongs.
func (s *session) refusals(ctx context.Context) error {
	if !s.isolated {
		for _, check := range []string{"missing tenant id", "malformed tenant ids", "tenant id on an ordinary function"} {
			s.row(check, Unsupported, "The service has no functions with tenant isolation.")
		}
		return nil
	}
	const want = "InvalidParameterValueException"
	if err := s.refusal(ctx, "missing tenant id", s.name, "", want); err != nil {
		return err
	}
	if err := s.malformed(ctx); err != nil {
		return err
	}
	return s.refusal(ctx, "tenant id on an ordinary function", s.ordinary, "a", want)
}

// refusal expects an invocation to be refused with a 400 and one of the codes.
func (s *session) refusal(ctx context.Context, check, name, tenant, code string) error {
	err := s.bare(ctx, name, tenant)
	got, isAnswer := status(err)
	switch {
	case err != nil && !isAnswer:
		return err
	case err == nil:
		s.row(check, Fail, "The function was invoked all the same.")
	case got == 400 && errorCode(err) == code:
		s.row(check, Pass, "Refused: %s.", errorText(err))
	default:
		s.row(check, Fail, "Refused with status %d and %s, where AWS answers 400 and %s.", got, errorText(err), code)
	}
	return nil
}

// malformed sends ids outside AWS's pattern. Those that the SDK or HTTP itself
// does not let through are not here.
func (s *session) malformed(ctx context.Context) error {
	const check = "malformed tenant ids"
	ids := []string{"bl,ue", "blue;", "bl#ue", "bl$ue", "*", "blue%20", "bl(ue)", `bl"ue`, "bl\\ue", "bl|ue", "blüe", "{}", strings.Repeat("x", 257)}
	var answers []string
	for _, id := range ids {
		err := s.bare(ctx, s.name, id)
		got, isAnswer := status(err)
		switch {
		case err != nil && !isAnswer:
			return fmt.Errorf("tenant %s: %w", clip(id), err)
		case err == nil:
			s.row(check, Fail, "The function was invoked for tenant %s.", clip(id))
			return nil
		case got < 400 || got >= 500:
			s.row(check, Fail, "Tenant %s was answered with status %d and %s.", clip(id), got, errorText(err))
			return nil
		}
		answers = append(answers, errorCode(err))
	}
	s.row(check, Pass, "All %d refused, with %s.", len(ids), answers[0])
	return nil
}

// bare invokes with exactly this tenant id, or none.
func (s *session) bare(ctx context.Context, name, tenant string) error {
	in := &lambda.InvokeInput{FunctionName: &name, Payload: []byte(`{"op":"identify","who":"nobody","run":"` + s.run + `","everybody":[]}`)}
	if tenant != "" {
		in.TenantId = &tenant
	}
	_, err := s.cfg.Client.Invoke(ctx, in)
	return err
}

// status is the HTTP status of an error that the service answered with.
func status(err error) (int, bool) {
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return re.HTTPStatusCode(), true
	}
	return 0, false
}

func errorCode(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return "an error without a name"
}

func errorText(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode() + ": " + strings.TrimSuffix(api.ErrorMessage(), ".")
	}
	return err.Error()
}
