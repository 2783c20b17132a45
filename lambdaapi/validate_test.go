package lambdaapi

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// body makes the JSON of a valid CreateFunction with members replaced; a nil
// value takes a member out.
func body(t testing.TB, changes map[string]any) string {
	t.Helper()
	in := map[string]any{"FunctionName": "f", "Role": role, "Runtime": "python3.11", "Handler": "index.handler",
		"Code": map[string]any{"ZipFile": base64.StdEncoding.EncodeToString([]byte("zip"))}}
	maps.Copy(in, changes)
	maps.DeleteFunc(in, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

type object = map[string]any

func TestCreateFunctionRefuses(t *testing.T) {
	n := start(t)
	long := strings.Repeat("a", 65)
	for _, c := range []struct {
		name    string
		changes object
		code    string
		text    string
	}{
		{"no name", object{"FunctionName": nil}, "ValidationException", "1 validation error detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null"},
		{"nothing", object{"FunctionName": nil, "Role": nil, "Code": nil}, "ValidationException", "3 validation errors detected: Value null at 'functionName' failed"},
		{"malformed name", object{"FunctionName": "invalid:function:name"}, "ValidationException", "Value 'invalid:function:name' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?"},
		{"long name", object{"FunctionName": long}, "InvalidParameterValueException", "1 validation error detected: Value '" + long + "' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		{"very long name", object{"FunctionName": strings.Repeat("a", 141)}, "ValidationException", "at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 140"},
		{"qualified name", object{"FunctionName": "f:1"}, "InvalidParameterValueException", "This operation is permitted on Lambda functions only."},
		{"role", object{"Role": "r1"}, "ValidationException", `1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`},
		{"runtime", object{"Runtime": "PYTHON3.9"}, "InvalidParameterValueException", "Value PYTHON3.9 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [python3.11] or be a valid ARN"},
		{"runtime this node lacks", object{"Runtime": "java21"}, "InvalidParameterValueException", "This node has no Java."},
		{"no runtime", object{"Runtime": nil}, "InvalidParameterValueException", "Runtime and Handler are mandatory parameters for functions created with deployment packages."},
		{"no handler", object{"Handler": nil}, "InvalidParameterValueException", "Runtime and Handler are mandatory"},
		{"handler with a space", object{"Handler": "a b"}, "ValidationException", "Value 'a b' at 'handler'"},
		{"long handler", object{"Handler": strings.Repeat("a", 129)}, "ValidationException", "at 'handler' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"long description", object{"Description": strings.Repeat("é", 257)}, "ValidationException", "at 'description' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{"timeout 0", object{"Timeout": 0}, "ValidationException", "Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"timeout 901", object{"Timeout": 901}, "ValidationException", "Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900"},
		{"memory 127", object{"MemorySize": 127}, "ValidationException", "Value '127' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128"},
		{"memory 10241", object{"MemorySize": 10241}, "ValidationException", "less than or equal to 10240"},
		{"timeout and memory", object{"Timeout": -1, "MemorySize": 1}, "ValidationException", "2 validation errors detected: Value '-1' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1; Value '1' at 'memorySize'"},
		{"timeout and a key, which is not there yet", object{"Timeout": 0, "KMSKeyArn": "x"}, "ValidationException", "; Value 'x' at 'kMSKeyArn' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()"},
		{"subnets", object{"VpcConfig": object{"SubnetIds": make([]string, 17)}}, "ValidationException", "at 'vpcConfig.subnetIds' failed to satisfy constraint: Member must have length less than or equal to 16"},
		{"storage 511", object{"EphemeralStorage": object{"Size": 511}}, "ValidationException", "Value '511' at 'ephemeralStorage.size'"},
		{"storage without size", object{"EphemeralStorage": object{}}, "ValidationException", "Value null at 'ephemeralStorage.size'"},
		{"tracing", object{"TracingConfig": object{"Mode": "x"}}, "ValidationException", "Value 'x' at 'tracingConfig.mode' failed to satisfy constraint: Member must satisfy enum value set: [Active, PassThrough]"},
		{"log format", object{"LoggingConfig": object{"LogFormat": "xml"}}, "ValidationException", "at 'loggingConfig.logFormat'"},
		{"log level", object{"LoggingConfig": object{"LogFormat": "JSON", "SystemLogLevel": "TRACE"}}, "ValidationException", "at 'loggingConfig.systemLogLevel'"},
		{"log level with text", object{"LoggingConfig": object{"ApplicationLogLevel": "INFO"}}, "InvalidParameterValueException", `LogLevel is not supported when LogFormat is set to "Text".`},
		{"log group", object{"LoggingConfig": object{"LogGroup": "a b"}}, "ValidationException", "at 'loggingConfig.logGroup'"},
		{"two architectures", object{"Architectures": []string{"x86_64", "arm64"}}, "ValidationException", "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member must have length less than or equal to 1"},
		{"upper-case architecture", object{"Architectures": []string{"X86_64"}}, "ValidationException", "Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"},
		{"no architecture", object{"Architectures": []string{}}, "ValidationException", "at 'architectures'"},
		{"other architecture", object{"Architectures": []string{"arm64"}}, "InvalidParameterValueException", "Architecture arm64 is not available here: this node runs x86_64."},
		{"package type", object{"PackageType": "x"}, "ValidationException", "at 'packageType' failed to satisfy constraint: Member must satisfy enum value set: [Zip, Image]"},
		{"image with a handler", object{"PackageType": "Image", "Runtime": nil, "Code": object{"ImageUri": "x"}}, "InvalidParameterValueException", "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."},
		{"image without an image", object{"PackageType": "Image", "Runtime": nil, "Handler": nil}, "InvalidParameterValueException", "Please provide only ImageUri"},
		{"no image", object{"PackageType": "Image", "Runtime": nil, "Handler": nil, "Code": object{}}, "InvalidParameterValueException", "Please provide a source for function code."},
		{"image in a zip", object{"Code": object{"ImageUri": "x"}}, "InvalidParameterValueException", "Please don't provide ImageUri"},
		{"working directory", object{"ImageConfig": object{"WorkingDirectory": strings.Repeat("x", 1001)}}, "ValidationException", "at 'imageConfig.workingDirectory' failed to satisfy constraint: Member must have length less than or equal to 1000"},
		{"relative directory", object{"PackageType": "Image", "Runtime": nil, "Handler": nil, "Code": object{"ImageUri": "x"}, "ImageConfig": object{"WorkingDirectory": "x"}}, "InvalidParameterValueException", "absolute"},
		{"NUL", object{"PackageType": "Image", "Runtime": nil, "Handler": nil, "Code": object{"ImageUri": "x"}, "ImageConfig": object{"Command": []string{"x\x00"}}}, "InvalidParameterValueException", "NUL"},
		{"s3", object{"Code": object{"S3Bucket": "bucket", "S3Key": "k"}}, "InvalidParameterValueException", "Deployment packages in Amazon S3 are not enabled on this node. Send the package as ZipFile, or have the node's operator name an S3-compatible endpoint with --s3-endpoint."},
		{"s3 and zip", object{"Code": object{"S3Bucket": "bucket", "S3Key": "k", "ZipFile": "eA=="}}, "InvalidParameterValueException", "Please do not provide other FunctionCode parameters when providing a ZipFile."},
		{"no code", object{"Code": object{}}, "InvalidParameterValueException", "Please provide a source for function code."},
		{"tenancy without mode", object{"TenancyConfig": object{}}, "ValidationException", "Value null at 'tenancyConfig.tenantIsolationMode' failed to satisfy constraint: Member must not be null"},
		{"tenancy", object{"TenancyConfig": object{"TenantIsolationMode": "SHARED"}}, "ValidationException", "Value 'SHARED' at 'tenancyConfig.tenantIsolationMode' failed to satisfy constraint: Member must satisfy enum value set: [PER_TENANT]"},
		{"vpc", object{"VpcConfig": object{"SubnetIds": []string{"subnet-1"}}}, "InvalidParameterValueException", "VpcConfig is not supported yet"},
		{"layers", object{"Layers": []string{"arn"}}, "ValidationException", "Value '[arn]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:\\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+), Member must not be null]"},
		{"files", object{"FileSystemConfigs": []object{{"Arn": "x"}}}, "InvalidParameterValueException", "FileSystemConfigs is not supported yet"},
		{"image config", object{"ImageConfig": object{"Command": []string{"x"}}}, "InvalidParameterValueException", "ImageConfig is for functions with packageType Image"},
		{"dead letters", object{"DeadLetterConfig": object{"TargetArn": "arn"}}, "ValidationException", "Value 'arn' at 'deadLetterConfig.targetArn' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()"},
		{"dead letters to a bucket", object{"DeadLetterConfig": object{"TargetArn": "arn:aws:s3:::bucket"}}, "InvalidParameterValueException", "The provided target ARN arn:aws:s3:::bucket is neither an SQS queue nor an SNS topic."},
		{"dead letters to nowhere", object{"DeadLetterConfig": object{"TargetArn": "arn:aws:sqs:us-east-1:000000000000:unreachable"}}, "InvalidParameterValueException", "its operator has given it no endpoint for sqs"},
		{"kms", object{"KMSKeyArn": "arn:aws:kms:x"}, "InvalidParameterValueException", "KMSKeyArn is not supported yet"},
		{"snap start", object{"SnapStart": object{"ApplyOn": "PublishedVersions"}}, "InvalidParameterValueException", "SnapStart is not supported yet"},
		{"snap start value", object{"SnapStart": object{"ApplyOn": "invalidOption"}}, "ValidationException", "Value 'invalidOption' at 'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]"},
		{"code signing", object{"CodeSigningConfigArn": "arn"}, "ValidationException", "Value 'arn' at 'codeSigningConfigArn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws"},
		{"capacity provider", object{"CapacityProviderConfig": object{"a": 1}}, "InvalidParameterValueException", "CapacityProviderConfig is not supported yet"},
		{"durable", object{"DurableConfig": object{"ExecutionTimeout": 1}}, "InvalidParameterValueException", "DurableConfig is not supported yet"},
		{"variable name", object{"Environment": object{"Variables": object{"1A": "secret"}}}, "ValidationException", "at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"},
		{"variable with NUL", object{"Environment": object{"Variables": object{"AB": "a\x00b"}}}, "ValidationException", "U+0000"},
		{"reserved variables", object{"Environment": object{"Variables": object{"AWS_REGION": "x", "AB": "c", "LAMBDA_TASK_ROOT": "/"}}}, "InvalidParameterValueException", "Reserved keys used in this request: AWS_REGION, LAMBDA_TASK_ROOT"},
		{"large variables", object{"Environment": object{"Variables": object{"AB": strings.Repeat("x", 4096-len(`{"AB":""}`)+1)}}}, "InvalidParameterValueException", `exceeded the 4KB limit. String measured: {"AB":"xxx`},
		{"tag key", object{"Tags": object{"aws:x": "y"}}, "ValidationException", "at 'tags'"},
		{"tag value", object{"Tags": object{"x": strings.Repeat("y", 257)}}, "ValidationException", "at 'tags'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, h, text := n.raw(t, "POST", "/2015-03-31/functions", nil, body(t, c.changes))
			var answer struct{ Message string }
			if err := json.Unmarshal([]byte(text), &answer); err != nil {
				t.Fatal(err)
			}
			same := status == 400 && h.Get("X-Amzn-Errortype") == c.code && strings.Contains(answer.Message, c.text)
			conformance.count(countTexts, c.code+": "+c.text, same)
			if !same {
				t.Errorf("%d %s\n%s\nwant %s", status, h.Get("X-Amzn-Errortype"), text, c.text)
			}
			if strings.Contains(text, "secret") {
				t.Error("the answer repeats a variable's value")
			}
			if len(n.catalog.functions) != 0 {
				t.Fatal("a function was made")
			}
		})
	}
}

func TestCreateFunctionTakesEmptyForms(t *testing.T) {
	n := start(t)
	for name, changes := range map[string]object{
		"all": {"VpcConfig": object{"SubnetIds": []string{}, "SecurityGroupIds": []string{}, "Ipv6AllowedForDualStack": false}, "Layers": []string{},
			"FileSystemConfigs": []object{}, "ImageConfig": object{}, "DeadLetterConfig": object{}, "KMSKeyArn": "", "SnapStart": object{"ApplyOn": "None"},
			"CodeSigningConfigArn": "", "CapacityProviderConfig": object{}, "DurableConfig": object{}, "Environment": object{}, "Tags": object{}, "TracingConfig": object{},
			"LoggingConfig": object{}, "PublishTo": ""},
		"null":         {"VpcConfig": json.RawMessage("null"), "Layers": json.RawMessage("null"), "TenancyConfig": json.RawMessage("null"), "Timeout": json.RawMessage("null")},
		"dead letters": {"DeadLetterConfig": object{"TargetArn": ""}},
		"unknown":      {"Unknown": object{"a": []int{1}}},
		"largest":      {"Timeout": 900, "MemorySize": 10240, "EphemeralStorage": object{"Size": 10240}, "Environment": object{"Variables": object{"AB": strings.Repeat("x", 4096-len(`{"AB":""}`))}}},
		"by arn":       {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:f"},
		"64 letters":   {"FunctionName": strings.Repeat("a", 64)},
	} {
		status, _, text := n.raw(t, "POST", "/2015-03-31/functions", nil, body(t, changes))
		if status != 201 {
			t.Errorf("%s: %d %s", name, status, text)
		}
		clear(n.catalog.functions)
	}
}

// TestContentTypeIsNotLookedAt: clients send several, and none; what counts is what
// the body is.
func TestContentTypeIsNotLookedAt(t *testing.T) {
	n := start(t)
	for _, kind := range []string{"", "application/json", "application/x-amz-json-1.1", "application/octet-stream", "application/x-www-form-urlencoded", "text/xml", "nonsense"} {
		clear(n.catalog.functions)
		if status, _, text := n.raw(t, "POST", "/2015-03-31/functions", http.Header{"Content-Type": {kind}}, body(t, nil)); status != 201 {
			t.Errorf("CreateFunction with %q: %d %s", kind, status, text)
		}
		if status, _, text := n.raw(t, "POST", invocations, http.Header{"Content-Type": {kind}}, "{}"); status != 200 {
			t.Errorf("Invoke with %q: %d %s", kind, status, text)
		}
	}
}

func TestBodiesAreReadStrictly(t *testing.T) {
	n := start(t)
	for _, c := range []struct{ body, code, text string }{
		{"{", "InvalidRequestContentException", "Could not parse request body into json: "},
		{"x", "InvalidRequestContentException", "Could not parse request body into json: "},
		{"{} {}", "InvalidRequestContentException", "Could not parse request body into json: "},
		{"{\"FunctionName\":\"\x87\"}", "InvalidRequestContentException", "invalid UTF-8"},
		{"[]", "SerializationException", "START_ARRAY can not be converted to a Structure"},
		{`"x"`, "SerializationException", "STRING_VALUE can not be converted to a Structure"},
		{`{"FunctionName":1}`, "SerializationException", "NUMBER_VALUE can not be converted to a String"},
		{`{"FunctionName":{}}`, "SerializationException", "START_OBJECT can not be converted to a String"},
		{`{"Timeout":"3"}`, "SerializationException", "STRING_VALUE can not be converted to an Integer"},
		{`{"Timeout":3.5}`, "SerializationException", "NUMBER_VALUE can not be converted to an Integer"},
		{`{"Timeout":99999999999999999999}`, "SerializationException", "NUMBER_VALUE can not be converted to an Integer"},
		{`{"Publish":"true"}`, "SerializationException", "STRING_VALUE can not be converted to a Boolean"},
		{`{"Code":{"ZipFile":"***"}}`, "SerializationException", "not valid Base64"},
		{`{"Code":{"ZipFile":[1]}}`, "SerializationException", "START_ARRAY can not be converted to a Blob"},
		{`{"Layers":"x"}`, "SerializationException", "STRING_VALUE can not be converted to a List"},
		{`{"Tags":{"a":1}}`, "SerializationException", "NUMBER_VALUE can not be converted to a String"},
		{"", "ValidationException", "3 validation errors detected"},
		{" ", "ValidationException", "3 validation errors detected"},
	} {
		status, h, text := n.raw(t, "POST", "/2015-03-31/functions", nil, c.body)
		if status != 400 || h.Get("X-Amzn-Errortype") != c.code || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s %s", c.body, status, h.Get("X-Amzn-Errortype"), text)
		}
	}
}
