package lambdaapi

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

func TestCodeSigningConfigs(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	const profile = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/test"
	const nowhere = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-aaaaaaaaaaaaaaaaa"
	const gone = "The Lambda code signing configuration " + nowhere + " can not be found."
	const cannot = "The code signing configuration cannot be found. Check that the provided configuration is not deleted: " + nowhere + "."
	made := must[*lambda.CreateCodeSigningConfigOutput](t)(n.CreateCodeSigningConfig(t.Context(), &lambda.CreateCodeSigningConfigInput{
		Description: aws.String("d"), AllowedPublishers: &types.AllowedPublishers{SigningProfileVersionArns: []string{profile}}, Tags: map[string]string{"a": "b"}}))
	c := made.CodeSigningConfig
	arn := c.CodeSigningConfigArn
	if *arn != place.SigningARN(*c.CodeSigningConfigId) || c.CodeSigningPolicies.UntrustedArtifactOnDeployment != types.CodeSigningPolicyWarn ||
		c.AllowedPublishers.SigningProfileVersionArns[0] != profile || *c.Description != "d" || *c.LastModified == "" {
		t.Errorf("made %+v", c)
	}
	_, err := n.CreateCodeSigningConfig(t.Context(), &lambda.CreateCodeSigningConfigInput{AllowedPublishers: &types.AllowedPublishers{SigningProfileVersionArns: []string{}}})
	refused(t, err, "ValidationException", "1 validation error detected: Value '[]' at 'allowedPublishers.signingProfileVersionArns' failed to satisfy constraint: Member must have length greater than or equal to 1")

	put := func(function, config string) error {
		_, err := n.PutFunctionCodeSigningConfig(t.Context(), &lambda.PutFunctionCodeSigningConfigInput{FunctionName: &function, CodeSigningConfigArn: &config})
		return err
	}
	refused(t, put("f", nowhere), "CodeSigningConfigNotFoundException", cannot)
	refused(t, put("nope", nowhere), "CodeSigningConfigNotFoundException", cannot)
	refused(t, put("nope", *arn), "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope")
	get := func() *lambda.GetFunctionCodeSigningConfigOutput {
		return must[*lambda.GetFunctionCodeSigningConfigOutput](t)(n.GetFunctionCodeSigningConfig(t.Context(), &lambda.GetFunctionCodeSigningConfigInput{FunctionName: aws.String("f")}))
	}
	if out := get(); out.CodeSigningConfigArn != nil || out.FunctionName != nil {
		t.Errorf("without one: %+v", out)
	}
	if err := put("f", *arn); err != nil {
		t.Fatal(err)
	}
	if out := get(); *out.CodeSigningConfigArn != *arn || *out.FunctionName != "f" {
		t.Errorf("with one: %+v", out)
	}
	list := must[*lambda.ListFunctionsByCodeSigningConfigOutput](t)(n.ListFunctionsByCodeSigningConfig(t.Context(), &lambda.ListFunctionsByCodeSigningConfigInput{CodeSigningConfigArn: arn}))
	if len(list.FunctionArns) != 1 || list.FunctionArns[0] != fARN {
		t.Errorf("functions %v", list.FunctionArns)
	}
	// Nothing here is signed: what takes only signed code takes none.
	code := func() error {
		_, err := n.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("f"), ZipFile: zipOf(t, "index.py", "other")})
		return err
	}
	if err := code(); err != nil {
		t.Fatal(err)
	}
	n.ready(t, "f")
	up := must[*lambda.UpdateCodeSigningConfigOutput](t)(n.UpdateCodeSigningConfig(t.Context(), &lambda.UpdateCodeSigningConfigInput{CodeSigningConfigArn: arn,
		CodeSigningPolicies: &types.CodeSigningPolicies{UntrustedArtifactOnDeployment: types.CodeSigningPolicyEnforce}}))
	if *up.CodeSigningConfig.Description != "d" || up.CodeSigningConfig.CodeSigningPolicies.UntrustedArtifactOnDeployment != types.CodeSigningPolicyEnforce {
		t.Errorf("updated %+v", up.CodeSigningConfig)
	}
	if got := must[*lambda.GetCodeSigningConfigOutput](t)(n.GetCodeSigningConfig(t.Context(), &lambda.GetCodeSigningConfigInput{CodeSigningConfigArn: arn})).CodeSigningConfig; *got.CodeSigningConfigArn != *arn ||
		got.CodeSigningPolicies.UntrustedArtifactOnDeployment != types.CodeSigningPolicyEnforce {
		t.Errorf("got %+v", got)
	}
	const unsigned = "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is not configured to accept. Check the provided signature for unsigned."
	refused(t, code(), "CodeVerificationFailedException", unsigned)
	in := createInput("g", func(in *lambda.CreateFunctionInput) { in.CodeSigningConfigArn = arn })
	_, err = n.CreateFunction(t.Context(), in)
	refused(t, err, "CodeVerificationFailedException", unsigned)
	in.CodeSigningConfigArn = aws.String(nowhere)
	_, err = n.CreateFunction(t.Context(), in)
	refused(t, err, "CodeSigningConfigNotFoundException", cannot)

	if tags := must[*lambda.ListTagsOutput](t)(n.ListTags(t.Context(), &lambda.ListTagsInput{Resource: arn})).Tags; tags["a"] != "b" {
		t.Errorf("tags %v", tags)
	}
	must[*lambda.TagResourceOutput](t)(n.TagResource(t.Context(), &lambda.TagResourceInput{Resource: arn, Tags: map[string]string{"c": "d"}}))
	must[*lambda.UntagResourceOutput](t)(n.UntagResource(t.Context(), &lambda.UntagResourceInput{Resource: arn, TagKeys: []string{"a"}}))
	if tags := must[*lambda.ListTagsOutput](t)(n.ListTags(t.Context(), &lambda.ListTagsInput{Resource: arn})).Tags; len(tags) != 1 || tags["c"] != "d" {
		t.Errorf("tags %v", tags)
	}

	_, err = n.DeleteCodeSigningConfig(t.Context(), &lambda.DeleteCodeSigningConfigInput{CodeSigningConfigArn: arn})
	refused(t, err, "ResourceConflictException", "The code signing configuration is used by functions: remove it from them with DeleteFunctionCodeSigningConfig and try again.")
	must[*lambda.DeleteFunctionCodeSigningConfigOutput](t)(n.DeleteFunctionCodeSigningConfig(t.Context(), &lambda.DeleteFunctionCodeSigningConfigInput{FunctionName: aws.String("f")}))
	if all := must[*lambda.ListCodeSigningConfigsOutput](t)(n.ListCodeSigningConfigs(t.Context(), &lambda.ListCodeSigningConfigsInput{})).CodeSigningConfigs; len(all) != 1 || *all[0].CodeSigningConfigArn != *arn {
		t.Errorf("listed %v", all)
	}
	must[*lambda.DeleteCodeSigningConfigOutput](t)(n.DeleteCodeSigningConfig(t.Context(), &lambda.DeleteCodeSigningConfigInput{CodeSigningConfigArn: arn}))
	_, err = n.GetCodeSigningConfig(t.Context(), &lambda.GetCodeSigningConfigInput{CodeSigningConfigArn: aws.String(nowhere)})
	refused(t, err, "ResourceNotFoundException", gone)
	_, err = n.DeleteCodeSigningConfig(t.Context(), &lambda.DeleteCodeSigningConfigInput{CodeSigningConfigArn: aws.String(nowhere)})
	refused(t, err, "ResourceNotFoundException", gone)
	_, err = n.UpdateCodeSigningConfig(t.Context(), &lambda.UpdateCodeSigningConfigInput{CodeSigningConfigArn: aws.String(nowhere)})
	refused(t, err, "ResourceNotFoundException", gone)
	_, err = n.ListFunctionsByCodeSigningConfig(t.Context(), &lambda.ListFunctionsByCodeSigningConfigInput{CodeSigningConfigArn: aws.String(nowhere)})
	refused(t, err, "ResourceNotFoundException", gone)
}

