package lambdaapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

type publishersShape struct {
	SigningProfileVersionArns []string `is:"SigningProfileVersionArns,required"`
}

type signingPoliciesShape struct {
	UntrustedArtifactOnDeployment *string `is:"CodeSigningPolicy"`
}

// signingConfiguration is AWS's CodeSigningConfig.
type signingConfiguration struct {
	CodeSigningConfigId  string
	CodeSigningConfigArn string
	Description          string `json:",omitempty"`
	AllowedPublishers    publishersShape
	CodeSigningPolicies  signingPoliciesShape
	LastModified         string
}

type signingOutput struct{ CodeSigningConfig signingConfiguration }

func (a *API) signingConfiguration(s *catalog.SigningConfig) signingConfiguration {
	return signingConfiguration{CodeSigningConfigId: s.ID, CodeSigningConfigArn: a.Place.SigningARN(s.ID), Description: s.Description,
		AllowedPublishers: publishersShape{s.Publishers}, CodeSigningPolicies: signingPoliciesShape{&s.Policy},
		LastModified: s.LastModified.UTC().Format(timeLayout)}
}

// signingID reads the ARN of a code signing configuration, whose form was
// checked. One of another place is not here.
func (a *API) signingID(arn string) string {
	id := arn[strings.LastIndexByte(arn, ':')+1:]
	if a.Place.SigningARN(id) != arn {
		return arn // no id has this form
	}
	return id
}

type createSigningInput struct {
	Description         *string          `is:"Description"`
	AllowedPublishers   *publishersShape `is:",required"`
	CodeSigningPolicies *signingPoliciesShape
	Tags                map[string]string
}

func (in *createSigningInput) check(f *failures) { checkTags(f, in.Tags) }

func createSigning(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *createSigningInput) (reply, error) {
	if len(in.Tags) > alcove.MaxTags {
		return reply{}, alcove.InvalidParameter("Number of tags exceeds resource tag limit.")
	}
	s := catalog.SigningConfig{Policy: "Warn", Publishers: in.AllowedPublishers.SigningProfileVersionArns, Tags: in.Tags}
	set(&s.Description, in.Description)
	if in.CodeSigningPolicies != nil {
		set(&s.Policy, in.CodeSigningPolicies.UntrustedArtifactOnDeployment)
	}
	made, err := a.Catalog.CreateSigning(ctx, caller, s)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: signingOutput{a.signingConfiguration(made)}}, nil
}

type updateSigningInput struct {
	signingInput
	Description         *string `is:"Description"`
	AllowedPublishers   *publishersShape
	CodeSigningPolicies *signingPoliciesShape
}

func updateSigning(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *updateSigningInput) (reply, error) {
	made, err := a.Catalog.UpdateSigning(ctx, caller, a.signingID(*in.CodeSigningConfigArn), func(s *catalog.SigningConfig) error {
		set(&s.Description, in.Description)
		if in.AllowedPublishers != nil {
			s.Publishers = in.AllowedPublishers.SigningProfileVersionArns
		}
		if in.CodeSigningPolicies != nil {
			set(&s.Policy, in.CodeSigningPolicies.UntrustedArtifactOnDeployment)
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: signingOutput{a.signingConfiguration(made)}}, nil
}

// signingInput names a code signing configuration.
type signingInput struct {
	CodeSigningConfigArn *string `from:"path" is:"CodeSigningConfigArn"`
}

func getSigning(a *API, _ context.Context, _ alcove.Caller, _ *call, in *signingInput) (reply, error) {
	s, err := a.Catalog.Signing(a.signingID(*in.CodeSigningConfigArn))
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: signingOutput{a.signingConfiguration(s)}}, nil
}

func deleteSigning(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *signingInput) (reply, error) {
	return done(a.Catalog.DeleteSigning(ctx, caller, a.signingID(*in.CodeSigningConfigArn)))
}

type listSigningOutput struct {
	CodeSigningConfigs []signingConfiguration
	NextMarker         string `json:",omitempty"`
}

func listSigning(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listInput) (reply, error) {
	list, next, err := a.Catalog.Signings(in.marker(), in.max())
	if err != nil {
		return reply{}, err
	}
	out := listSigningOutput{CodeSigningConfigs: each(list, a.signingConfiguration), NextMarker: next}
	return reply{status: http.StatusOK, body: out}, nil
}

type listSignedInput struct {
	signingInput
	listInput
}

type listSignedOutput struct {
	FunctionArns []string
	NextMarker   string `json:",omitempty"`
}

func listSigned(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listSignedInput) (reply, error) {
	names, next, err := a.Catalog.Signed(a.signingID(*in.CodeSigningConfigArn), in.marker(), in.max())
	if err != nil {
		return reply{}, err
	}
	out := listSignedOutput{FunctionArns: each(names, a.Place.FunctionARN), NextMarker: next}
	return reply{status: http.StatusOK, body: out}, nil
}

// functionSigningOutput is empty for a function without a configuration, as
// recorded from the service.
type functionSigningOutput struct {
	CodeSigningConfigArn string `json:",omitempty"`
	FunctionName         string `json:",omitempty"`
}

type putFunctionSigningInput struct {
	FunctionName         *string `from:"path" is:"NamespacedFunctionName"`
	CodeSigningConfigArn *string `is:"CodeSigningConfigArn,required"`
}

func putFunctionSigning(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *putFunctionSigningInput) (reply, error) {
	name, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	if err := a.Catalog.SetSigning(ctx, caller, name, a.signingID(*in.CodeSigningConfigArn)); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: functionSigningOutput{*in.CodeSigningConfigArn, name}}, nil
}

// functionInput names a function.
type functionInput struct {
	FunctionName *string `from:"path" is:"NamespacedFunctionName"`
}

func getFunctionSigning(a *API, _ context.Context, _ alcove.Caller, _ *call, in *functionInput) (reply, error) {
	f, err := a.function(*in.FunctionName)
	if err != nil {
		return reply{}, err
	}
	if f.Signing == "" {
		return reply{status: http.StatusOK, body: functionSigningOutput{}}, nil
	}
	return reply{status: http.StatusOK, body: functionSigningOutput{a.Place.SigningARN(f.Signing), f.Name}}, nil
}

// function is the function with a name that may be an ARN.
func (a *API) function(named string) (*alcove.Function, error) {
	name, err := a.functionOnly(named, false)
	if err != nil {
		return nil, err
	}
	return a.Catalog.Function(name)
}

func deleteFunctionSigning(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *functionInput) (reply, error) {
	name, err := a.functionOnly(*in.FunctionName, false)
	if err != nil {
		return reply{}, err
	}
	return done(a.Catalog.SetSigning(ctx, caller, name, ""))
}
