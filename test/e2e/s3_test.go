package e2e

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// TestCodeFromS3 deploys from an S3-compatible server that the operator named: by
// the root key, and by keys that may read some of it.
func TestCodeFromS3(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("code"); err != nil {
		t.Fatal(err)
	}
	put := func(key string, code files) {
		t.Helper()
		zip := code.Zip(t)
		if _, err := backend.PutObject("code", key, map[string]string{}, strings.NewReader(string(zip)), int64(len(zip)), nil); err != nil {
			t.Fatal(err)
		}
	}
	put("mine/one.zip", files{"main.py": "import lib\ndef handler(event, context):\n    return ['one', lib.name]\n"})
	put("mine/two.zip", files{"main.py": "import lib\ndef handler(event, context):\n    return ['two', lib.name]\n"})
	put("mine/layer.zip", files{"python/lib.py": "name = 'layer'\n"})
	srv := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(srv.Close)

	n, err := launchAs([]string{"/usr/bin/env", "AWS_ACCESS_KEY_ID=AKIAS3", "AWS_SECRET_ACCESS_KEY=s3secret", "AWS_EC2_METADATA_DISABLED=true", program},
		t.TempDir(), "--isolation", "namespace", "--s3-endpoint", srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
		if strings.Contains(n.Log.String(), "s3secret") {
			t.Error("the log has the secret")
		}
	})
	ctx := t.Context()
	layer, err := n.lambda.PublishLayerVersion(ctx, &lambda.PublishLayerVersionInput{LayerName: aws.String("lib"),
		Content: &types.LayerVersionContentInput{S3Bucket: aws.String("code"), S3Key: aws.String("mine/layer.zip")}})
	if err != nil {
		t.Fatal(err)
	}
	f := name(t)
	create := func(key string) *lambda.CreateFunctionInput {
		return &lambda.CreateFunctionInput{FunctionName: &f, Role: aws.String(role), Runtime: python, Handler: aws.String("main.handler"),
			Layers: []string{*layer.LayerVersionArn}, Code: &types.FunctionCode{S3Bucket: aws.String("code"), S3Key: &key}}
	}
	_, err = n.lambda.CreateFunction(ctx, create("mine/nope.zip"))
	wantError(t, err, 400, "InvalidParameterValueException", "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.")
	if _, err := n.lambda.CreateFunction(ctx, create("mine/one.zip")); err != nil {
		t.Fatal(err)
	}
	n.active(t, f)
	if got := n.invoke(t, f, call{payload: `{}`}); string(got.Payload) != `["one", "layer"]` {
		t.Errorf("%s", got.Payload)
	}

	// A key may deploy what it may read, and nothing else that the node can.
	const may = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"},{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::code/mine/*"}]}`
	put("theirs/secret.zip", files{"main.py": "x = 1\n"})
	key := n.makeKey(t, "deployer", may)
	client := n.lambdaAs(key)
	update := func(key string) error {
		_, err := client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &f, S3Bucket: aws.String("code"), S3Key: &key})
		return err
	}
	wantError(t, update("theirs/secret.zip"), 403, "AccessDeniedException", "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for code/theirs/secret.zip.")
	wantError(t, update("mine/../theirs/secret.zip"), 400, "InvalidParameterValueException", "cannot be used")
	if err := update("mine/two.zip"); err != nil {
		t.Fatal(err)
	}
	n.updated(t, f)
	if got := n.invoke(t, f, call{payload: `{}`}); string(got.Payload) != `["two", "layer"]` {
		t.Errorf("%s", got.Payload)
	}
}
