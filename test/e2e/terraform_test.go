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
// change, destroy. What the provider needs of the answers is what it reads into
// its state, and the errors that it tells apart (provider v6, internal/service/lambda:
// function.go, alias.go, permission.go, layer_version.go, function_url.go,
// provisioned_concurrency_config.go, function_event_invoke_config.go).
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
		Content: &types.LayerVersionContentInput{ZipFile: files{"python/x.py": "x = 1"}.zip(t)}})
	fatal(err)
	layer, err := c.GetLayerVersion(ctx, &lambda.GetLayerVersionInput{LayerName: &l, VersionNumber: aws.Int64(made.Version)})
	fatal(err)
	if aws.ToString(layer.LayerArn)+":1" != aws.ToString(layer.LayerVersionArn) || layer.Content == nil || layer.Content.CodeSize == 0 || aws.ToString(layer.CreatedDate) == "" {
		t.Errorf("the layer: %+v", layer)
	}

	// aws_lambda_function: create, then wait for State, then the limit.
	_, err = c.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &f, Description: aws.String(""), MemorySize: aws.Int32(128), PackageType: types.PackageTypeZip, Publish: true,
		Role: aws.String("arn:aws:iam::000000000000:role/literal"), Tags: map[string]string{"a": "b"}, Timeout: aws.Int32(3), Handler: aws.String("main.handler"), Runtime: python,
		Layers: []string{*made.LayerVersionArn}, EphemeralStorage: &types.EphemeralStorage{Size: aws.Int32(512)}, Code: &types.FunctionCode{ZipFile: files{"main.py": answers1}.zip(t)},
		LoggingConfig: &types.LoggingConfig{LogFormat: types.LogFormatText}, TracingConfig: &types.TracingConfig{Mode: types.TracingModePassThrough}})
	fatal(err)
	t.Cleanup(func() { n.delete(context.Background(), f) })
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
	if err != nil || aws.ToString(alias.AliasArn) != arn+":live" || alias.RoutingConfig != nil && len(alias.RoutingConfig.AdditionalVersionWeights) > 0 {
		t.Errorf("the alias: %+v, %v", alias, err)
	}

	// aws_lambda_permission: the statement is found by its Sid in the document.
	for _, add := range []*lambda.AddPermissionInput{
		{FunctionName: &f, StatementId: aws.String("sns"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("sns.amazonaws.com"), SourceArn: aws.String("arn:aws:sns:us-east-1:000000000000:t"),
			SourceAccount: aws.String("000000000000")},
		{FunctionName: &f, StatementId: aws.String("FunctionURLAllowPublicAccess"), Action: aws.String("lambda:InvokeFunctionUrl"), Principal: aws.String("*"), FunctionUrlAuthType: types.FunctionUrlAuthTypeNone},
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
			s.Condition["StringEquals"]["AWS:SourceAccount"] != aws.ToString(add.SourceAccount) || s.Condition["StringEquals"]["lambda:FunctionUrlAuthType"] != string(add.FunctionUrlAuthType) {
			t.Errorf("the statement of %s: %+v", *add.StatementId, s)
		}
	}

	// aws_lambda_function_url
	_, err = c.CreateFunctionUrlConfig(ctx, &lambda.CreateFunctionUrlConfigInput{FunctionName: &f, AuthType: types.FunctionUrlAuthTypeNone, InvokeMode: types.InvokeModeBuffered,
		Cors: &types.Cors{AllowCredentials: aws.Bool(true), AllowOrigins: []string{"https://a.example"}}})
	fatal(err)
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
		_, err = c.PutFunctionEventInvokeConfig(ctx, &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &f, MaximumRetryAttempts: &retries, DestinationConfig: &types.DestinationConfig{}})
		fatal(err)
		got, err := c.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: &f})
		if err != nil || aws.ToInt32(got.MaximumRetryAttempts) != retries || got.FunctionArn == nil {
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

	// A change of configuration and code, which is published: the order is the
	// provider's, so is the waiter that names the version twice.
	_, err = c.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &f, MemorySize: aws.Int32(256), Layers: []string{}, Environment: &types.Environment{Variables: map[string]string{}},
		DeadLetterConfig: &types.DeadLetterConfig{TargetArn: aws.String("")}, FileSystemConfigs: []types.FileSystemConfig{}, ImageConfig: &types.ImageConfig{}, KMSKeyArn: aws.String(""),
		VpcConfig: &types.VpcConfig{Ipv6AllowedForDualStack: aws.Bool(false), SecurityGroupIds: []string{}, SubnetIds: []string{}}, SnapStart: &types.SnapStart{ApplyOn: types.SnapStartApplyOnNone}})
	fatal(err)
	n.updated(t, f)
	_, err = c.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &f, ZipFile: files{"main.py": answers2}.zip(t), Architectures: first.Configuration.Architectures})
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
	_, err = c.TagResource(ctx, &lambda.TagResourceInput{Resource: &arn, Tags: map[string]string{"c": "d"}})
	fatal(err)
	_, err = c.UntagResource(ctx, &lambda.UntagResourceInput{Resource: &arn, TagKeys: []string{"a"}})
	fatal(err)
	tags, err := c.ListTags(ctx, &lambda.ListTagsInput{Resource: &arn})
	if err != nil || fmt.Sprint(tags.Tags) != "map[c:d]" {
		t.Errorf("tags: %v, %v", tags, err)
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
	for sid, qualifier := range map[string]*string{"sns": nil, "FunctionURLAllowPublicAccess": nil, "role": aws.String("live")} {
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
