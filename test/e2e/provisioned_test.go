package e2e

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
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
		cw := cloudwatch.New(cloudwatch.Options{Region: "us-east-1", BaseEndpoint: &n.url, RetryMaxAttempts: 1, Credentials: credentials.StaticCredentialsProvider{Value: n.key}})
		for name, want := range map[string]float64{"ProvisionedConcurrencyInvocations": 1, "ProvisionedConcurrencySpilloverInvocations": 0, "ProvisionedConcurrentExecutions": 1, "ProvisionedConcurrencyUtilization": 0.5} {
			eventually(t, name+" is measured", func() bool {
				out, err := cw.GetMetricStatistics(t.Context(), &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String("AWS/Lambda"), MetricName: &name, Period: aws.Int32(86400),
					Dimensions: []cwtypes.Dimension{{Name: aws.String("FunctionName"), Value: &f}, {Name: aws.String("Resource"), Value: aws.String(f + ":" + *v.Version)}},
					Statistics: []cwtypes.Statistic{cwtypes.StatisticMaximum}, StartTime: aws.Time(time.Now().AddDate(0, 0, -1)), EndTime: aws.Time(time.Now().Add(time.Hour))})
				if err != nil {
					t.Fatal(err)
				}
				return len(out.Datapoints) == 1 && *out.Datapoints[0].Maximum == want
			})
		}
		if _, err := n.lambda.DeleteProvisionedConcurrencyConfig(t.Context(), &lambda.DeleteProvisionedConcurrencyConfigInput{FunctionName: &f, Qualifier: v.Version}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what waited is gone", func() bool { return len(n.all(t, f)) == 1 })
	})
}
