package lambdaapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func createInput(name string, change func(*lambda.CreateFunctionInput)) *lambda.CreateFunctionInput {
	in := &lambda.CreateFunctionInput{FunctionName: &name, Role: aws.String(role), Runtime: types.RuntimePython311, Handler: aws.String("index.handler"),
		Code: &types.FunctionCode{ZipFile: []byte("zip of " + name)}}
	if change != nil {
		change(in)
	}
	return in
}

// wantError checks code, status and text of an error as the SDK sees it.
func wantError(t *testing.T, err error, status int, code, text string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		t.Fatalf("error %v, want %s", err, code)
	}
	same := api.ErrorCode() == code && strings.Contains(api.ErrorMessage(), text)
	conformance.count(countTexts, code+": "+text, same)
	if !same {
		t.Errorf("%s: %s\nwant %s: %s", api.ErrorCode(), api.ErrorMessage(), code, text)
	}
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); !ok || resp.HTTPStatusCode() != status {
		t.Errorf("%s: status of %v, want %d", code, err, status)
	}
}

func TestCreateFunctionAnswersAWSDefaults(t *testing.T) {
	n := start(t)
	out := n.create(t, "hello", nil)
	sum := sha256.Sum256([]byte("zip of hello"))
	for _, c := range []struct{ name, got, want string }{
		{"FunctionName", *out.FunctionName, "hello"},
		{"FunctionArn", *out.FunctionArn, "arn:aws:lambda:us-east-1:000000000000:function:hello"},
		{"Runtime", string(out.Runtime), "python3.11"},
		{"Role", *out.Role, role},
		{"Handler", *out.Handler, "index.handler"},
		{"CodeSize", fmt.Sprint(out.CodeSize), "12"},
		{"CodeSha256", *out.CodeSha256, base64.StdEncoding.EncodeToString(sum[:])},
		{"Description", *out.Description, ""},
		{"Timeout", fmt.Sprint(*out.Timeout), "3"},
		{"MemorySize", fmt.Sprint(*out.MemorySize), "128"},
		{"LastModified", *out.LastModified, "1970-01-01T00:00:01.005+0000"},
		{"Version", *out.Version, "$LATEST"},
		{"TracingConfig", string(out.TracingConfig.Mode), "PassThrough"},
		{"State", string(out.State), "Pending"},
		{"StateReason", *out.StateReason, "The function is being created."},
		{"StateReasonCode", string(out.StateReasonCode), "Creating"},
		{"LastUpdateStatus", string(out.LastUpdateStatus), ""},
		{"PackageType", string(out.PackageType), "Zip"},
		{"Architectures", fmt.Sprint(out.Architectures), "[x86_64]"},
		{"EphemeralStorage", fmt.Sprint(*out.EphemeralStorage.Size), "512"},
		{"SnapStart", string(out.SnapStart.ApplyOn) + string(out.SnapStart.OptimizationStatus), "NoneOff"},
		{"RuntimeVersionArn", *out.RuntimeVersionConfig.RuntimeVersionArn, "arn:aws:lambda:us-east-1::runtime:python3.11.2"},
		{"LogFormat", string(out.LoggingConfig.LogFormat), "Text"},
		{"LogGroup", *out.LoggingConfig.LogGroup, "/aws/lambda/hello"},
		{"ApplicationLogLevel", string(out.LoggingConfig.ApplicationLogLevel), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s is %q, want %q", c.name, c.got, c.want)
		}
	}
	if out.TenancyConfig != nil || out.Environment != nil || *out.RevisionId == "" {
		t.Errorf("tenancy %v, environment %v, revision %q", out.TenancyConfig, out.Environment, *out.RevisionId)
	}
}

