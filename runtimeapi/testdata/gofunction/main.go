// Command gofunction is a function made with the official Go client.
package main

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func main() {
	lambda.Start(func(ctx context.Context, in struct{ Do string }) (any, error) {
		switch in.Do {
		case "error":
			return nil, errors.New("this went wrong")
		case "long error":
			return nil, errors.New(strings.Repeat("long ", 20000))
		case "large":
			return strings.Repeat("x", 5<<20), nil
		case "too large":
			return strings.Repeat("x", 7<<20), nil
		}
		lc, _ := lambdacontext.FromContext(ctx)
		_, deadline := ctx.Deadline()
		return map[string]any{"id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "tenant": lc.TenantID,
			"custom": lc.ClientContext.Custom["k"], "deadline": deadline}, nil
	})
}
