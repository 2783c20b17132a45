package e2e

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestNounsSurviveAKill makes one of everything that belongs to functions, kills
// the node and sees that the next one answers the same.
func TestNounsSurviveAKill(t *testing.T) {
	data := t.TempDir()
	n := startIn(t, data, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": answers1})
	arn := "arn:aws:lambda:us-east-1:000000000000:function:" + f
	v, err := n.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: &f})
	if err != nil {
		t.Fatal(err)
	}
	live := aws.String("live")
	csc, err := n.lambda.CreateCodeSigningConfig(t.Context(), &lambda.CreateCodeSigningConfigInput{Description: aws.String("d"),
		AllowedPublishers: &types.AllowedPublishers{SigningProfileVersionArns: []string{"arn:aws:signer:us-east-1:000000000000:/signing-profiles/p"}}})
	if err != nil {
		t.Fatal(err)
	}
	config := csc.CodeSigningConfig.CodeSigningConfigArn
	layer := name(t)
	n.layer(t, layer, files{"a": "b"})
	one := aws.Int64(1)
	for i, err := range []error{
		second(n.lambda.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: &f, Name: live, FunctionVersion: v.Version})),
		second(n.lambda.AddPermission(t.Context(), &lambda.AddPermissionInput{FunctionName: &f, Qualifier: live, StatementId: aws.String("s"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("*")})),
		second(n.lambda.PutResourcePolicy(t.Context(), &lambda.PutResourcePolicyInput{ResourceArn: &arn,
			Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"lambda:*","Resource":"` + arn + `"}]}`)})),
		second(n.lambda.PutFunctionEventInvokeConfig(t.Context(), &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &f, Qualifier: live, MaximumRetryAttempts: aws.Int32(1)})),
		second(n.lambda.CreateFunctionUrlConfig(t.Context(), &lambda.CreateFunctionUrlConfigInput{FunctionName: &f, AuthType: types.FunctionUrlAuthTypeAwsIam, Cors: &types.Cors{AllowOrigins: []string{"*"}}})),
		second(n.lambda.PutFunctionCodeSigningConfig(t.Context(), &lambda.PutFunctionCodeSigningConfigInput{FunctionName: &f, CodeSigningConfigArn: config})),
		second(n.lambda.PutFunctionRecursionConfig(t.Context(), &lambda.PutFunctionRecursionConfigInput{FunctionName: &f, RecursiveLoop: types.RecursiveLoopAllow})),
		second(n.lambda.PutRuntimeManagementConfig(t.Context(), &lambda.PutRuntimeManagementConfigInput{FunctionName: &f, Qualifier: v.Version, UpdateRuntimeOn: types.UpdateRuntimeOnFunctionUpdate})),
		second(n.lambda.PutProvisionedConcurrencyConfig(t.Context(), &lambda.PutProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: v.Version, ProvisionedConcurrentExecutions: aws.Int32(1)})),
		second(n.lambda.AddLayerVersionPermission(t.Context(), &lambda.AddLayerVersionPermissionInput{LayerName: &layer, VersionNumber: one, StatementId: aws.String("s"), Action: aws.String("lambda:GetLayerVersion"), Principal: aws.String("*")})),
		second(n.lambda.TagResource(t.Context(), &lambda.TagResourceInput{Resource: config, Tags: map[string]string{"a": "b"}})),
	} {
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	all := func(n *node) []string {
		var list []string
		add := func(out any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			// What differs between two calls, or two nodes.
			v := reflect.ValueOf(out).Elem()
			v.FieldByName("ResultMetadata").SetZero()
			for _, field := range []string{"FunctionUrl", "Content", "Status", "StatusReason", "AllocatedProvisionedConcurrentExecutions", "AvailableProvisionedConcurrentExecutions"} {
				if f := v.FieldByName(field); f.IsValid() {
					f.SetZero()
				}
			}
			b, err := json.Marshal(out)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, strings.TrimPrefix(v.Type().String(), "lambda.")+" "+string(b))
		}
		c, ctx := n.lambda, t.Context()
		add(c.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &f, Name: live}))
		add(c.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &f, Qualifier: live}))
		add(c.GetResourcePolicy(ctx, &lambda.GetResourcePolicyInput{ResourceArn: &arn}))
		add(c.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: &f, Qualifier: live}))
		add(c.GetFunctionUrlConfig(ctx, &lambda.GetFunctionUrlConfigInput{FunctionName: &f}))
		add(c.GetCodeSigningConfig(ctx, &lambda.GetCodeSigningConfigInput{CodeSigningConfigArn: config}))
		add(c.GetFunctionCodeSigningConfig(ctx, &lambda.GetFunctionCodeSigningConfigInput{FunctionName: &f}))
		add(c.GetFunctionRecursionConfig(ctx, &lambda.GetFunctionRecursionConfigInput{FunctionName: &f}))
		add(c.GetRuntimeManagementConfig(ctx, &lambda.GetRuntimeManagementConfigInput{FunctionName: &f, Qualifier: v.Version}))
		add(c.GetProvisionedConcurrencyConfig(ctx, &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: v.Version}))
		add(c.GetLayerVersion(ctx, &lambda.GetLayerVersionInput{LayerName: &layer, VersionNumber: one}))
		add(c.GetLayerVersionPolicy(ctx, &lambda.GetLayerVersionPolicyInput{LayerName: &layer, VersionNumber: one}))
		add(c.ListTags(ctx, &lambda.ListTagsInput{Resource: config}))
		return list
	}
	before := all(n)
	n.kill(t)
	n = startIn(t, data, "--isolation", "namespace")
	for i, after := range all(n) {
		if after != before[i] {
			t.Errorf("before %s\nafter  %s", before[i], after)
		}
	}
	// What is provisioned comes back by itself.
	eventually(t, "the provisioned environment is ready", func() bool { return len(n.all(t, f)) == 1 })
}

func second[T any](_ T, err error) error { return err }
