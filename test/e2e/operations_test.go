package e2e

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// The same life of everything that the Lambda API has is led with each official
// client: made, read, listed in pages, changed, with conditions and without,
// refused, and removed. What a step asks for is AWS's JSON; "$x" in a text is what
// an earlier step saved as x.

// step is one request and what has to come of it.
type step struct {
	op   string
	in   object
	wait string // the waiter to use instead of an operation
	// code and text are of the error that has to come, status its HTTP status.
	code, text string
	status     int
	// want has what the answer must have at paths such as Code.Location or
	// Layers.0.Arn; "*" is anything, "-" nothing.
	want object
	// save keeps what is at a path under a name.
	save map[string]string
	// pages reads the list of that name a page of one at a time: n are there.
	pages string
	n     int
	// payload is the JSON that an invocation has to answer with.
	payload string
}

const (
	functionsARN = "arn:aws:lambda:us-east-1:000000000000:function:"
	wrongRev     = "00000000-0000-0000-0000-000000000000"
	revText      = "The Revision Id provided does not match the latest Revision Id. Call the "
	profile      = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/p"
	notFound     = "ResourceNotFoundException"
	mismatch     = "PreconditionFailedException"
	conflict     = "ResourceConflictException"
	badValue     = "InvalidParameterValueException"
)

