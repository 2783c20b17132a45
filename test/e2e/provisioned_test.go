package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// TestProvisionedConcurrency sees that environments wait before anybody comes,
// and that the first call finds one.
func TestProvisionedConcurrency(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		f := n.deploy(t, python, files{"main.py": "import os\ndef handler(event, context):\n    return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"})
		v, err := n.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: &f})
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.lambda.PutProvisionedConcurrencyConfig(t.Context(), &lambda.PutProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: v.Version, ProvisionedConcurrentExecutions: aws.Int32(2)})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "two environments are ready", func() bool {
			out, err := n.lambda.GetProvisionedConcurrencyConfig(t.Context(), &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: v.Version})
			if err != nil {
				t.Fatal(err)
			}
			return out.Status == types.ProvisionedConcurrencyStatusEnumReady && *out.AvailableProvisionedConcurrentExecutions == 2
		})
		if envs := n.all(t, f); len(envs) != 2 {
			t.Errorf("%d environments", len(envs))
		}
		var kind string
		inv := n.run(t, f, call{qualifier: *v.Version}, &kind)
		if inv.start == "cold" || kind != "provisioned-concurrency" {
			t.Errorf("the first call's start was %s, of an environment that is %q", inv.start, kind)
		}
		if _, err := n.lambda.DeleteProvisionedConcurrencyConfig(t.Context(), &lambda.DeleteProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: v.Version}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what waited is gone", func() bool { return len(n.all(t, f)) == 1 })
	})
}