func TestTenancyIsOnEveryConfigurationAnswered(t *testing.T) {
	n := start(t)
	ctx := context.Background()
	created := n.create(t, "f", func(in *lambda.CreateFunctionInput) {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	})
	name := aws.String("f")
	got := must[*lambda.GetFunctionOutput](t)(n.client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: name}))
	conf := must[*lambda.GetFunctionConfigurationOutput](t)(n.client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: name}))
	list := must[*lambda.ListFunctionsOutput](t)(n.client.ListFunctions(ctx, &lambda.ListFunctionsInput{}))
	published := must[*lambda.PublishVersionOutput](t)(n.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name}))
	versions := must[*lambda.ListVersionsByFunctionOutput](t)(n.client.ListVersionsByFunction(ctx, &lambda.ListVersionsByFunctionInput{FunctionName: name}))
	code := must[*lambda.UpdateFunctionCodeOutput](t)(n.client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: name, ZipFile: []byte("x")}))
	updated := must[*lambda.UpdateFunctionConfigurationOutput](t)(n.client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: name}))
	for where, tenancy := range map[string]*types.TenancyConfig{
		"CreateFunction": created.TenancyConfig, "GetFunction": got.Configuration.TenancyConfig, "GetFunctionConfiguration": conf.TenancyConfig,
		"ListFunctions": list.Functions[0].TenancyConfig, "PublishVersion": published.TenancyConfig,
		"ListVersionsByFunction": versions.Versions[1].TenancyConfig, "UpdateFunctionCode": code.TenancyConfig, "UpdateFunctionConfiguration": updated.TenancyConfig,
	} {
		if tenancy == nil || tenancy.TenantIsolationMode != "PER_TENANT" {
			t.Errorf("%s answers %v", where, tenancy)
		}
	}
}

func TestTenancyCannotBeChanged(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	path := "/2015-03-31/functions/f/configuration"
	for _, body := range []string{`{"TenancyConfig":{"TenantIsolationMode":"PER_TENANT"}}`, `{"TenancyConfig":{}}`, `{"TenancyConfig":"x","Timeout":4}`} {
		status, h, text := n.raw(t, "PUT", path, nil, body)
		if status != 400 || h.Get("X-Amzn-Errortype") != "InvalidParameterValueException" || !strings.Contains(text, "TenancyConfig can only be set when a function is created") {
			t.Errorf("%s: %d %s %s", body, status, h, text)
		}
	}
	if status, _, text := n.raw(t, "PUT", path, nil, `{"TenancyConfig":null,"Timeout":4}`); status != 200 {
		t.Errorf("null: %d %s", status, text)
	}
}

func TestWaitersEnd(t *testing.T) {
	n := start(t)
	ctx := context.Background()
	n.create(t, "f", nil)
	get := &lambda.GetFunctionInput{FunctionName: aws.String("f")}
	conf := &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("f")}
	const limit = time.Minute
	if err := lambda.NewFunctionActiveV2Waiter(n.client, func(o *lambda.FunctionActiveV2WaiterOptions) { o.MinDelay, o.MaxDelay = 1, time.Millisecond }).Wait(ctx, get, limit); err != nil {
		t.Error(err)
	}
	must[*lambda.UpdateFunctionCodeOutput](t)(n.client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("f"), ZipFile: []byte("2")}))
	if err := lambda.NewFunctionUpdatedV2Waiter(n.client, func(o *lambda.FunctionUpdatedV2WaiterOptions) { o.MinDelay, o.MaxDelay = 1, time.Millisecond }).Wait(ctx, get, limit); err != nil {
		t.Error(err)
	}
	if err := lambda.NewFunctionActiveWaiter(n.client).Wait(ctx, conf, limit); err != nil {
		t.Error(err)
	}
	if err := lambda.NewFunctionExistsWaiter(n.client).Wait(ctx, get, limit); err != nil {
		t.Error(err)
	}
}

