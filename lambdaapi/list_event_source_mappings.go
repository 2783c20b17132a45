package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

type listMappingsInput struct {
	EventSourceArn *string `from:"query" is:"Arn"`
	FunctionName   *string `from:"query" is:"NamespacedFunctionName"`
	listInput
}

type listMappingsOutput struct {
	EventSourceMappings []struct{}
}

// listMappings answers that there are none, as none can be made: deployers ask
// before each deployment, to see which of theirs have to go.
func listMappings(*API, context.Context, alcove.Caller, *call, *listMappingsInput) (reply, error) {
	return reply{status: http.StatusOK, body: listMappingsOutput{[]struct{}{}}}, nil
}