// lives are the steps, by the noun that they are about.
func lives(zip, zip2, layer string) []struct {
	noun  string
	steps []step
} {
	f := func(more object) object {
		more = clone(more)
		more["FunctionName"] = "$f"
		return more
	}
	live := func(more object) object { more = f(more); more["Qualifier"] = "live"; return more }
	code := object{"ZipFile": zip}
	return []struct {
		noun  string
		steps []step
	}{
		{"function", []step{
			{op: "CreateFunction", in: f(object{"Runtime": "python3.13", "Handler": "main.handler", "Role": role, "Code": code, "Description": "first", "Timeout": 20,
				"Tags": object{"team": "a b"}, "Environment": object{"Variables": object{"AB": "c"}}}),
				want: object{"State": "Pending", "StateReasonCode": "Creating", "FunctionArn": functionsARN + "$f", "Version": "$LATEST", "MemorySize": 128.0, "PackageType": "Zip",
					"TracingConfig.Mode": "PassThrough", "EphemeralStorage.Size": 512.0, "TenancyConfig": "-", "RevisionId": "*", "LastModified": "*"}},
			{wait: "FunctionExists", in: f(nil)},
			{wait: "FunctionActiveV2", in: f(nil)},
			{wait: "FunctionActive", in: f(nil)},
			{op: "CreateFunction", in: f(object{"Runtime": "python3.13", "Handler": "main.handler", "Role": role, "Code": code}), code: conflict, status: 409, text: "Function already exist: $f"},
			{op: "CreateFunction", in: object{"FunctionName": "other", "Runtime": "python3.13", "Handler": "main.handler", "Role": "r1", "Code": code}, code: "ValidationException", status: 400,
				text: "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint"},
			{op: "CreateFunction", in: object{"FunctionName": "other", "Runtime": "python3.13", "Handler": "main.handler", "Role": role, "Code": object{"ZipFile": base64.StdEncoding.EncodeToString([]byte("none"))}},
				code: badValue, status: 400, text: "Could not unzip uploaded file. Please check your file, then try to upload again."},
			{op: "GetFunction", in: f(nil), want: object{"Configuration.State": "Active", "Configuration.LastUpdateStatus": "Successful", "Tags.team": "a b", "Code.Location": "*", "Code.RepositoryType": "S3"}},
			{op: "GetFunctionConfiguration", in: f(nil), want: object{"Description": "first", "Environment.Variables.AB": "c"}, save: map[string]string{"rev": "RevisionId", "sha": "CodeSha256"}},
			{op: "UpdateFunctionConfiguration", in: f(object{"Description": "second", "RevisionId": wrongRev}), code: mismatch, status: 412, text: revText},
			{op: "UpdateFunctionConfiguration", in: f(object{"Description": "second", "MemorySize": 256, "RevisionId": "$rev"}), want: object{"Description": "second", "LastUpdateStatus": "InProgress"}},
			{wait: "FunctionUpdatedV2", in: f(nil)},
			{op: "GetFunctionConfiguration", in: f(nil), want: object{"MemorySize": 256.0}, save: map[string]string{"rev2": "RevisionId"}},
			{op: "UpdateFunctionCode", in: f(object{"ZipFile": zip2, "RevisionId": "$rev"}), code: mismatch, status: 412, text: revText},
			{op: "UpdateFunctionCode", in: f(object{"ZipFile": zip2, "DryRun": true, "RevisionId": "$rev2"})},
			{op: "GetFunctionConfiguration", in: f(nil), want: object{"CodeSha256": "$sha"}},
			{op: "UpdateFunctionCode", in: f(object{"ZipFile": zip2, "RevisionId": "$rev2"}), want: object{"LastUpdateStatus": "InProgress"}},
			{wait: "FunctionUpdated", in: f(nil)},
			{op: "Invoke", in: f(object{"Payload": base64.StdEncoding.EncodeToString([]byte("{}"))}), want: object{"StatusCode": 200.0, "ExecutedVersion": "$LATEST"}, payload: "2"},
			{op: "Invoke", in: f(object{"InvocationType": "DryRun"}), want: object{"StatusCode": 204.0}},
			{op: "Invoke", in: f(object{"InvocationType": "Event", "Payload": base64.StdEncoding.EncodeToString([]byte("{}"))}), want: object{"StatusCode": 202.0}},
			{op: "InvokeAsync", in: f(object{"InvokeArgs": base64.StdEncoding.EncodeToString([]byte("{}"))}), want: object{"Status": 202.0}},
			{op: "InvokeWithResponseStream", in: f(object{"Payload": base64.StdEncoding.EncodeToString([]byte("{}"))}), want: object{"ExecutedVersion": "$LATEST", "Complete": true, "ErrorCode": ""}, payload: "2"},
		}},
		{"version", []step{
			{op: "PublishVersion", in: f(object{"RevisionId": wrongRev}), code: mismatch, status: 412, text: revText},
			{op: "PublishVersion", in: f(object{"CodeSha256": "wrong"}), code: badValue, status: 400, text: "CodeSHA256 (wrong) is different from current CodeSHA256 in $LATEST ("},
			{op: "PublishVersion", in: f(object{"Description": "one"}), want: object{"Version": "1", "Description": "one", "FunctionArn": functionsARN + "$f:1"}},
			{wait: "PublishedVersionActive", in: f(object{"Qualifier": "1"})},
			{op: "UpdateFunctionConfiguration", in: f(object{"Timeout": 21})},
			{wait: "FunctionUpdatedV2", in: f(nil)},
			{op: "PublishVersion", in: f(nil), want: object{"Version": "2", "Timeout": 21.0}},
			{op: "ListVersionsByFunction", in: f(nil), pages: "Versions", n: 3},
			{op: "ListFunctions", in: object{"FunctionVersion": "ALL"}, pages: "Functions", n: 3},
			{op: "ListFunctions", in: object{}, pages: "Functions", n: 1},
			{op: "GetFunction", in: f(object{"Qualifier": "2"}), want: object{"Configuration.Version": "2"}},
			{op: "GetFunction", in: f(object{"Qualifier": "9"}), code: notFound, status: 404, text: "Function not found: " + functionsARN + "$f:9"},
		}},
		{"alias", []step{
			{op: "CreateAlias", in: f(object{"Name": "live", "FunctionVersion": "9"}), code: notFound, status: 404, text: "Function not found: " + functionsARN + "$f:9"},
			{op: "CreateAlias", in: f(object{"Name": "live", "FunctionVersion": "1", "Description": "d"}), want: object{"AliasArn": functionsARN + "$f:live", "FunctionVersion": "1"}},
			{op: "CreateAlias", in: f(object{"Name": "live", "FunctionVersion": "1"}), code: conflict, status: 409, text: "Alias already exists: " + functionsARN + "$f:live"},
			{op: "CreateAlias", in: f(object{"Name": "next", "FunctionVersion": "2"})},
			{op: "GetAlias", in: f(object{"Name": "live"}), want: object{"Description": "d"}, save: map[string]string{"alias": "RevisionId"}},
			{op: "GetAlias", in: f(object{"Name": "none"}), code: notFound, status: 404, text: "Cannot find alias arn: " + functionsARN + "$f:none"},
			{op: "UpdateAlias", in: f(object{"Name": "live", "FunctionVersion": "2", "RevisionId": wrongRev}), code: mismatch, status: 412, text: revText},
			{op: "UpdateAlias", in: f(object{"Name": "live", "RoutingConfig": object{"AdditionalVersionWeights": object{"2": 1.0}}, "RevisionId": "$alias"}),
				want: object{"RoutingConfig.AdditionalVersionWeights.2": 1.0}},
			{op: "Invoke", in: live(nil), want: object{"ExecutedVersion": "2"}, payload: "2"},
			{op: "ListAliases", in: f(nil), pages: "Aliases", n: 2},
			{op: "ListAliases", in: f(object{"FunctionVersion": "2"}), pages: "Aliases", n: 1},
			{op: "DeleteFunction", in: f(object{"Qualifier": "2"}), code: conflict, status: 409},
		}},
		{"permission", []step{
			{op: "GetPolicy", in: live(nil), code: notFound, status: 404, text: "The resource you requested does not exist."},
			{op: "AddPermission", in: live(object{"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com", "SourceArn": "arn:aws:sns:us-east-1:000000000000:t"}), want: object{"Statement": "*"}},
			{op: "AddPermission", in: live(object{"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"}), code: conflict, status: 409, text: "The statement id (s) provided already exists."},
			{op: "AddPermission", in: live(object{"StatementId": "t", "Action": "lambda:InvokeFunction", "Principal": "*", "RevisionId": wrongRev}), code: mismatch, status: 412, text: revText},
			{op: "GetPolicy", in: live(nil), want: object{"Policy": "*"}, save: map[string]string{"policy": "RevisionId"}},
			{op: "RemovePermission", in: live(object{"StatementId": "s", "RevisionId": wrongRev}), code: mismatch, status: 412, text: revText},
			{op: "RemovePermission", in: live(object{"StatementId": "none"}), code: notFound, status: 404, text: "Statement none is not found in resource policy."},
			{op: "RemovePermission", in: live(object{"StatementId": "s", "RevisionId": "$policy"})},
			{op: "GetPolicy", in: live(nil), code: notFound, status: 404, text: "The resource you requested does not exist."},
			{op: "PutResourcePolicy", in: object{"ResourceArn": functionsARN + "$f", "Policy": `{"Version":"2012-10-17","Statement":[{"Sid":"p","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunction","Resource":"` + functionsARN + `$f"}]}`},
				want: object{"Policy": "*"}, save: map[string]string{"resource": "RevisionId"}},
			{op: "GetResourcePolicy", in: object{"ResourceArn": functionsARN + "$f"}, want: object{"RevisionId": "$resource"}},
			{op: "DeleteResourcePolicy", in: object{"ResourceArn": functionsARN + "$f", "RevisionId": "$resource"}},
			{op: "GetResourcePolicy", in: object{"ResourceArn": functionsARN + "$f"}, code: notFound, status: 404},
		}},
		{"concurrency", []step{
			{op: "GetFunctionConcurrency", in: f(nil), want: object{"ReservedConcurrentExecutions": "-"}},
			{op: "PutFunctionConcurrency", in: f(object{"ReservedConcurrentExecutions": 100000}), code: badValue, status: 400, text: "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."},
			{op: "PutFunctionConcurrency", in: f(object{"ReservedConcurrentExecutions": 5}), want: object{"ReservedConcurrentExecutions": 5.0}},
			{op: "GetFunctionConcurrency", in: f(nil), want: object{"ReservedConcurrentExecutions": 5.0}},
			{op: "GetFunction", in: f(nil), want: object{"Concurrency.ReservedConcurrentExecutions": 5.0}},
			{op: "GetAccountSettings", in: object{}, want: object{"AccountLimit.UnreservedConcurrentExecutions": 995.0, "AccountUsage.FunctionCount": 1.0}},
			{op: "DeleteFunctionConcurrency", in: f(nil)},
			{op: "GetFunctionConcurrency", in: f(nil), want: object{"ReservedConcurrentExecutions": "-"}},
		}},
		{"event source mappings", []step{
			{op: "ListEventSourceMappings", in: f(nil), want: object{"EventSourceMappings": []any{}}},
			{op: "ListEventSourceMappings", in: object{"EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:q"}, want: object{"EventSourceMappings": []any{}}},
		}},
		{"provisioned concurrency", []step{
			{op: "PutProvisionedConcurrencyConfig", in: f(object{"Qualifier": "$LATEST", "ProvisionedConcurrentExecutions": 1}), code: badValue, status: 400, text: "Provisioned Concurrency Configs cannot be applied to unpublished function versions."},
			{op: "GetProvisionedConcurrencyConfig", in: f(object{"Qualifier": "1"}), code: "ProvisionedConcurrencyConfigNotFoundException", status: 404, text: "No Provisioned Concurrency Config found for this function"},
			{op: "PutProvisionedConcurrencyConfig", in: f(object{"Qualifier": "1", "ProvisionedConcurrentExecutions": 1}), want: object{"RequestedProvisionedConcurrentExecutions": 1.0}},
			{op: "PutProvisionedConcurrencyConfig", in: f(object{"Qualifier": "next", "ProvisionedConcurrentExecutions": 1}), want: object{"Status": "*"}},
			{op: "GetProvisionedConcurrencyConfig", in: f(object{"Qualifier": "1"}), want: object{"RequestedProvisionedConcurrentExecutions": 1.0, "LastModified": "*"}},
			{op: "ListProvisionedConcurrencyConfigs", in: f(nil), pages: "ProvisionedConcurrencyConfigs", n: 2},
			{op: "DeleteProvisionedConcurrencyConfig", in: f(object{"Qualifier": "1"})},
			{op: "DeleteProvisionedConcurrencyConfig", in: f(object{"Qualifier": "next"})},
			{op: "GetProvisionedConcurrencyConfig", in: f(object{"Qualifier": "1"}), code: "ProvisionedConcurrencyConfigNotFoundException", status: 404},
		}},
		{"event invoke config", []step{
			{op: "GetFunctionEventInvokeConfig", in: f(nil), code: notFound, status: 404, text: "The function " + functionsARN + "$f:$LATEST doesn't have an EventInvokeConfig"},
			{op: "PutFunctionEventInvokeConfig", in: f(object{"MaximumRetryAttempts": 1}), want: object{"MaximumRetryAttempts": 1.0, "FunctionArn": functionsARN + "$f:$LATEST", "LastModified": "*"}},
			{op: "PutFunctionEventInvokeConfig", in: live(object{"MaximumEventAgeInSeconds": 60}), want: object{"FunctionArn": functionsARN + "$f:live"}},
			{op: "UpdateFunctionEventInvokeConfig", in: f(object{"MaximumEventAgeInSeconds": 70}), want: object{"MaximumRetryAttempts": 1.0, "MaximumEventAgeInSeconds": 70.0}},
			{op: "GetFunctionEventInvokeConfig", in: f(nil), want: object{"MaximumEventAgeInSeconds": 70.0}},
			{op: "ListFunctionEventInvokeConfigs", in: f(nil), pages: "FunctionEventInvokeConfigs", n: 2},
			{op: "DeleteFunctionEventInvokeConfig", in: f(nil)},
			{op: "DeleteFunctionEventInvokeConfig", in: f(nil), code: notFound, status: 404},
		}},
		{"function URL", []step{
			{op: "GetFunctionUrlConfig", in: f(nil), code: notFound, status: 404, text: "The resource you requested does not exist."},
			{op: "CreateFunctionUrlConfig", in: f(object{"AuthType": "AWS_IAM", "Cors": object{"AllowOrigins": []string{"*"}, "MaxAge": 5}}), want: object{"AuthType": "AWS_IAM", "FunctionUrl": "*", "Cors.MaxAge": 5.0}},
			{op: "CreateFunctionUrlConfig", in: f(object{"AuthType": "NONE"}), code: conflict, status: 409, text: "Failed to create function url config for [functionArn = " + functionsARN + "$f]. Error message:  FunctionUrlConfig exists for this Lambda function"},
			{op: "CreateFunctionUrlConfig", in: live(object{"AuthType": "NONE"}), want: object{"FunctionArn": functionsARN + "$f:live"}},
			{op: "UpdateFunctionUrlConfig", in: f(object{"Cors": object{"MaxAge": 6}}), want: object{"Cors.MaxAge": 6.0, "AuthType": "AWS_IAM"}},
			{op: "GetFunctionUrlConfig", in: f(nil), want: object{"Cors.MaxAge": 6.0, "LastModifiedTime": "*"}},
			{op: "ListFunctionUrlConfigs", in: f(nil), pages: "FunctionUrlConfigs", n: 2},
			{op: "DeleteFunctionUrlConfig", in: f(nil)},
			{op: "DeleteFunctionUrlConfig", in: f(nil), code: notFound, status: 404, text: "The resource you requested does not exist."},
		}},
		{"code signing", []step{
			{op: "CreateCodeSigningConfig", in: object{"Description": "d", "AllowedPublishers": object{"SigningProfileVersionArns": []string{profile}}}, want: object{"CodeSigningConfig.CodeSigningPolicies.UntrustedArtifactOnDeployment": "Warn"},
				save: map[string]string{"csc": "CodeSigningConfig.CodeSigningConfigArn"}},
			{op: "CreateCodeSigningConfig", in: object{"AllowedPublishers": object{"SigningProfileVersionArns": []string{profile}}, "CodeSigningPolicies": object{"UntrustedArtifactOnDeployment": "Enforce"}},
				save: map[string]string{"csc2": "CodeSigningConfig.CodeSigningConfigArn"}},
			{op: "GetCodeSigningConfig", in: object{"CodeSigningConfigArn": "$csc"}, want: object{"CodeSigningConfig.Description": "d"}},
			{op: "UpdateCodeSigningConfig", in: object{"CodeSigningConfigArn": "$csc", "Description": "e"}, want: object{"CodeSigningConfig.Description": "e"}},
			{op: "ListCodeSigningConfigs", in: object{}, pages: "CodeSigningConfigs", n: 2},
			{op: "GetFunctionCodeSigningConfig", in: f(nil), want: object{"CodeSigningConfigArn": "-"}},
			{op: "PutFunctionCodeSigningConfig", in: f(object{"CodeSigningConfigArn": "$csc"}), want: object{"CodeSigningConfigArn": "$csc", "FunctionName": "$f"}},
			{op: "GetFunctionCodeSigningConfig", in: f(nil), want: object{"CodeSigningConfigArn": "$csc"}},
			{op: "ListFunctionsByCodeSigningConfig", in: object{"CodeSigningConfigArn": "$csc"}, pages: "FunctionArns", n: 1},
			{op: "DeleteCodeSigningConfig", in: object{"CodeSigningConfigArn": "$csc"}, code: conflict, status: 409},
			{op: "DeleteFunctionCodeSigningConfig", in: f(nil)},
			{op: "DeleteCodeSigningConfig", in: object{"CodeSigningConfigArn": "$csc"}},
			{op: "GetCodeSigningConfig", in: object{"CodeSigningConfigArn": "$csc"}, code: notFound, status: 404, text: "The Lambda code signing configuration $csc can not be found."},
			{op: "DeleteCodeSigningConfig", in: object{"CodeSigningConfigArn": "$csc2"}},
		}},
		{"layer", []step{
			{op: "PublishLayerVersion", in: object{"LayerName": "$l", "Content": object{"ZipFile": layer}, "CompatibleRuntimes": []string{"python3.13"}, "LicenseInfo": "MIT"}, want: object{"Version": 1.0, "LayerVersionArn": "*"},
				save: map[string]string{"layer": "LayerVersionArn"}},
			{op: "PublishLayerVersion", in: object{"LayerName": "$l", "Content": object{"ZipFile": layer}, "Description": "second"}, want: object{"Version": 2.0}},
			{op: "GetLayerVersion", in: object{"LayerName": "$l", "VersionNumber": 1}, want: object{"Content.Location": "*", "Content.CodeSha256": "*", "LicenseInfo": "MIT"}},
			{op: "GetLayerVersion", in: object{"LayerName": "$l", "VersionNumber": 9}, code: notFound, status: 404, text: "The resource you requested does not exist."},
			{op: "GetLayerVersionByArn", in: object{"Arn": "$layer"}, want: object{"Version": 1.0}},
			{op: "ListLayers", in: object{}, pages: "Layers", n: 1},
			{op: "ListLayers", in: object{"CompatibleRuntime": "nodejs22.x"}, pages: "Layers", n: 0},
			{op: "ListLayerVersions", in: object{"LayerName": "$l"}, pages: "LayerVersions", n: 2},
			{op: "UpdateFunctionConfiguration", in: f(object{"Layers": []string{"$layer"}}), want: object{"Layers.0.Arn": "$layer"}},
			{wait: "FunctionUpdatedV2", in: f(nil)},
			{op: "AddLayerVersionPermission", in: object{"LayerName": "$l", "VersionNumber": 1, "StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"}, want: object{"Statement": "*"}},
			{op: "AddLayerVersionPermission", in: object{"LayerName": "$l", "VersionNumber": 1, "StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"}, code: conflict, status: 409, text: "The statement id (s) provided already exists. Please provide a new statement id, or remove the existing statement."},
			{op: "AddLayerVersionPermission", in: object{"LayerName": "$l", "VersionNumber": 1, "StatementId": "t", "Action": "lambda:GetLayerVersion", "Principal": "*", "RevisionId": wrongRev}, code: mismatch, status: 412, text: "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id"},
			{op: "GetLayerVersionPolicy", in: object{"LayerName": "$l", "VersionNumber": 1}, want: object{"Policy": "*"}, save: map[string]string{"layerRev": "RevisionId"}},
			{op: "RemoveLayerVersionPermission", in: object{"LayerName": "$l", "VersionNumber": 1, "StatementId": "s", "RevisionId": "$layerRev"}},
			{op: "GetLayerVersionPolicy", in: object{"LayerName": "$l", "VersionNumber": 1}, code: notFound, status: 404, text: "No policy is associated with the given resource."},
			{op: "DeleteLayerVersion", in: object{"LayerName": "$l", "VersionNumber": 1}},
			{op: "DeleteLayerVersion", in: object{"LayerName": "$l", "VersionNumber": 1}}, // as on AWS
			{op: "DeleteLayerVersion", in: object{"LayerName": "$l", "VersionNumber": 2}},
			{op: "ListLayerVersions", in: object{"LayerName": "$l"}, pages: "LayerVersions", n: 0},
			{op: "GetFunctionConfiguration", in: f(nil), want: object{"Layers.0.Arn": "$layer"}},
		}},
		{"settings", []step{
			{op: "TagResource", in: object{"Resource": functionsARN + "$f", "Tags": object{"a": "1"}}},
			{op: "ListTags", in: object{"Resource": functionsARN + "$f"}, want: object{"Tags.a": "1", "Tags.team": "a b"}},
			{op: "UntagResource", in: object{"Resource": functionsARN + "$f", "TagKeys": []string{"a", "none"}}},
			{op: "ListTags", in: object{"Resource": functionsARN + "$f"}, want: object{"Tags.a": "-"}},
			{op: "TagResource", in: object{"Resource": functionsARN + "none", "Tags": object{"a": "1"}}, code: notFound, status: 404, text: "Function not found: " + functionsARN + "none"},
			{op: "GetFunctionRecursionConfig", in: f(nil), want: object{"RecursiveLoop": "Terminate"}},
			{op: "PutFunctionRecursionConfig", in: f(object{"RecursiveLoop": "Allow"}), want: object{"RecursiveLoop": "Allow"}},
			{op: "GetRuntimeManagementConfig", in: f(nil), want: object{"UpdateRuntimeOn": "Auto"}},
			{op: "PutRuntimeManagementConfig", in: f(object{"UpdateRuntimeOn": "FunctionUpdate"}), want: object{"UpdateRuntimeOn": "FunctionUpdate"}},
		}},
		{"tenants", []step{
			{op: "CreateFunction", in: object{"FunctionName": "$g", "Runtime": "python3.13", "Handler": "main.handler", "Role": role, "Code": code, "Timeout": 20, "TenancyConfig": object{"TenantIsolationMode": "PER_TENANT"}},
				want: object{"TenancyConfig.TenantIsolationMode": "PER_TENANT"}},
			{wait: "FunctionActiveV2", in: object{"FunctionName": "$g"}},
			{op: "Invoke", in: object{"FunctionName": "$g"}, code: badValue, status: 400, text: "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again."},
			{op: "Invoke", in: object{"FunctionName": "$g", "TenantId": "blue"}, want: object{"StatusCode": 200.0}, payload: "1"},
			{op: "Invoke", in: f(object{"TenantId": "blue"}), code: badValue, status: 400, text: "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again."},
			{op: "CreateFunctionUrlConfig", in: object{"FunctionName": "$g", "AuthType": "NONE"}, code: badValue, status: 400, text: "Function URL is not supported for functions enabled with tenancy configuration"},
			{op: "InvokeAsync", in: object{"FunctionName": "$g", "InvokeArgs": "e30="}, code: badValue, status: 400, text: "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again."},
			{op: "DeleteFunction", in: object{"FunctionName": "$g"}},
		}},
		{"end", []step{
			{op: "DeleteAlias", in: f(object{"Name": "next"})},
			{op: "DeleteAlias", in: f(object{"Name": "live"})},
			{op: "DeleteAlias", in: f(object{"Name": "live"})}, // as on AWS
			{op: "DeleteFunction", in: f(object{"Qualifier": "2"})},
			{op: "DeleteFunction", in: f(object{"Qualifier": "$LATEST"}), code: badValue, status: 400, text: "$LATEST version cannot be deleted without deleting the function."},
			{op: "DeleteFunction", in: f(nil)},
			{op: "ListFunctions", in: object{}, pages: "Functions", n: 0},
		}},
	}
}