func TestNamesAndQualifiersEverywhere(t *testing.T) {
	n := start(t)
	ctx := context.Background()
	n.create(t, "f", nil)
	must[*lambda.PublishVersionOutput](t)(n.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: aws.String("f"), Description: aws.String("one")}))
	const arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
	for _, c := range []struct{ name, qualifier, arn string }{
		{"f", "", arn}, {"f", "$LATEST", arn + ":$LATEST"}, {"f", "1", arn + ":1"}, {"f:1", "", arn + ":1"}, {"f:1", "1", arn + ":1"},
		{"000000000000:function:f", "", arn}, {"000000000000:function:f:1", "", arn + ":1"}, {"function:f", "", arn},
		{arn, "", arn}, {arn + ":$LATEST", "", arn + ":$LATEST"}, {arn + ":1", "", arn + ":1"}, {arn, "1", arn + ":1"},
	} {
		in := &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(c.name)}
		if c.qualifier != "" {
			in.Qualifier = aws.String(c.qualifier)
		}
		out, err := n.client.GetFunctionConfiguration(ctx, in)
		if err != nil {
			t.Errorf("%s %s: %v", c.name, c.qualifier, err)
		} else if *out.FunctionArn != c.arn {
			t.Errorf("%s %s: answered as %s", c.name, c.qualifier, *out.FunctionArn)
		}
		inv := &lambda.InvokeInput{FunctionName: aws.String(c.name), Qualifier: in.Qualifier}
		if _, err := n.client.Invoke(ctx, inv); err != nil {
			t.Errorf("invoke %s %s: %v", c.name, c.qualifier, err)
		}
		// Without encoding, as some clients send it.
		if status, _, text := n.raw(t, "GET", "/2015-03-31/functions/"+c.name+"/configuration?Qualifier="+c.qualifier, nil, ""); c.qualifier != "" && status != 200 {
			t.Errorf("raw %s: %d %s", c.name, status, text)
		}
	}
	for _, c := range []struct {
		name, qualifier, code, text string
		status                      int
	}{
		{"f:1", "2", "InvalidParameterValueException", "The derived qualifier from the function name does not match the specified qualifier.", 400},
		{"nope", "", "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope", 404},
		{"f", "7", "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:7", 404},
		{"f", "a b", "ValidationException", "'a b' at 'qualifier' failed to satisfy constraint", 400},
		{"a b", "", "ValidationException", "Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern", 400},
		{"a/b", "", "ValidationException", "at 'functionName'", 400},
		{strings.Repeat("a", 257), "", "ValidationException", "Member must have length less than or equal to 256", 400},
		{"arn:aws:lambda:eu-west-1:000000000000:function:f", "", "ResourceNotFoundException", "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')", 404},
		{"arn:aws:lambda:us-east-1:111111111111:function:f", "", "ResourceNotFoundException", "", 404},
	} {
		in := &lambda.GetFunctionInput{FunctionName: aws.String(c.name)}
		if c.qualifier != "" {
			in.Qualifier = aws.String(c.qualifier)
		}
		_, err := n.client.GetFunction(ctx, in)
		wantError(t, err, c.status, c.code, c.text)
	}
	_, err := n.client.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: aws.String(arn + ":1"), ReservedConcurrentExecutions: aws.Int32(1)})
	wantError(t, err, 400, "InvalidParameterValueException", "This operation is permitted on Lambda functions only.")
	if status, _, text := n.raw(t, "GET", "/2015-03-31/functions/f?Qualifier=", nil, ""); status != 400 || !strings.Contains(text, "at 'qualifier' failed") {
		t.Errorf("an empty qualifier: %d %s", status, text)
	}
}

