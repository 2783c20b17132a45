package testnode

import (
	"testing"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TryEvent sends an event and gives its request id. A function without tenants has the
// empty one.
func (n *Node) TryEvent(t *testing.T, function, tenant, payload string) (string, error) {
	in := &lambda.InvokeInput{FunctionName: &function, InvocationType: types.InvocationTypeEvent, Payload: []byte(payload)}
	if tenant != "" {
		in.TenantId = &tenant
	}
	out, err := n.Lambda.Invoke(t.Context(), in)
	if err != nil {
		return "", err
	}
	if out.StatusCode != 202 || len(out.Payload) > 0 {
		t.Errorf("an event is answered with %d and %s", out.StatusCode, out.Payload)
	}
	id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	return id, nil
}