func TestRecursionConfig(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	get := func() types.RecursiveLoop {
		return must[*lambda.GetFunctionRecursionConfigOutput](t)(n.GetFunctionRecursionConfig(t.Context(), &lambda.GetFunctionRecursionConfigInput{FunctionName: aws.String("f")})).RecursiveLoop
	}
	if got := get(); got != types.RecursiveLoopTerminate {
		t.Errorf("at first %s", got)
	}
	put := func(loop types.RecursiveLoop) error {
		_, err := n.PutFunctionRecursionConfig(t.Context(), &lambda.PutFunctionRecursionConfigInput{FunctionName: aws.String("f"), RecursiveLoop: loop})
		return err
	}
	refused(t, put("InvalidValue"), "ValidationException",
		"1 validation error detected: Value 'InvalidValue' at 'recursiveLoop' failed to satisfy constraint: Member must satisfy enum value set: [Terminate, Allow]")
	if err := put(types.RecursiveLoopAllow); err != nil || get() != types.RecursiveLoopAllow {
		t.Errorf("%v %s", err, get())
	}
}

func TestRuntimeManagementConfig(t *testing.T) {
	n := startReal(t)
	n.aliased(t, nil)
	put := func(qualifier string, on types.UpdateRuntimeOn, arn *string) (*lambda.PutRuntimeManagementConfigOutput, error) {
		return n.PutRuntimeManagementConfig(t.Context(), &lambda.PutRuntimeManagementConfigInput{FunctionName: aws.String("f"), Qualifier: &qualifier, UpdateRuntimeOn: on, RuntimeVersionArn: arn})
	}
	const has = "arn:aws:lambda:us-east-1::runtime:python3.11.2"
	for _, c := range []struct {
		qualifier  string
		on         types.UpdateRuntimeOn
		arn        *string
		code, text string
	}{
		{"1", "Never", nil, "ValidationException", "1 validation error detected: Value 'Never' at 'updateRuntimeOn' failed to satisfy constraint: Member must satisfy enum value set: [Auto, Manual, FunctionUpdate]"},
		{"1", types.UpdateRuntimeOnManual, nil, "InvalidParameterValueException", "RuntimeVersionArn is required when UpdateRuntimeOn is Manual."},
		{"1", types.UpdateRuntimeOnAuto, aws.String(has), "InvalidParameterValueException", "RuntimeVersionArn can only be given when UpdateRuntimeOn is Manual."},
		{"1", types.UpdateRuntimeOnManual, aws.String(has + "0"), "InvalidParameterValueException", "The runtime version " + has + "0 is not available on this node."},
		{"live", types.UpdateRuntimeOnAuto, nil, "InvalidParameterValueException", "Runtime management configurations belong to $LATEST and to published versions, not to aliases."},
		{"9", types.UpdateRuntimeOnAuto, nil, "ResourceNotFoundException", "Function not found: " + fARN + ":9"},
	} {
		_, err := put(c.qualifier, c.on, c.arn)
		refused(t, err, c.code, c.text)
	}
	must[*lambda.PutRuntimeManagementConfigOutput](t)(put("1", types.UpdateRuntimeOnManual, aws.String(has)))
	for qualifier, want := range map[string]string{"": "Auto  " + fARN, "1": "Manual " + has + " " + fARN + ":1"} {
		in := &lambda.GetRuntimeManagementConfigInput{FunctionName: aws.String("f")}
		if qualifier != "" {
			in.Qualifier = &qualifier
		}
		out := must[*lambda.GetRuntimeManagementConfigOutput](t)(n.GetRuntimeManagementConfig(t.Context(), in))
		if got := string(out.UpdateRuntimeOn) + " " + aws.ToString(out.RuntimeVersionArn) + " " + *out.FunctionArn; got != want {
			t.Errorf("of %q: %s, want %s", qualifier, got, want)
		}
	}
}