func TestListFunctionsPages(t *testing.T) {
	n := start(t)
	ctx := context.Background()
	for i := range 7 {
		n.create(t, fmt.Sprintf("f%d", i), func(in *lambda.CreateFunctionInput) { in.Publish = i == 0 })
	}
	count := func(in *lambda.ListFunctionsInput) (arns []string, pages int) {
		p := lambda.NewListFunctionsPaginator(n.client, in)
		for p.HasMorePages() {
			for _, f := range must[*lambda.ListFunctionsOutput](t)(p.NextPage(ctx)).Functions {
				arns = append(arns, strings.TrimPrefix(*f.FunctionArn, "arn:aws:lambda:us-east-1:000000000000:function:"))
				if f.State != "" || f.LastUpdateStatus != "" {
					t.Errorf("a list answers states: %s %s", f.State, f.LastUpdateStatus)
				}
			}
			pages++
		}
		return arns, pages
	}
	if arns, pages := count(&lambda.ListFunctionsInput{MaxItems: aws.Int32(3)}); pages != 3 || strings.Join(arns, " ") != "f0 f1 f2 f3 f4 f5 f6" {
		t.Errorf("%d pages of %v", pages, arns)
	}
	if arns, pages := count(&lambda.ListFunctionsInput{FunctionVersion: "ALL", MasterRegion: aws.String("ALL")}); pages != 1 || len(arns) != 8 || arns[0] != "f0:$LATEST" || arns[1] != "f0:1" {
		t.Errorf("%d pages of %v", pages, arns)
	}
	_, err := n.client.ListFunctions(ctx, &lambda.ListFunctionsInput{FunctionVersion: "invalid"})
	wantError(t, err, 400, "ValidationException", "1 validation error detected: Value 'invalid' at 'functionVersion' failed to satisfy constraint: Member must satisfy enum value set: [ALL]")
	_, err = n.client.ListFunctions(ctx, &lambda.ListFunctionsInput{MaxItems: aws.Int32(10001)})
	wantError(t, err, 400, "ValidationException", "Value '10001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 10000")
	if status, _, text := n.raw(t, "GET", "/2015-03-31/functions/?MaxItems=x", nil, ""); status != 400 || !strings.Contains(text, "at 'maxItems'") {
		t.Errorf("MaxItems=x: %d %s", status, text)
	}
}

func TestUpdatePublishDelete(t *testing.T) {
	n := start(t)
	ctx := context.Background()
	name := aws.String("f")
	created := n.create(t, "f", func(in *lambda.CreateFunctionInput) { in.Publish = true; in.Environment = &types.Environment{} })
	if *created.Version != "1" || *created.FunctionArn != place.FunctionARN("f") || created.Environment == nil || len(created.Environment.Variables) != 0 {
		t.Errorf("created as %s %s %v", *created.Version, *created.FunctionArn, created.Environment)
	}
	updated := must[*lambda.UpdateFunctionConfigurationOutput](t)(n.client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: name, Description: aws.String("d"), MemorySize: aws.Int32(512), Timeout: aws.Int32(900), Runtime: types.RuntimeNodejs20x,
		Environment: &types.Environment{Variables: map[string]string{"AB": "c"}}, TracingConfig: &types.TracingConfig{Mode: types.TracingModeActive},
		EphemeralStorage: &types.EphemeralStorage{Size: aws.Int32(1024)}, LoggingConfig: &types.LoggingConfig{LogFormat: types.LogFormatJson, LogGroup: aws.String("g")},
	}))
	if updated.LastUpdateStatus != "InProgress" || *updated.LastUpdateStatusReason == "" || updated.LastUpdateStatusReasonCode != "Creating" {
		t.Errorf("an update answers %s %s", updated.LastUpdateStatus, updated.LastUpdateStatusReasonCode)
	}
	l := updated.LoggingConfig
	if *updated.Description != "d" || *updated.MemorySize != 512 || *updated.Timeout != 900 || updated.Runtime != "nodejs20.x" || updated.Environment.Variables["AB"] != "c" ||
		updated.TracingConfig.Mode != "Active" || *updated.EphemeralStorage.Size != 1024 || l.LogFormat != "JSON" || l.ApplicationLogLevel != "INFO" || l.SystemLogLevel != "INFO" || *l.LogGroup != "g" {
		t.Errorf("updated to %+v", updated)
	}
	_, err := n.client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: name, RevisionId: aws.String("wrong")})
	wantError(t, err, 412, "PreconditionFailedException", "The Revision Id provided does not match")
	text := must[*lambda.UpdateFunctionConfigurationOutput](t)(n.client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: name, LoggingConfig: &types.LoggingConfig{LogFormat: types.LogFormatText}}))
	if l := text.LoggingConfig; l.ApplicationLogLevel != "" || l.SystemLogLevel != "" || *l.LogGroup != "g" {
		t.Errorf("logging is %+v", l)
	}
	code := must[*lambda.UpdateFunctionCodeOutput](t)(n.client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: name, ZipFile: []byte("new"), Publish: true}))
	if *code.Version != "2" || !strings.HasSuffix(*code.FunctionArn, ":f:2") || code.CodeSize != 3 {
		t.Errorf("updated code to %s %s", *code.Version, *code.FunctionArn)
	}
	_, err = n.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name, CodeSha256: aws.String("x")})
	wantError(t, err, 400, "InvalidParameterValueException", "CodeSHA256 (x) is different from current CodeSHA256 in $LATEST")
	published := must[*lambda.PublishVersionOutput](t)(n.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name, CodeSha256: code.CodeSha256, Description: aws.String("three")}))
	if *published.Version != "3" || *published.Description != "three" {
		t.Errorf("published %s %s", *published.Version, *published.Description)
	}
	_, err = n.client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: name, Qualifier: aws.String("$LATEST")})
	wantError(t, err, 400, "InvalidParameterValueException", "$LATEST version cannot be deleted without deleting the function.")
	deleted := must[*lambda.DeleteFunctionOutput](t)(n.client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: name}))
	if deleted.StatusCode != http.StatusNoContent {
		t.Errorf("deleted with %d", deleted.StatusCode)
	}
	_, err = n.client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: name})
	wantError(t, err, 404, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f")
}

