package lambdaapi

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove"
)

func (n *realNode) provision(t testing.TB, function, qualifier string, count int32) (*lambda.PutProvisionedConcurrencyConfigOutput, error) {
	t.Helper()
	return n.PutProvisionedConcurrencyConfig(t.Context(), &lambda.PutProvisionedConcurrencyConfigInput{FunctionName: &function, Qualifier: &qualifier, ProvisionedConcurrentExecutions: &count})
}

func TestProvisionedConcurrency(t *testing.T) {
	n := startReal(t)
	n.aliased(t, nil)
	two := n.publish(t, "f", "two")
	kept := func() string {
		text := ""
		for _, number := range []string{"$LATEST", "1", two} {
			v, err := n.catalog.Resolve(alcove.Ref{Name: "f", Qualifier: number})
			if err != nil {
				t.Fatal(err)
			}
			text += fmt.Sprint(n.catalog.Provisioned(v), " ")
		}
		return text
	}
	get := func(qualifier string) (*lambda.GetProvisionedConcurrencyConfigOutput, error) {
		return n.GetProvisionedConcurrencyConfig(t.Context(), &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: aws.String("f"), Qualifier: &qualifier})
	}
	remove := func(qualifier string) error {
		_, err := n.DeleteProvisionedConcurrencyConfig(t.Context(), &lambda.DeleteProvisionedConcurrencyConfigInput{FunctionName: aws.String("f"), Qualifier: &qualifier})
		return err
	}
	const unpublished = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
	must[*lambda.CreateAliasOutput](t)(n.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("newest"), FunctionVersion: aws.String("$LATEST")}))
	_, err := n.provision(t, "f", "newest", 1)
	refused(t, err, "InvalidParameterValueException", unpublished)
	const none = "No Provisioned Concurrency Config found for this function"
	_, err = get("1")
	refused(t, err, "ProvisionedConcurrencyConfigNotFoundException", none)
	if err := remove("1"); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	made := must[*lambda.PutProvisionedConcurrencyConfigOutput](t)(n.provision(t, "f", "1", 4))
	if *made.RequestedProvisionedConcurrentExecutions != 4 || *made.AllocatedProvisionedConcurrentExecutions != 4 || *made.AvailableProvisionedConcurrentExecutions != 0 ||
		made.Status != types.ProvisionedConcurrencyStatusEnumInProgress || kept() != "0 4 0 " {
		t.Errorf("made %+v, kept %s", made, kept())
	}
	_, err = n.provision(t, "f", "live", 1)
	refused(t, err, "ResourceConflictException", "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")
	n.keeper.failing = true
	if got := must[*lambda.GetProvisionedConcurrencyConfigOutput](t)(get("1")); got.Status != types.ProvisionedConcurrencyStatusEnumFailed || *got.StatusReason == "" {
		t.Errorf("failing: %+v", got)
	}
	n.keeper.ready = true
	if got := must[*lambda.GetProvisionedConcurrencyConfigOutput](t)(get("1")); got.Status != types.ProvisionedConcurrencyStatusEnumReady || *got.LastModified == "" {
		t.Errorf("ready: %+v", got)
	}
	if err := remove("1"); err != nil || kept() != "0 0 0 " {
		t.Errorf("%v, kept %s", err, kept())
	}
	// By way of an alias, which may be of two versions.
	must[*lambda.PutProvisionedConcurrencyConfigOutput](t)(n.provision(t, "f", "live", 10))
	if kept() != "0 10 0 " {
		t.Errorf("kept %s", kept())
	}
	must[*lambda.UpdateAliasOutput](t)(n.UpdateAlias(t.Context(), &lambda.UpdateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"),
		RoutingConfig: routing(map[string]float64{two: 0.25})}))
	if kept() != "0 7 3 " {
		t.Errorf("of two versions: kept %s", kept())
	}
	_, err = n.provision(t, "f", "1", 1)
	refused(t, err, "ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias")
	list := must[*lambda.ListProvisionedConcurrencyConfigsOutput](t)(n.ListProvisionedConcurrencyConfigs(t.Context(), &lambda.ListProvisionedConcurrencyConfigsInput{FunctionName: aws.String("f")}))
	if all := list.ProvisionedConcurrencyConfigs; len(all) != 1 || *all[0].FunctionArn != fARN+":live" || *all[0].AvailableProvisionedConcurrentExecutions != 10 {
		t.Errorf("listed %+v", list.ProvisionedConcurrencyConfigs)
	}
	latest := &lambda.UpdateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"), FunctionVersion: aws.String("$LATEST"), RoutingConfig: routing(map[string]float64{})}
	_, err = n.UpdateAlias(t.Context(), latest)
	refused(t, err, "InvalidParameterValueException", unpublished)
	must[*lambda.DeleteAliasOutput](t)(n.DeleteAlias(t.Context(), &lambda.DeleteAliasInput{FunctionName: aws.String("f"), Name: aws.String("live")}))
	if kept() != "0 0 0 " {
		t.Errorf("kept %s", kept())
	}
	_, err = get("live")
	refused(t, err, "ResourceNotFoundException", "Cannot find alias arn: "+fARN+":live")
}

