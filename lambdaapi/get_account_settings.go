package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
)

type accountSettingsOutput struct {
	AccountLimit struct {
		TotalCodeSize                  int64
		CodeSizeUnzipped               int64
		CodeSizeZipped                 int64
		ConcurrentExecutions           int
		UnreservedConcurrentExecutions int
	}
	AccountUsage struct {
		TotalCodeSize int64
		FunctionCount int
	}
}

func getAccountSettings(a *API, _ context.Context, _ alcove.Caller, _ *call) (reply, error) {
	var out accountSettingsOutput
	out.AccountLimit.TotalCodeSize = a.CodeStorage
	out.AccountLimit.CodeSizeUnzipped = alcove.MaxUnzipped
	out.AccountLimit.CodeSizeZipped = alcove.MaxZipped
	out.AccountLimit.ConcurrentExecutions = a.Concurrency
	out.AccountLimit.UnreservedConcurrentExecutions = a.Catalog.Unreserved()
	out.AccountUsage.TotalCodeSize, out.AccountUsage.FunctionCount = a.Catalog.Totals()
	return reply{status: http.StatusOK, body: out}, nil
}