func TestConcurrencyTagsAndAccount(t *testing.T) {
	n := start(t)
	ctx := context.Background()
	name, arn := aws.String("f"), aws.String(place.FunctionARN("f"))
	n.create(t, "f", func(in *lambda.CreateFunctionInput) { in.Tags = map[string]string{"a": "1"} })
	put := must[*lambda.PutFunctionConcurrencyOutput](t)(n.client.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: name, ReservedConcurrentExecutions: aws.Int32(0)}))
	got := must[*lambda.GetFunctionConcurrencyOutput](t)(n.client.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: arn}))
	f := must[*lambda.GetFunctionOutput](t)(n.client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: name}))
	if *put.ReservedConcurrentExecutions != 0 || *got.ReservedConcurrentExecutions != 0 || *f.Concurrency.ReservedConcurrentExecutions != 0 || f.Tags["a"] != "1" {
		t.Errorf("zero reserved: %v %v %v %v", put, got, f.Concurrency, f.Tags)
	}
	must[*lambda.DeleteFunctionConcurrencyOutput](t)(n.client.DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: name}))
	if got := must[*lambda.GetFunctionConcurrencyOutput](t)(n.client.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: name})); got.ReservedConcurrentExecutions != nil {
		t.Errorf("still reserved: %d", *got.ReservedConcurrentExecutions)
	}
	if status, _, text := n.raw(t, "PUT", "/2017-10-31/functions/f/concurrency", nil, "{}"); status != 400 || !strings.Contains(text, "Value null at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must not be null") {
		t.Errorf("nothing reserved: %d %s", status, text)
	}
	must[*lambda.TagResourceOutput](t)(n.client.TagResource(ctx, &lambda.TagResourceInput{Resource: arn, Tags: map[string]string{"b/c": "2", "b-c": "3"}}))
	must[*lambda.UntagResourceOutput](t)(n.client.UntagResource(ctx, &lambda.UntagResourceInput{Resource: arn, TagKeys: []string{"a", "b/c"}}))
	if tags := must[*lambda.ListTagsOutput](t)(n.client.ListTags(ctx, &lambda.ListTagsInput{Resource: arn})).Tags; len(tags) != 1 || tags["b-c"] != "3" {
		t.Errorf("tags are %v", tags)
	}
	for _, c := range []struct{ resource, code, text string }{
		{"arn:aws:something", "ValidationException", "at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:"},
		{*arn + ":1", "InvalidParameterValueException", "Tags on function aliases and versions are not supported. Please specify a function ARN."},
	} {
		_, err := n.client.ListTags(ctx, &lambda.ListTagsInput{Resource: aws.String(c.resource)})
		wantError(t, err, 400, c.code, c.text)
	}
	_, err := n.client.ListTags(ctx, &lambda.ListTagsInput{Resource: aws.String(place.FunctionARN("nope"))})
	wantError(t, err, 404, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope")
	_, err = n.client.TagResource(ctx, &lambda.TagResourceInput{Resource: arn, Tags: map[string]string{}})
	wantError(t, err, 400, "InvalidParameterValueException", "An error occurred and the request cannot be processed.")
	account := must[*lambda.GetAccountSettingsOutput](t)(n.client.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{}))
	if l, u := account.AccountLimit, account.AccountUsage; l.ConcurrentExecutions != 1000 || *l.UnreservedConcurrentExecutions != 1000 || l.CodeSizeUnzipped != 262144000 ||
		l.CodeSizeZipped != 52428800 || l.TotalCodeSize != 300<<30 || u.FunctionCount != 1 || u.TotalCodeSize != 8 {
		t.Errorf("account: %+v %+v", l, u)
	}
}

