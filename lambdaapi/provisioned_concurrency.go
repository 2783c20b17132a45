package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/pool"
)

// Provisioner keeps environments of versions ahead of their invocations.
type Provisioner interface {
	Provisioned(v *alcove.Version) pool.ProvisionedStatus
	// RoomFor says whether n environments of v can be kept at all.
	RoomFor(v *alcove.Version, n int) bool
}

// provisionedOutput is what Put and Get answer.
type provisionedOutput struct {
	RequestedProvisionedConcurrentExecutions int
	AllocatedProvisionedConcurrentExecutions int
	AvailableProvisionedConcurrentExecutions int
	Status                                   string
	StatusReason                             string `json:",omitempty"`
	LastModified                             string
}

func (a *API) describeProvisioned(e catalog.ProvisionedEntry) provisionedOutput {
	out := provisionedOutput{RequestedProvisionedConcurrentExecutions: e.Config.Requested, Status: "IN_PROGRESS",
		LastModified: e.Config.LastModified.UTC().Format(timeLayout)}
	failing := false
	for _, v := range e.Versions {
		s := a.Provisioner.Provisioned(v)
		out.AllocatedProvisionedConcurrentExecutions += s.Allocated
		out.AvailableProvisionedConcurrentExecutions += s.Available
		failing = failing || s.Failing
	}
	switch {
	case out.AvailableProvisionedConcurrentExecutions >= e.Config.Requested:
		out.Status = "READY"
	case failing:
		out.Status, out.StatusReason = "FAILED", "FUNCTION_ERROR_INIT_FAILURE"
	}
	return out
}

// provisionedInput names a published version or an alias.
type provisionedInput struct {
	FunctionName *string `from:"path" is:"FunctionName"`
	Qualifier    *string `from:"query" is:"ProvisionedQualifier,required"`
}

func (in *provisionedInput) ref(a *API) (alcove.Ref, error) {
	return a.ref(*in.FunctionName, *in.Qualifier, maxFunctionName)
}

type putProvisionedInput struct {
	provisionedInput
	ProvisionedConcurrentExecutions *int `is:"PositiveInteger,required"`
}

func putProvisioned(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *putProvisionedInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	n := *in.ProvisionedConcurrentExecutions
	made, err := a.Catalog.SetProvisioned(ctx, caller, ref, n, func(v *alcove.Version) error {
		if a.Provisioner.RoomFor(v, n) {
			return nil
		}
		return alcove.InvalidParameter("This node has no room for %d environments of the function. Request fewer.", n)
	})
	if err != nil {
		return reply{}, err
	}
	out := a.describeProvisioned(made)
	return reply{status: http.StatusAccepted, body: out}, nil
}

func getProvisioned(a *API, _ context.Context, _ alcove.Caller, _ *call, in *provisionedInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	e, err := a.Catalog.ProvisionedConfig(ref)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.describeProvisioned(e)}, nil
}

func deleteProvisioned(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *provisionedInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	return done(a.Catalog.DeleteProvisioned(ctx, caller, ref))
}

type provisionedListed struct {
	FunctionArn string
	provisionedOutput
}

type listProvisionedInput struct {
	FunctionName *string `from:"path" is:"FunctionName"`
	Marker       *string `from:"query"`
	MaxItems     *int    `from:"query" is:"MaxConfigItems"`
}

type listProvisionedOutput struct {
	ProvisionedConcurrencyConfigs []provisionedListed
	NextMarker                    string `json:",omitempty"`
}

func listProvisioned(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listProvisionedInput) (reply, error) {
	name, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	page := listInput{in.Marker, in.MaxItems}
	list, next, err := a.Catalog.ProvisionedConfigs(name, page.marker(), page.max())
	if err != nil {
		return reply{}, err
	}
	out := listProvisionedOutput{ProvisionedConcurrencyConfigs: make([]provisionedListed, len(list)), NextMarker: next}
	for i, e := range list {
		out.ProvisionedConcurrencyConfigs[i] = provisionedListed{e.ARN, a.describeProvisioned(e)}
	}
	return reply{status: http.StatusOK, body: out}, nil
}
