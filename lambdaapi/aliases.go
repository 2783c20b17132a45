package lambdaapi

import (
	"context"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

// routingShape is AWS's AliasRoutingConfiguration.
type routingShape struct {
	AdditionalVersionWeights map[string]float64 `is:"AdditionalVersionWeights"`
}

// aliasConfiguration is AWS's AliasConfiguration.
type aliasConfiguration struct {
	AliasArn        string
	Name            string
	FunctionVersion string
	Description     string
	RoutingConfig   *routingShape `json:",omitempty"`
	RevisionId      string
}

func (a *API) aliasConfiguration(function string, of *alcove.Alias) *aliasConfiguration {
	out := &aliasConfiguration{AliasArn: a.Place.FunctionARN(function) + ":" + of.Name, Name: of.Name, FunctionVersion: of.Version,
		Description: of.Description, RevisionId: of.RevisionID}
	if len(of.Weights) > 0 {
		out.RoutingConfig = &routingShape{of.Weights}
	}
	return out
}

type createAliasInput struct {
	FunctionName    *string `from:"path" is:"FunctionName"`
	Name            *string `is:"Alias,required"`
	FunctionVersion *string `is:"VersionWithLatestPublished,required"`
	Description     *string `is:"Description"`
	RoutingConfig   *routingShape
}

func createAlias(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *createAliasInput) (reply, error) {
	function, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	alias := catalog.AliasInput{Name: *in.Name, Version: *in.FunctionVersion}
	set(&alias.Description, in.Description)
	if in.RoutingConfig != nil {
		alias.Weights = in.RoutingConfig.AdditionalVersionWeights
	}
	made, err := a.Catalog.CreateAlias(ctx, caller, function, alias)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: a.aliasConfiguration(function, made)}, nil
}

type updateAliasInput struct {
	FunctionName    *string `from:"path" is:"FunctionName"`
	Name            *string `from:"path" is:"Alias"`
	FunctionVersion *string `is:"VersionWithLatestPublished"`
	Description     *string `is:"Description"`
	RoutingConfig   *routingShape
	RevisionId      *string
}

func updateAlias(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *updateAliasInput) (reply, error) {
	function, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	update := catalog.AliasUpdate{Version: in.FunctionVersion, Description: in.Description}
	set(&update.RevisionID, in.RevisionId)
	if in.RoutingConfig != nil {
		if update.Weights = in.RoutingConfig.AdditionalVersionWeights; update.Weights == nil {
			update.Weights = map[string]float64{}
		}
	}
	made, err := a.Catalog.UpdateAlias(ctx, caller, function, *in.Name, update)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.aliasConfiguration(function, made)}, nil
}

// aliasInput names an alias.
type aliasInput struct {
	FunctionName *string `from:"path" is:"FunctionName"`
	Name         *string `from:"path" is:"Alias"`
}

func getAlias(a *API, _ context.Context, _ alcove.Caller, _ *call, in *aliasInput) (reply, error) {
	function, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	alias, err := a.Catalog.Alias(function, *in.Name)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.aliasConfiguration(function, alias)}, nil
}

func deleteAlias(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *aliasInput) (reply, error) {
	function, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	return done(a.Catalog.DeleteAlias(ctx, caller, function, *in.Name))
}

type listAliasesInput struct {
	FunctionName    *string `from:"path" is:"FunctionName"`
	FunctionVersion *string `from:"query" is:"VersionWithLatestPublished"`
	listInput
}

type listAliasesOutput struct {
	Aliases    []*aliasConfiguration
	NextMarker string `json:",omitempty"`
}

func listAliases(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listAliasesInput) (reply, error) {
	function, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	var version string
	set(&version, in.FunctionVersion)
	list, next, err := a.Catalog.Aliases(function, version, in.marker(), in.max())
	if err != nil {
		return reply{}, err
	}
	out := listAliasesOutput{Aliases: make([]*aliasConfiguration, len(list)), NextMarker: next}
	for i, alias := range list {
		out.Aliases[i] = a.aliasConfiguration(function, alias)
	}
	return reply{status: http.StatusOK, body: out}, nil
}