func TestCodeLocationWorks(t *testing.T) {
	n := start(t)
	n.create(t, "f", nil)
	get := func() string {
		out := must[*lambda.GetFunctionOutput](t)(n.client.GetFunction(context.Background(), &lambda.GetFunctionInput{FunctionName: aws.String("f")}))
		if *out.Code.RepositoryType != "S3" {
			t.Errorf("repository type %s", *out.Code.RepositoryType)
		}
		return *out.Code.Location
	}
	fetch := func(method, url string) (int, http.Header, string) {
		r, err := http.NewRequest(method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header, string(body)
	}
	location := get()
	status, h, body := fetch("GET", location)
	if status != 200 || body != "zip of f" {
		t.Fatalf("%d %q", status, body)
	}
	if !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != "application/zip" {
		t.Errorf("headers %v", h)
	}
	digest := func(s string) string { sum := sha256.Sum256([]byte(s)); return fmt.Sprintf("%x", sum) }
	for name, url := range map[string]string{
		"other digest":    strings.Replace(location, digest("zip of f"), digest("x"), 1),
		"other caller":    strings.Replace(location, "000000000000", "000000000001", 1),
		"longer life":     strings.Replace(location, "expires=1", "expires=9", 1),
		"other signature": strings.Replace(location, "signature=", "signature=00", 1),
		"more":            location + "&expires=9999999999",
		"nothing":         strings.Split(location, "?")[0],
		"parent":          strings.Replace(location, "/code/", "/code/%2e%2e/", 1),
	} {
		if url == location {
			t.Fatalf("%s: nothing changed", name)
		}
		if status, _, body := fetch("GET", url); status != 403 || strings.Contains(body, "zip of") {
			t.Errorf("%s: %d %q", name, status, body)
		}
	}
	if status, _, _ := fetch("POST", location); status != 404 {
		t.Errorf("POST: %d", status)
	}
	n.now = n.now.Add(codeLife)
	if status, _, body := fetch("GET", location); status != 403 {
		t.Errorf("after ten minutes: %d %q", status, body)
	}
	if status, _, _ := fetch("GET", get()); status != 200 {
		t.Errorf("a new one: %d", status)
	}
}
