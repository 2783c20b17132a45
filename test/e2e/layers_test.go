package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// layer publishes a version of a layer and gives its ARN.
func (n *node) layer(t *testing.T, layer string, content files) string {
	t.Helper()
	out, err := n.lambda.PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: &layer, Content: &types.LayerVersionContentInput{ZipFile: content.Zip(t)}})
	if err != nil {
		t.Fatal(err)
	}
	return *out.LayerVersionArn
}

func layers(arns ...string) option {
	return func(in *lambda.CreateFunctionInput) { in.Layers = arns }
}

// TestLayers runs functions whose modules, data and runtime come from layers.
func TestLayers(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		first := n.layer(t, name(t), files{"python/shared.py": "who = 'first'", "python/only.py": "who = 'only first'", "data.txt": "first",
			"nodejs/node_modules/shared/index.js": "exports.who = 'first'"})
		second := n.layer(t, name(t), files{"python/shared.py": "who = 'second'", "data.txt": "second", "lib/x": "second",
			"nodejs/node_modules/shared/index.js": "exports.who = 'second'"})

		f := n.deploy(t, python, files{"main.py": `
import os, only, shared
def handler(event, context):
    try:
        open("/opt/new", "w")
        write = "written"
    except OSError as e:
        write = e.strerror
    return [shared.who, only.who, open("/opt/data.txt").read(), sorted(os.listdir("/opt")), write]
`}, isolated, layers(first, second))
		var got []any
		n.run(t, f, call{tenant: "a"}, &got)
		if len(got) != 5 || got[0] != "second" || got[1] != "only first" || got[2] != "second" || len(got[3].([]any)) != 4 || got[4] == "written" {
			t.Errorf("Python sees %v", got)
		}
		// In the other order, as an update that new environments see.
		_, err := n.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &f, Layers: []string{second, first}})
		if err != nil {
			t.Fatal(err)
		}
		n.updated(t, f)
		n.run(t, f, call{tenant: "a"}, &got)
		if got[0] != "first" || got[2] != "first" {
			t.Errorf("in the other order Python sees %v", got)
		}

		g := n.deploy(t, nodejs, files{"main.js": "const shared = require('shared'); exports.handler = async () => shared.who"}, layers(first))
		var who string
		n.run(t, g, call{}, &who)
		if who != "first" {
			t.Errorf("Node sees %q", who)
		}

		boot := n.layer(t, name(t), directory(t, "../../examples/bootstrap-shell"))
		h := n.deploy(t, provided, files{"empty.txt": ""}, handler("any"), layers(boot))
		var shell struct{ Count int }
		n.run(t, h, call{}, &shell)
		if shell.Count != 1 {
			t.Errorf("a bootstrap from a layer answers %+v", shell)
		}
	})
}

// TestAliases invokes versions by way of aliases.
func TestAliases(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		const code = "import os\ndef handler(event, context):\n    return [os.environ['AWS_LAMBDA_FUNCTION_VERSION'], context.invoked_function_arn]\n"
		f := n.deploy(t, python, files{"main.py": "one"})
		publish := func(text string) string {
			_, err := n.lambda.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &f, ZipFile: files{"main.py": text}.Zip(t)})
			if err != nil {
				t.Fatal(err)
			}
			n.updated(t, f)
			v, err := n.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: &f})
			if err != nil {
				t.Fatal(err)
			}
			return *v.Version
		}
		one := publish(code + "#1")
		two := publish(code + "#2")
		alias := func(weights map[string]float64) {
			t.Helper()
			_, err := n.lambda.UpdateAlias(t.Context(), &lambda.UpdateAliasInput{FunctionName: &f, Name: aws.String("live"),
				RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights}})
			if err != nil {
				t.Fatal(err)
			}
		}
		made, err := n.lambda.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: &f, Name: aws.String("live"), FunctionVersion: &one})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			weights map[string]float64
			want    string
		}{{nil, one}, {map[string]float64{two: 1}, two}, {map[string]float64{two: 0}, one}} {
			if c.weights != nil {
				alias(c.weights)
			}
			var got []string
			inv := n.run(t, f, call{qualifier: "live"}, &got)
			if *inv.ExecutedVersion != c.want || got[0] != c.want || got[1] != *made.AliasArn {
				t.Errorf("with %v: version %s, %v", c.weights, *inv.ExecutedVersion, got)
			}
		}
	})
}
