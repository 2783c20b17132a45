package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestAsTerraformDoes makes the calls that Terraform's AWS provider makes, in its
// order and with its members, for a plan of a function, an alias, a permission, a
// layer, a URL, an event invoke config and provisioned concurrency: apply, refresh,
// change, import, destroy. What the provider needs of the answers is what it reads
// into its state, and the errors that it tells apart.
//
// Source: github.com/hashicorp/terraform-provider-aws, internal/service/lambda:
// function.go (0156d84), alias.go (029aff9), permission.go (04592f0),
// function_event_invoke_config.go (0160692) of version 6; layer_version.go,
// function_url.go and provisioned_concurrency_config.go of version 4, which were not
// compared with version 6.
func TestAsTerraformDoes(t *testing.T) {
	n := on(t, "namespace")
	f, l := name(t), name(t)
	c, ctx := n.lambda, t.Context()
	arn := functionsARN + f
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	// The provider itself, before any resource: who is it?
	checkIdentity(t, n)

	// aws_lambda_layer_version
	made, err := c.PublishLayerVersion(ctx, &lambda.PublishLayerVersionInput{LayerName: &l, Description: aws.String(""), LicenseInfo: aws.String(""),
		Content: &types.LayerVersionContentInput{ZipFile: files{"python/x.py": "x = 1"}.Zip(t)}})
	fatal(err)
	layer, err := c.GetLayerVersion(ctx, &lambda.GetLayerVersionInput{LayerName: &l, VersionNumber: aws.Int64(made.Version)})
	fatal(err)
	if aws.ToString(layer.LayerArn)+":1" != aws.ToString(layer.LayerVersionArn) || layer.Content == nil || layer.Content.CodeSize == 0 || aws.ToString(layer.CreatedDate) == "" {
		t.Errorf("the layer: %+v", layer)
	}

	// aws_lambda_function: create, read until it is found, wait for State, the limit.
	// What a plan does not have, and the provider computes, is not sent.
	_, err = c.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &f, Description: aws.String(""), MemorySize: aws.Int32(128), PackageType: types.PackageTypeZip, Publish: true,
		Role: aws.String("arn:aws:iam::000000000000:role/literal"), Tags: map[string]string{"a": "b"}, Timeout: aws.Int32(3), Handler: aws.String("main.handler"), Runtime: python,
		Layers: []string{*made.LayerVersionArn}, Code: &types.FunctionCode{ZipFile: files{"main.py": answers1}.Zip(t)}})
	fatal(err)
	t.Cleanup(func() { n.delete(context.Background(), f) })
	created, err := c.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &f})
	if err != nil || created.Code == nil || created.Configuration == nil { // else it is not there yet
		t.Errorf("after it was created: %+v, %v", created, err)
	}
	n.active(t, f)
	_, err = c.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: &f, ReservedConcurrentExecutions: aws.Int32(2)})
	fatal(err)

	// Its read: the function, the last of its versions, its code signing.
	read := func(version string) *lambda.GetFunctionOutput {
		t.Helper()
		got, err := c.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &f})
		fatal(err)
		if got.Code == nil || got.Configuration == nil || got.Concurrency == nil || aws.ToInt32(got.Concurrency.ReservedConcurrentExecutions) != 2 || got.Tags["a"] != "b" {
			t.Errorf("GetFunction: %+v", got)
		}
		pages := lambda.NewListVersionsByFunctionPaginator(c, &lambda.ListVersionsByFunctionInput{FunctionName: &f, MaxItems: aws.Int32(10000)})
		var last types.FunctionConfiguration
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			fatal(err)
			last = page.Versions[len(page.Versions)-1] // oldest first
		}
		if aws.ToString(last.Version) != version || aws.ToString(last.FunctionArn) != arn+":"+version {
			t.Errorf("the last version is %s, %s, want %s", aws.ToString(last.Version), aws.ToString(last.FunctionArn), version)
		}
		signing, err := c.GetFunctionCodeSigningConfig(ctx, &lambda.GetFunctionCodeSigningConfigInput{FunctionName: &f})
		if err != nil || signing.CodeSigningConfigArn != nil {
			t.Errorf("code signing: %+v, %v", signing, err)
		}
		return got
	}
	first := read("1")
	if v := first.Configuration; v.DeadLetterConfig != nil || v.VpcConfig != nil || v.KMSKeyArn != nil || v.ImageConfigResponse != nil || len(v.FileSystemConfigs) != 0 || v.SnapStart == nil ||
		v.Environment != nil || v.DurableConfig != nil || v.CapacityProviderConfig != nil || v.LoggingConfig.LogFormat != types.LogFormatText || aws.ToString(v.LoggingConfig.LogGroup) != "/aws/lambda/"+f ||
		aws.ToString(v.Layers[0].Arn) != *made.LayerVersionArn || v.TracingConfig.Mode != types.TracingModePassThrough || v.TenancyConfig != nil || aws.ToInt32(v.EphemeralStorage.Size) != 512 {
		t.Errorf("what would show as a difference: %+v", v)
	}
	// A second refresh finds no difference.
	second := read("1")
	for _, one := range []*lambda.GetFunctionOutput{first, second} {
		one.Code.Location, one.ResultMetadata = nil, second.ResultMetadata
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("two refreshes differ:\n%+v\n%+v", first, second)
	}

	// aws_lambda_alias
	_, err = c.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &arn, Name: aws.String("live"), FunctionVersion: aws.String("1"), Description: aws.String(""),
		RoutingConfig: &types.AliasRoutingConfiguration{}})
	fatal(err)
	alias, err := c.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &arn, Name: aws.String("live")})
	if err != nil || aws.ToString(alias.AliasArn) != arn+":live" || alias.RoutingConfig != nil { // an empty one would show as a difference
		t.Errorf("the alias: %+v, %v", alias, err)
	}

	// aws_lambda_permission: the statement is found by its Sid in the document.
	for _, add := range []*lambda.AddPermissionInput{
		{FunctionName: &f, StatementId: aws.String("sns"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("sns.amazonaws.com"), SourceArn: aws.String("arn:aws:sns:us-east-1:000000000000:t"),
			SourceAccount: aws.String("000000000000")},
		{FunctionName: &f, StatementId: aws.String("FunctionURLAllowPublicAccess"), Action: aws.String("lambda:InvokeFunctionUrl"), Principal: aws.String("*"), FunctionUrlAuthType: types.FunctionUrlAuthTypeNone},
		{FunctionName: &f, StatementId: aws.String("url"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("*"), InvokedViaFunctionUrl: aws.Bool(true)},
		{FunctionName: &f, StatementId: aws.String("role"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("arn:aws:iam::000000000000:role/other"), Qualifier: aws.String("live")},
	} {
		_, err := c.AddPermission(ctx, add)
		fatal(err)
		s, err := statementOf(n, t, f, *add.StatementId, add.Qualifier)
		fatal(err)
		want := arn
		if add.Qualifier != nil {
			want += ":" + *add.Qualifier
		}
		principal := any(aws.ToString(add.Principal))
		if of, ok := s.Principal.(map[string]any); ok {
			if s.Principal = of["AWS"]; s.Principal == nil {
				s.Principal = of["Service"]
			}
		}
		if s.Resource != want || s.Action != *add.Action || s.Principal != principal || s.Condition["ArnLike"]["AWS:SourceArn"] != aws.ToString(add.SourceArn) ||
			s.Condition["StringEquals"]["AWS:SourceAccount"] != aws.ToString(add.SourceAccount) || s.Condition["StringEquals"]["lambda:FunctionUrlAuthType"] != string(add.FunctionUrlAuthType) ||
			strings.EqualFold(s.Condition["Bool"]["lambda:InvokedViaFunctionUrl"], "true") != aws.ToBool(add.InvokedViaFunctionUrl) {
			t.Errorf("the statement of %s: %+v", *add.StatementId, s)
		}
	}

	// aws_lambda_function_url
	_, err = c.CreateFunctionUrlConfig(ctx, &lambda.CreateFunctionUrlConfigInput{FunctionName: &f, AuthType: types.FunctionUrlAuthTypeNone, InvokeMode: types.InvokeModeBuffered,
		Cors: &types.Cors{AllowCredentials: aws.Bool(true), AllowOrigins: []string{"https://a.example"}}})
	fatal(err)
	// It adds the permission itself, and does not mind one that is there: by this text.
	_, err = c.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &f, StatementId: aws.String("FunctionURLAllowPublicAccess"), Action: aws.String("lambda:InvokeFunctionUrl"), Principal: aws.String("*"),
		FunctionUrlAuthType: types.FunctionUrlAuthTypeNone})
	wantError(t, err, 409, "ResourceConflictException", "The statement id (FunctionURLAllowPublicAccess) provided already exists")
	url, err := c.GetFunctionUrlConfig(ctx, &lambda.GetFunctionUrlConfigInput{FunctionName: &f})
	fatal(err)
	// The provider takes the URL's id out of its host.
	if host := strings.SplitN(strings.TrimPrefix(*url.FunctionUrl, "http://"), ".", 2); len(host) != 2 || host[0] == "" || url.InvokeMode != types.InvokeModeBuffered || !*url.Cors.AllowCredentials {
		t.Errorf("the URL: %+v", url)
	}
	_, err = c.UpdateFunctionUrlConfig(ctx, &lambda.UpdateFunctionUrlConfigInput{FunctionName: &f, Cors: &types.Cors{}})
	fatal(err)

	// aws_lambda_function_event_invoke_config, which is put to be changed, too.
	for _, retries := range []int32{1, 0} {
		_, err = c.PutFunctionEventInvokeConfig(ctx, &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &f, MaximumRetryAttempts: &retries})
		fatal(err)
		got, err := c.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: &f})
		if err != nil || aws.ToInt32(got.MaximumRetryAttempts) != retries || got.FunctionArn == nil || got.MaximumEventAgeInSeconds != nil ||
			got.DestinationConfig != nil && (got.DestinationConfig.OnFailure != nil && got.DestinationConfig.OnFailure.Destination != nil || got.DestinationConfig.OnSuccess != nil && got.DestinationConfig.OnSuccess.Destination != nil) {
			t.Errorf("event invoke config: %+v, %v", got, err)
		}
	}

	// aws_lambda_provisioned_concurrency_config
	_, err = c.PutProvisionedConcurrencyConfig(ctx, &lambda.PutProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: aws.String("live"), ProvisionedConcurrentExecutions: aws.Int32(1)})
	fatal(err)
	eventually(t, "the provisioned concurrency is READY", func() bool {
		got, err := c.GetProvisionedConcurrencyConfig(ctx, &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: aws.String("live")})
		fatal(err)
		if got.Status == types.ProvisionedConcurrencyStatusEnumFailed {
			t.Fatalf("%s", aws.ToString(got.StatusReason))
		}
		return got.Status == types.ProvisionedConcurrencyStatusEnumReady && aws.ToInt32(got.AllocatedProvisionedConcurrentExecutions) == 1
	})

	// Tags change before anything else does.
	_, err = c.UntagResource(ctx, &lambda.UntagResourceInput{Resource: &arn, TagKeys: []string{"b"}})
	fatal(err)
	_, err = c.TagResource(ctx, &lambda.TagResourceInput{Resource: &arn, Tags: map[string]string{"a": "b", "c": "d"}})
	fatal(err)
	// A change of configuration and code, which is published: the order is the
	// provider's, so is the waiter that names the version twice. All that was taken
	// out of a plan is sent as it is here.
	_, err = c.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &f, MemorySize: aws.Int32(256), Layers: []string{}, Environment: &types.Environment{Variables: map[string]string{}},
		DeadLetterConfig: &types.DeadLetterConfig{TargetArn: aws.String("")}, FileSystemConfigs: []types.FileSystemConfig{}, ImageConfig: &types.ImageConfig{}, KMSKeyArn: aws.String(""),
		VpcConfig: &types.VpcConfig{Ipv6AllowedForDualStack: aws.Bool(false), SecurityGroupIds: []string{}, SubnetIds: []string{}}, SnapStart: &types.SnapStart{ApplyOn: types.SnapStartApplyOnNone}})
	fatal(err)
	n.updated(t, f)
	_, err = c.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &f, ZipFile: files{"main.py": answers2}.Zip(t)})
	fatal(err)
	n.updated(t, f)
	published, err := c.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: &f})
	fatal(err)
	configuration, err := c.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: published.FunctionArn, Qualifier: published.Version})
	if err != nil || configuration.LastUpdateStatus != types.LastUpdateStatusSuccessful {
		t.Errorf("the published version: %+v, %v", configuration, err)
	}
	after := read("2")
	if v := after.Configuration; aws.ToInt32(v.MemorySize) != 256 || len(v.Layers) != 0 || aws.ToString(v.CodeSha256) == aws.ToString(first.Configuration.CodeSha256) {
		t.Errorf("after the change: %+v", v)
	}
	_, err = c.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: &arn, Name: aws.String("live"), FunctionVersion: aws.String("2"), Description: aws.String(""), RoutingConfig: &types.AliasRoutingConfiguration{}})
	fatal(err)
	tags, err := c.ListTags(ctx, &lambda.ListTagsInput{Resource: &arn})
	if err != nil || fmt.Sprint(tags.Tags) != "map[a:b c:d]" {
		t.Errorf("tags: %v, %v", tags, err)
	}

	// Weights that are taken out of a plan are waited for until they are gone.
	for _, weights := range []map[string]float64{{"1": 0.25}, nil} {
		_, err = c.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: &f, Name: aws.String("live"), FunctionVersion: aws.String("2"), Description: aws.String(""),
			RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights}})
		fatal(err)
		got, err := c.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &f, Name: aws.String("live")})
		fatal(err)
		if weights == nil && got.RoutingConfig != nil || weights != nil && got.RoutingConfig.AdditionalVersionWeights["1"] != 0.25 {
			t.Errorf("weights %v: %+v", weights, got.RoutingConfig)
		}
	}

	// Import: what there is is read by its id alone. A permission's has the qualifier
	// twice, in the function's name and beside it.
	both := f + ":live"
	if s, err := statementOf(n, t, both, "role", aws.String("live")); err != nil || s.Resource != arn+":live" {
		t.Errorf("the permission by its id: %+v, %v", s, err)
	}
	if got, err := c.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &f, Name: aws.String("live")}); err != nil || aws.ToString(got.FunctionVersion) != "2" {
		t.Errorf("the alias by its id: %+v, %v", got, err)
	}
	if got, err := c.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: &arn}); err != nil || aws.ToInt32(got.MaximumRetryAttempts) != 0 {
		t.Errorf("the event invoke config by its id: %+v, %v", got, err)
	}
	if !reflect.DeepEqual(read("2").Configuration, after.Configuration) {
		t.Error("what is imported differs from what is known")
	}

	// The data source: the last version, and the limit apart, as it is the function's.
	version, err := c.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &f, Qualifier: aws.String("2")})
	fatal(err)
	limit, err := c.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &f})
	if err != nil || version.Concurrency != nil || aws.ToInt32(limit.ReservedConcurrentExecutions) != 2 || aws.ToString(version.Configuration.FunctionArn) != arn+":2" {
		t.Errorf("the data source: %+v, %+v, %v", version, limit, err)
	}

	// Destroy, in the order of dependence. Each is then looked for, and has to be
	// not found, by the type of the error.
	_, err = c.DeleteProvisionedConcurrencyConfig(ctx, &lambda.DeleteProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: aws.String("live")})
	fatal(err)
	_, err = c.GetProvisionedConcurrencyConfig(ctx, &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: aws.String("live")})
	wantError(t, err, 404, "ProvisionedConcurrencyConfigNotFoundException", "")
	_, err = c.DeleteFunctionEventInvokeConfig(ctx, &lambda.DeleteFunctionEventInvokeConfigInput{FunctionName: &f})
	fatal(err)
	_, err = c.DeleteFunctionUrlConfig(ctx, &lambda.DeleteFunctionUrlConfigInput{FunctionName: &f})
	fatal(err)
	_, err = c.GetFunctionUrlConfig(ctx, &lambda.GetFunctionUrlConfigInput{FunctionName: &f})
	wantError(t, err, 404, notFound, "")
	for sid, qualifier := range map[string]*string{"sns": nil, "FunctionURLAllowPublicAccess": nil, "url": nil, "role": aws.String("live")} {
		_, err = c.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &f, StatementId: &sid, Qualifier: qualifier})
		fatal(err)
		if _, err := statementOf(n, t, f, sid, qualifier); err == nil {
			t.Errorf("the statement %s is still there", sid)
		}
	}
	_, err = c.RemovePermission(ctx, &lambda.RemovePermissionInput{FunctionName: &f, StatementId: aws.String("sns")})
	wantError(t, err, 404, notFound, "")
	_, err = c.DeleteAlias(ctx, &lambda.DeleteAliasInput{FunctionName: &arn, Name: aws.String("live")})
	fatal(err)
	_, err = c.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &arn, Name: aws.String("live")})
	wantError(t, err, 404, notFound, "")
	_, err = c.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &f})
	fatal(err)
	_, err = c.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: &f})
	wantError(t, err, 404, notFound, "")
	_, err = c.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &f})
	wantError(t, err, 404, notFound, "")
	_, err = c.DeleteLayerVersion(ctx, &lambda.DeleteLayerVersionInput{LayerName: &l, VersionNumber: aws.Int64(1)})
	fatal(err)
	_, err = c.GetLayerVersion(ctx, &lambda.GetLayerVersionInput{LayerName: &l, VersionNumber: aws.Int64(1)})
	wantError(t, err, 404, notFound, "")
}

// policyStatement is a statement as the provider reads one.
type policyStatement struct {
	Condition             map[string]map[string]string
	Action, Resource, Sid string
	Effect                string
	Principal             any
}

// statementOf finds a statement in the policy of a function or a qualifier of it.
func statementOf(n *node, t *testing.T, function, sid string, qualifier *string) (*policyStatement, error) {
	t.Helper()
	got, err := n.lambda.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: &function, Qualifier: qualifier})
	if err != nil {
		return nil, err
	}
	var p struct {
		Version, ID string
		Statement   []policyStatement
	}
	if err := json.Unmarshal([]byte(*got.Policy), &p); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Statement {
		if s.Sid == sid {
			return &s, nil
		}
	}
	return nil, fmt.Errorf("there is no statement %s", sid)
}
