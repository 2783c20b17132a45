package lambdaapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/catalog"
)

// FuzzRequest sends anything to any route. There is no panic and no answer that
// blames the platform, and every error is in AWS's shape.
func FuzzRequest(f *testing.F) {
	const arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3A"
	names := strings.NewReplacer("{FunctionName}", "f", "{Resource}", arn+"function%3Af", "{ResourceArn}", arn+"function%3Af", "{Name}", "live",
		"{LayerName}", "l", "{VersionNumber}", "1", "{StatementId}", "s", "{CodeSigningConfigArn}", arn+"code-signing-config%3Acsc-aaaaaaaaaaaaaaaaa", "{", "", "}", "")
	for _, r := range table() {
		text, ok := validBodies[r.operation]
		if !ok {
			text = body(f, nil)
		}
		query := r.query
		if strings.Contains(r.path, "provisioned-concurrency") && query == "" {
			query = "Qualifier=live"
		}
		f.Add(r.method, names.Replace(r.path), query, text, "blue", "RequestResponse", "Tail", "e30=")
	}
	f.Add("GET", "/2015-03-31/functions/f:1", "Qualifier=%24LATEST&MaxItems=9&Marker=2&FunctionVersion=ALL&tagKeys=a", "", "a  b", "Event", "None", "")
	f.Add("PUT", "/2015-03-31/functions/f/configuration", "", `{"LoggingConfig":{"LogFormat":"JSON"},"Environment":{"Variables":{"AB":"c"}},"VpcConfig":{},"TenancyConfig":{}}`, "", "DryRun", "", "")
	f.Add("POST", "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:f", "", `{"Tags":{"a":"b"}}`, "", "", "", "")
	n := newRealNode(f)
	n.furnish(f)
	f.Fuzz(func(t *testing.T, method, path, query, text, tenant, kind, log, clientContext string) {
		r, err := http.NewRequest(method, "http://127.0.0.1/", bytes.NewReader([]byte(text)))
		if err != nil {
			return
		}
		r.RequestURI = "/" + strings.TrimPrefix(path, "/") + "?" + query
		r.URL.RawQuery = query
		r.Header.Set("Authorization", root.AccessKeyID)
		for name, value := range map[string]string{"X-Amz-Tenant-Id": tenant, "X-Amz-Invocation-Type": kind, "X-Amz-Log-Type": log, "X-Amz-Client-Context": clientContext} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		n.api.ServeHTTP(w, r)
		if w.Code >= 500 || w.Header().Get("X-Amzn-Requestid") == "" {
			t.Fatalf("%s %s: %d %s\n%s", method, r.RequestURI, w.Code, w.Body, n.log)
		}
		if w.Code >= 300 {
			var e struct{ Message *string }
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == nil || w.Header().Get("X-Amzn-Errortype") == "" {
				t.Fatalf("%s %s: %d %s", method, r.RequestURI, w.Code, w.Body)
			}
		}
	})
}

