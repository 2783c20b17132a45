// Command go is a function in Go: AWS's own runtime client, unchanged.
//
//	CGO_ENABLED=0 go build -o /tmp/go-function/bootstrap ./examples/go
//	alcove deploy /tmp/go-function --name counter-go --tenant-isolation
//	alcove invoke counter-go --tenant blue
package main

import (
	"context"
	"encoding/json"
	"log"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// answer is what the function answers.
type answer struct {
	Tenant string          `json:"tenant"`
	Count  int             `json:"count"`
	Event  json.RawMessage `json:"event"`
}

func main() {
	count := 0 // of this environment, and so of its tenant alone
	lambda.Start(func(ctx context.Context, event json.RawMessage) (answer, error) {
		lc, _ := lambdacontext.FromContext(ctx)
		count++
		log.Printf("call %d for tenant %s", count, lc.TenantID)
		return answer{Tenant: lc.TenantID, Count: count, Event: event}, nil
	})
}
