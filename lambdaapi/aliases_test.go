package lambdaapi

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

const fARN = "arn:aws:lambda:us-east-1:000000000000:function:f"

func routing(weights map[string]float64) *types.AliasRoutingConfiguration {
	return &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights}
}

func TestAliasLifeCycle(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	one, two := n.publish(t, "f", "one"), n.publish(t, "f", "two")
	made := must[*lambda.CreateAliasOutput](t)(n.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"),
		FunctionVersion: &one, Description: aws.String("d"), RoutingConfig: routing(map[string]float64{two: 0.25})}))
	if *made.AliasArn != fARN+":live" || *made.Name != "live" || *made.FunctionVersion != one || *made.Description != "d" || *made.RevisionId == "" ||
		made.RoutingConfig.AdditionalVersionWeights[two] != 0.25 {
		t.Errorf("made %+v", made)
	}
	got := must[*lambda.GetFunctionOutput](t)(n.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String(fARN + ":live")}))
	if c := got.Configuration; *c.FunctionArn != fARN+":live" || *c.Version != one || *c.Description != "one" {
		t.Errorf("described as %s %s", *c.FunctionArn, *c.Version)
	}
	update := func(in *lambda.UpdateAliasInput) (*lambda.UpdateAliasOutput, error) {
		in.FunctionName, in.Name = aws.String("f"), aws.String("live")
		return n.UpdateAlias(t.Context(), in)
	}
	_, err := update(&lambda.UpdateAliasInput{RevisionId: aws.String("other"), Description: aws.String("x")})
	refused(t, err, "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
	kept := must[*lambda.UpdateAliasOutput](t)(update(&lambda.UpdateAliasInput{RevisionId: made.RevisionId, Description: aws.String("")}))
	if *kept.Description != "" || kept.RoutingConfig == nil || *kept.RevisionId == *made.RevisionId {
		t.Errorf("updated %+v", kept)
	}
	alone := must[*lambda.UpdateAliasOutput](t)(update(&lambda.UpdateAliasInput{RoutingConfig: routing(map[string]float64{}), FunctionVersion: aws.String("$LATEST")}))
	if alone.RoutingConfig != nil || *alone.FunctionVersion != "$LATEST" {
		t.Errorf("updated %+v", alone)
	}
	// A version that an alias refers to stays.
	must[*lambda.UpdateAliasOutput](t)(update(&lambda.UpdateAliasInput{FunctionVersion: &two}))
	_, err = n.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("f"), Qualifier: &two})
	refused(t, err, "ResourceConflictException", "The version 2 of function f cannot be deleted: these aliases refer to it: live")
	for range 2 { // the second finds nothing
		must[*lambda.DeleteAliasOutput](t)(n.DeleteAlias(t.Context(), &lambda.DeleteAliasInput{FunctionName: aws.String("f"), Name: aws.String("live")}))
	}
	_, err = n.GetAlias(t.Context(), &lambda.GetAliasInput{FunctionName: aws.String("f"), Name: aws.String("live")})
	refused(t, err, "ResourceNotFoundException", "Cannot find alias arn: "+fARN+":live")
	_, err = n.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f:live")})
	refused(t, err, "ResourceNotFoundException", "Function not found: "+fARN+":live")
}

func TestAliasRefuses(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	one, two := n.publish(t, "f", "one"), n.publish(t, "f", "two")
	weight := "1 validation error detected: Value '{2=%s}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: " +
		"[Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]"
	for _, c := range []struct {
		function, name, version string
		weights                 map[string]float64
		code, text              string
	}{
		{"f", "a", one, map[string]float64{one: 0.8, two: 0.2}, "InvalidParameterValueException", "Number of items in AdditionalVersionWeights cannot be greater than 1"},
		{"f", "a", one, map[string]float64{one: 0.5}, "InvalidParameterValueException", "Invalid function version 1. Function version 1 is already included in routing configuration."},
		{"f", "a", "$LATEST", map[string]float64{one: 0.5}, "InvalidParameterValueException", "$LATEST is not supported for an alias pointing to more than 1 version"},
		{"f", "a", one, map[string]float64{two: 2}, "ValidationException", fmt.Sprintf(weight, "2.0")},
		{"f", "a", one, map[string]float64{two: -1}, "ValidationException", fmt.Sprintf(weight, "-1.0")},
		{"f", "a", one, map[string]float64{"$LATEST": 0.5}, "ValidationException", "1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy " +
			"constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]"},
		{"f", "a", "10", nil, "ResourceNotFoundException", "Function not found: " + fARN + ":10"},
		{"f", "a", one, map[string]float64{"10": 0.5}, "ResourceNotFoundException", "Function not found: " + fARN + ":10"},
		{"f-unknown", "a", one, nil, "ResourceNotFoundException", "Function not found: " + fARN + "-unknown:1"},
		{"f", "2024", one, nil, "ValidationException", "1 validation error detected: Value '2024' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"},
		{"f", "taken", one, nil, "ResourceConflictException", "Alias already exists: " + fARN + ":taken"},
	} {
		if c.name == "taken" {
			must[*lambda.CreateAliasOutput](t)(n.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: &c.function, Name: &c.name, FunctionVersion: &one}))
		}
		in := &lambda.CreateAliasInput{FunctionName: &c.function, Name: &c.name, FunctionVersion: &c.version}
		if c.weights != nil {
			in.RoutingConfig = routing(c.weights)
		}
		_, err := n.CreateAlias(t.Context(), in)
		refused(t, err, c.code, c.text)
	}
	_, err := n.UpdateAlias(t.Context(), &lambda.UpdateAliasInput{FunctionName: aws.String("f"), Name: aws.String("non-existent")})
	refused(t, err, "ResourceNotFoundException", "Alias not found: "+fARN+":non-existent")
}

func TestAliasRoutesByWeight(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	one, two := n.publish(t, "f", "one"), n.publish(t, "f", "two")
	must[*lambda.CreateAliasOutput](t)(n.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"),
		FunctionVersion: &one, RoutingConfig: routing(map[string]float64{two: 0.25})}))
	const calls = 400
	count := map[string]int{}
	for range calls {
		out := must[*lambda.InvokeOutput](t)(n.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("f"), Qualifier: aws.String("live")}))
		count[*out.ExecutedVersion]++
	}
	// Seven standard deviations: once in 10^11 runs is it wrong by chance.
	if count[one]+count[two] != calls || count[two] < 40 || count[two] > 160 {
		t.Errorf("of %d calls: %v", calls, count)
	}
}

func TestAliasesArePaged(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	one := n.publish(t, "f", "one")
	for _, name := range []string{"c", "a", "d", "b"} {
		version := one
		if name == "b" {
			version = "$LATEST"
		}
		must[*lambda.CreateAliasOutput](t)(n.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String(name), FunctionVersion: &version}))
	}
	for version, want := range map[string]string{"": "ab|cd|", one: "ac|d|", "$LATEST": "b|"} {
		in := &lambda.ListAliasesInput{FunctionName: aws.String("f"), MaxItems: aws.Int32(2)}
		if version != "" {
			in.FunctionVersion = &version
		}
		got := ""
		for p := lambda.NewListAliasesPaginator(n, in); p.HasMorePages(); got += "|" {
			for _, a := range must[*lambda.ListAliasesOutput](t)(p.NextPage(t.Context())).Aliases {
				got += *a.Name
			}
		}
		if got != want {
			t.Errorf("of version %q: %s, want %s", version, got, want)
		}
	}
}