// missing are operations about a function that is not there.
func missing(zip string) []step {
	const text = "Function not found: " + functionsARN + "none"
	var list []step
	for op, in := range map[string]object{
		"GetFunction": {}, "GetFunctionConfiguration": {}, "DeleteFunction": {}, "UpdateFunctionConfiguration": {"Timeout": 3}, "PublishVersion": {}, "ListVersionsByFunction": {},
		"Invoke": {}, "CreateAlias": {"Name": "a", "FunctionVersion": "1"}, "ListAliases": {}, "AddPermission": {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"},
		"PutFunctionConcurrency": {"ReservedConcurrentExecutions": 1}, "GetFunctionConcurrency": {}, "DeleteFunctionConcurrency": {}, "GetFunctionCodeSigningConfig": {},
		"GetFunctionRecursionConfig": {}, "PutFunctionRecursionConfig": {"RecursiveLoop": "Allow"}, "GetRuntimeManagementConfig": {},
		"PutRuntimeManagementConfig": {"UpdateRuntimeOn": "Auto"}, "InvokeWithResponseStream": {}, "InvokeAsync": {"InvokeArgs": "e30="},
	} {
		in["FunctionName"] = "none"
		list = append(list, step{op: op, in: in, code: notFound, status: 404, text: text})
	}
	for op, in := range map[string]object{ // whose texts name no function, or a version of it
		"GetAlias": {"Name": "a"}, "UpdateAlias": {"Name": "a"}, "GetPolicy": {}, "RemovePermission": {"StatementId": "s"}, "UpdateFunctionCode": {"ZipFile": zip},
		"PutFunctionEventInvokeConfig": {"MaximumRetryAttempts": 1}, "UpdateFunctionEventInvokeConfig": {"MaximumRetryAttempts": 1}, "GetFunctionEventInvokeConfig": {}, "DeleteFunctionEventInvokeConfig": {}, "ListFunctionEventInvokeConfigs": {},
		"CreateFunctionUrlConfig": {"AuthType": "NONE"}, "UpdateFunctionUrlConfig": {"AuthType": "NONE"}, "GetFunctionUrlConfig": {}, "DeleteFunctionUrlConfig": {}, "ListFunctionUrlConfigs": {},
		"PutProvisionedConcurrencyConfig": {"Qualifier": "1", "ProvisionedConcurrentExecutions": 1}, "DeleteFunctionCodeSigningConfig": {}, "ListProvisionedConcurrencyConfigs": {},
		"PutFunctionCodeSigningConfig": {"CodeSigningConfigArn": "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-aaaaaaaaaaaaaaaaa"},
	} {
		in["FunctionName"] = "none"
		code := notFound
		if op == "PutFunctionCodeSigningConfig" {
			code = "CodeSigningConfigNotFoundException"
		}
		list = append(list, step{op: op, in: in, code: code, status: 404})
	}
	slices.SortFunc(list, func(a, b step) int { return strings.Compare(a.op, b.op) })
	return list
}

// TestConflictWhileAnUpdateIsInProgress changes a function from many sides at
// once: whoever comes while a change is under way is refused, in AWS's words, and
// the waiter that official clients use gets them through.
func TestConflictWhileAnUpdateIsInProgress(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": answers1})
	refused := 0
	for round := 0; round < 50 && refused == 0; round++ {
		answers := make(chan error)
		for i := range 8 {
			go func() {
				_, err := n.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &f, Timeout: aws.Int32(int32(10 + i))})
				answers <- err
			}()
		}
		done := 0
		for range 8 {
			err := <-answers
			if err == nil {
				done++
				continue
			}
			refused++
			wantError(t, err, 409, conflict, "The operation cannot be performed at this time. An update is in progress for resource: "+functionsARN+f)
		}
		if done == 0 {
			t.Fatal("nobody could change it")
		}
		n.updated(t, f)
	}
	if refused == 0 {
		t.Error("nobody was refused")
	}
}