// validBodies are requests that succeed on a furnished node.
var validBodies = map[string]string{
	"AddPermission":                   `{"StatementId":"t","Action":"lambda:InvokeFunction","Principal":"*","SourceAccount":"000000000000"}`,
	"AddLayerVersionPermission":       `{"StatementId":"t","Action":"lambda:GetLayerVersion","Principal":"*"}`,
	"CreateFunction":                  `{"FunctionName":"g","Role":"arn:aws:iam::000000000000:role/r","Runtime":"python3.11","Handler":"index.handler","Code":{"ZipFile":"UEsDBBQAAAAAAAAAIQB+qJWeAwAAAAMAAAAIAAAAaW5kZXgucHl4PTFQSwECFAMUAAAAAAAAACEAfqiVngMAAAADAAAACAAAAAAAAAAAAAAAgAEAAAAAaW5kZXgucHlQSwUGAAAAAAEAAQA2AAAAKQAAAAAA"}}`,
	"CreateAlias":                     `{"Name":"other","FunctionVersion":"1","RoutingConfig":{"AdditionalVersionWeights":{"2":0.5}}}`,
	"CreateCodeSigningConfig":         `{"AllowedPublishers":{"SigningProfileVersionArns":["arn:aws:signer:us-east-1:000000000000:/p"]},"CodeSigningPolicies":{"UntrustedArtifactOnDeployment":"Warn"}}`,
	"CreateFunctionUrlConfig":         `{"AuthType":"NONE","Cors":{"AllowOrigins":["*"],"MaxAge":1},"InvokeMode":"BUFFERED"}`,
	"UpdateFunctionUrlConfig":         `{"AuthType":"AWS_IAM"}`,
	"PublishLayerVersion":             `{"Content":{"ZipFile":"UEsDBBQAAAAAAAAAIQB+qJWeAwAAAAMAAAAIAAAAaW5kZXgucHl4PTFQSwECFAMUAAAAAAAAACEAfqiVngMAAAADAAAACAAAAAAAAAAAAAAAgAEAAAAAaW5kZXgucHlQSwUGAAAAAAEAAQA2AAAAKQAAAAAA"},"CompatibleRuntimes":["python3.12"],"CompatibleArchitectures":["x86_64"]}`,
	"PublishVersion":                  `{"Description":"d"}`,
	"PutFunctionCodeSigningConfig":    `{"CodeSigningConfigArn":"arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-aaaaaaaaaaaaaaaaa"}`,
	"PutFunctionConcurrency":          `{"ReservedConcurrentExecutions":1}`,
	"PutFunctionEventInvokeConfig":    `{"MaximumRetryAttempts":1,"DestinationConfig":{"OnSuccess":{"Destination":"arn:aws:sqs:us-east-1:000000000000:q"},"OnFailure":{}}}`,
	"UpdateFunctionEventInvokeConfig": `{"MaximumEventAgeInSeconds":60}`,
	"PutFunctionRecursionConfig":      `{"RecursiveLoop":"Allow"}`,
	"PutProvisionedConcurrencyConfig": `{"ProvisionedConcurrentExecutions":2}`,
	"PutResourcePolicy": `{"Policy":"{\"Version\":\"2012-10-17\",\"Statement\":{\"Sid\":\"s\",\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"lambda:InvokeFunction\",` +
		`\"Resource\":\"arn:aws:lambda:us-east-1:000000000000:function:f\"}}"}`,
	"PutRuntimeManagementConfig":  `{"UpdateRuntimeOn":"Manual","RuntimeVersionArn":"arn:aws:lambda:us-east-1::runtime:python3.11.2"}`,
	"TagResource":                 `{"Tags":{"a":"b"}}`,
	"UpdateFunctionCode":          `{"ZipFile":"UEsDBBQAAAAAAAAAIQB+qJWeAwAAAAMAAAAIAAAAaW5kZXgucHl4PTFQSwECFAMUAAAAAAAAACEAfqiVngMAAAADAAAACAAAAAAAAAAAAAAAgAEAAAAAaW5kZXgucHlQSwUGAAAAAAEAAQA2AAAAKQAAAAAA"}`,
	"UpdateCodeSigningConfig":     `{"Description":"d"}`,
	"UpdateAlias":                 `{"FunctionVersion":"2","RoutingConfig":{"AdditionalVersionWeights":{}}}`,
	"UpdateFunctionConfiguration": `{"Layers":["arn:aws:lambda:us-east-1:000000000000:layer:l:1"],"LoggingConfig":{"LogFormat":"JSON"},"Environment":{"Variables":{"AB":"c"}}}`,
}

// moreBodies are bodies that succeed another way than those of validBodies.
var moreBodies = map[string][]string{
	"CreateFunction": {
		`{"FunctionName":"g","Role":"arn:aws:iam::000000000000:role/r","Runtime":"python3.11","Handler":"index.handler","Code":{"S3Bucket":"code","S3Key":"f.zip"},"TenancyConfig":{"TenantIsolationMode":"PER_TENANT"}}`,
		`{"FunctionName":"g","Role":"arn:aws:iam::000000000000:role/r","PackageType":"Image","Code":{"ImageUri":"r/one"},"ImageConfig":{"Command":["a"],"EntryPoint":["b"],"WorkingDirectory":"/c"}}`,
	},
	"PublishLayerVersion": {`{"Content":{"S3Bucket":"code","S3Key":"f.zip","S3ObjectVersion":"2"},"CompatibleRuntimes":["python3.11"]}`},
	"UpdateFunctionCode":  {`{"S3Bucket":"code","S3Key":"f.zip","Publish":true}`},
}

// furnish makes what valid requests name: a function with two versions, an alias
// and a layer.
func (n *realNode) furnish(t testing.TB) {
	t.Helper()
	ctx := context.Background()
	config := alcove.Config{Runtime: "python3.11", Handler: "index.handler", Role: role, Timeout: 3, MemorySize: 128, Ephemeral: 512,
		Architecture: "x86_64", PackageType: "Zip", Tracing: "PassThrough", Logging: alcove.Logging{Format: "Text", Group: "/aws/lambda/f"}}
	_, err := n.catalog.Create(ctx, root, catalog.CreateInput{Name: "f", Config: config, Zip: artifact.Sent(zipOf(t, "index.py", "f")), Publish: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.catalog.CreateAlias(ctx, root, "f", catalog.AliasInput{Name: "live", Version: "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.catalog.PublishLayer(ctx, root, catalog.LayerVersion{Name: "l"}, artifact.Sent(zipOf(t, "python/l.py", "l"))); err != nil {
		t.Fatal(err)
	}
}

// FuzzCodeURL looks for a URL that gives code away.
func FuzzCodeURL(f *testing.F) {
	n := newNode(f)
	code, err := n.catalog.store(artifact.Sent([]byte("zip")))
	if err != nil {
		f.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://127.0.0.1/", nil)
	good := n.api.codeURL(r, root, code.SHA256)
	f.Add(strings.TrimPrefix(good, "http://127.0.0.1"))
	f.Add(CodePath + "../" + code.SHA256 + "?caller=a&expires=1&signature=00")
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.NewRequest("GET", "http://127.0.0.1"+target, nil)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		n.api.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s: %d %s", target, w.Code, n.log)
		}
		if w.Code == 200 && r.URL.Path != CodePath+code.SHA256 {
			t.Fatalf("%s gave code away", target)
		}
	})
}