func TestProvisionedConcurrencyRefuses(t *testing.T) {
	n := startReal(t)
	n.aliased(t, nil)
	n.keeper.room = 1000
	const nowhere = "arn:aws:lambda:us-east-1:000000000000:function:doesnotexist"
	for _, c := range []struct {
		function, qualifier string
		count               int32
		code, text          string
	}{
		{"f", "1", 0, "ValidationException", "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"doesnotexist", "noalias", 1, "ResourceNotFoundException", "Cannot find alias arn: " + nowhere + ":noalias"},
		{"doesnotexist", "1", 1, "ResourceNotFoundException", "Function not found: " + nowhere + ":1"},
		{"f", "doesnotexist", 1, "ResourceNotFoundException", "Cannot find alias arn: " + fARN + ":doesnotexist"},
		{"f", "10", 1, "ResourceNotFoundException", "Function not found: " + fARN + ":10"},
		{"f", "$LATEST", 1, "InvalidParameterValueException", "Provisioned Concurrency Configs cannot be applied to unpublished function versions."},
		{"f", "1", 1001, "InvalidParameterValueException", "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."},
		{"f", "1", 901, "InvalidParameterValueException", "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."},
	} {
		_, err := n.provision(t, c.function, c.qualifier, c.count)
		refused(t, err, c.code, c.text)
	}
	n.keeper.room = 5
	_, err := n.provision(t, "f", "1", 6)
	refused(t, err, "InvalidParameterValueException", "This node has no room for 6 environments of the function. Request fewer.")
	must[*lambda.PutFunctionConcurrencyOutput](t)(n.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String("f"), ReservedConcurrentExecutions: aws.Int32(2)}))
	_, err = n.provision(t, "f", "1", 3)
	refused(t, err, "InvalidParameterValueException", "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function")
	_, err = n.GetProvisionedConcurrencyConfig(t.Context(), &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: aws.String("f"), Qualifier: aws.String("$LATEST")})
	refused(t, err, "InvalidParameterValueException", "The function resource provided must be an alias or a published version.")
	_, err = n.ListProvisionedConcurrencyConfigs(t.Context(), &lambda.ListProvisionedConcurrencyConfigsInput{FunctionName: aws.String("doesnotexist")})
	refused(t, err, "ResourceNotFoundException", "Function not found: "+nowhere)

	n.function(t, "g", func(in *lambda.CreateFunctionInput) {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	})
	one := n.publish(t, "g", "one")
	_, err = n.provision(t, "g", one, 1)
	refused(t, err, "InvalidParameterValueException", "Provisioned Concurrency is not supported for functions enabled with tenancy configuration")
}
