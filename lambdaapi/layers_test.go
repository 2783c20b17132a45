package lambdaapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

const layerARN = "arn:aws:lambda:us-east-1:000000000000:layer:"

// layer publishes a version of a layer.
func (n *realNode) layer(t testing.TB, name string, change func(*lambda.PublishLayerVersionInput)) *lambda.PublishLayerVersionOutput {
	t.Helper()
	in := &lambda.PublishLayerVersionInput{LayerName: &name, Content: &types.LayerVersionContentInput{ZipFile: zipOf(t, "python/"+name+".py", name)}}
	if change != nil {
		change(in)
	}
	return must[*lambda.PublishLayerVersionOutput](t)(n.PublishLayerVersion(t.Context(), in))
}

func TestLayerLifeCycle(t *testing.T) {
	n := startReal(t)
	made := n.layer(t, "l", func(in *lambda.PublishLayerVersionInput) {
		in.Description, in.LicenseInfo = aws.String("d"), aws.String("MIT")
		in.CompatibleRuntimes, in.CompatibleArchitectures = []types.Runtime{"python3.12"}, []types.Architecture{"x86_64"}
	})
	if *made.LayerArn != layerARN+"l" || *made.LayerVersionArn != layerARN+"l:1" || made.Version != 1 || *made.Description != "d" || *made.LicenseInfo != "MIT" ||
		made.CompatibleRuntimes[0] != "python3.12" || !strings.HasSuffix(*made.CreatedDate, "+0000") {
		t.Errorf("made %+v", made)
	}
	resp, err := http.Get(*made.Content.Location)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || int64(len(body)) != made.Content.CodeSize {
		t.Errorf("%d bytes of %d: %v", len(body), made.Content.CodeSize, err)
	}
	if two := n.layer(t, "l", nil); two.Version != 2 || two.CompatibleRuntimes != nil {
		t.Errorf("the second: %+v", two)
	}
	n.layer(t, "other", nil)

	got := must[*lambda.GetLayerVersionOutput](t)(n.GetLayerVersion(t.Context(), &lambda.GetLayerVersionInput{LayerName: aws.String(layerARN + "l"), VersionNumber: aws.Int64(1)}))
	by := must[*lambda.GetLayerVersionByArnOutput](t)(n.GetLayerVersionByArn(t.Context(), &lambda.GetLayerVersionByArnInput{Arn: made.LayerVersionArn}))
	if *got.Content.CodeSha256 != *made.Content.CodeSha256 || *by.LayerVersionArn != *made.LayerVersionArn || *by.Description != "d" {
		t.Errorf("got %+v and %+v", got, by)
	}
	listed := func(in *lambda.ListLayersInput) (list []string) {
		for p := lambda.NewListLayersPaginator(n, in); p.HasMorePages(); {
			for _, l := range must[*lambda.ListLayersOutput](t)(p.NextPage(t.Context())).Layers {
				list = append(list, fmt.Sprint(*l.LayerName, l.LatestMatchingVersion.Version))
			}
		}
		return list
	}
	if got := listed(&lambda.ListLayersInput{MaxItems: aws.Int32(1)}); fmt.Sprint(got) != "[l2 other1]" {
		t.Errorf("layers %v", got)
	}
	if got := listed(&lambda.ListLayersInput{CompatibleRuntime: "python3.12", CompatibleArchitecture: "x86_64"}); fmt.Sprint(got) != "[l1]" {
		t.Errorf("layers for Python %v", got)
	}
	versions := func() (list []int64) {
		for p := lambda.NewListLayerVersionsPaginator(n, &lambda.ListLayerVersionsInput{LayerName: aws.String("l"), MaxItems: aws.Int32(1)}); p.HasMorePages(); {
			for _, l := range must[*lambda.ListLayerVersionsOutput](t)(p.NextPage(t.Context())).LayerVersions {
				list = append(list, l.Version)
			}
		}
		return list
	}
	if got := versions(); fmt.Sprint(got) != "[2 1]" {
		t.Errorf("versions %v", got)
	}
	for range 2 { // the second finds nothing
		must[*lambda.DeleteLayerVersionOutput](t)(n.DeleteLayerVersion(t.Context(), &lambda.DeleteLayerVersionInput{LayerName: aws.String("l"), VersionNumber: aws.Int64(2)}))
	}
	if three := n.layer(t, "l", nil); three.Version != 3 {
		t.Errorf("a number is used again: %d", three.Version)
	}
	if got := versions(); fmt.Sprint(got) != "[3 1]" {
		t.Errorf("versions %v", got)
	}
}

func TestLayersRefuse(t *testing.T) {
	n := startReal(t)
	n.layer(t, "l", nil)
	const none = "The resource you requested does not exist."
	for _, c := range []struct {
		layer   string
		version int64
		code    string
		text    string
	}{
		{"nope", 1, "ResourceNotFoundException", none}, {"l", 2, "ResourceNotFoundException", none},
		{"l", 0, "InvalidParameterValueException", "Layer Version Cannot be less than 1"}, {"l", -1, "InvalidParameterValueException", "Layer Version Cannot be less than 1"},
		{"arn:aws:lambda:us-east-1:111111111111:layer:l", 1, "ResourceNotFoundException", none},
	} {
		_, err := n.GetLayerVersion(t.Context(), &lambda.GetLayerVersionInput{LayerName: &c.layer, VersionNumber: &c.version})
		refused(t, err, c.code, c.text)
	}
	_, err := n.GetLayerVersionByArn(t.Context(), &lambda.GetLayerVersionByArnInput{Arn: aws.String(layerARN + "l:2")})
	refused(t, err, "ResourceNotFoundException", none)
	_, err = n.GetLayerVersionByArn(t.Context(), &lambda.GetLayerVersionByArnInput{Arn: aws.String(layerARN + "l")})
	refused(t, err, "ValidationException", "1 validation error detected: Value '"+layerARN+`l' at 'arn' failed to satisfy constraint: Member must satisfy regular expression pattern: `+
		`(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)`)
	_, err = n.PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: aws.String("l"), Content: &types.LayerVersionContentInput{ZipFile: []byte("x")},
		CompatibleRuntimes: []types.Runtime{"invalidruntime"}, CompatibleArchitectures: []types.Architecture{"invalidarch"}})
	const recorded = "Value '[invalidruntime]' at 'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: [nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, " +
		"nodejs24.x, nodejs22.x, java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2]"
	const architectures = "Value '[invalidarch]' at 'compatibleArchitectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
	refused(t, err, "ValidationException", "2 validation errors detected: "+architectures+"; "+recorded)
	_, err = n.PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: aws.String("l"), Content: &types.LayerVersionContentInput{ZipFile: []byte("no zip")}})
	refused(t, err, "InvalidParameterValueException", "Could not unzip uploaded file. Please check your file, then try to upload again.")
	_, err = n.ListLayers(t.Context(), &lambda.ListLayersInput{CompatibleArchitecture: "archdoesnotexist"})
	refused(t, err, "ValidationException", "1 validation error detected: Value 'archdoesnotexist' at 'compatibleArchitecture' failed to satisfy constraint: Member must satisfy enum value set: [x86_64, arm64]")
	if out := must[*lambda.ListLayerVersionsOutput](t)(n.ListLayerVersions(t.Context(), &lambda.ListLayerVersionsInput{LayerName: aws.String("nope")})); len(out.LayerVersions) != 0 {
		t.Errorf("versions of nothing: %v", out.LayerVersions)
	}
}

func TestFunctionsHaveLayers(t *testing.T) {
	n := startReal(t)
	n.layer(t, "a", nil)
	n.layer(t, "a", nil)
	for i := range 5 {
		n.layer(t, fmt.Sprint("l", i), nil)
	}
	n.function(t, "f", func(in *lambda.CreateFunctionInput) { in.Layers = []string{layerARN + "a:1", layerARN + "l0:1"} })
	layers := func() (list []string) {
		c := must[*lambda.GetFunctionConfigurationOutput](t)(n.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String("f")}))
		for _, l := range c.Layers {
			if l.CodeSize == 0 {
				t.Errorf("%s has no size", *l.Arn)
			}
			list = append(list, strings.TrimPrefix(*l.Arn, layerARN))
		}
		return list
	}
	update := func(names ...string) error {
		in := &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Layers: []string{}}
		for _, name := range names {
			if !strings.HasPrefix(name, "arn:") {
				name = layerARN + name
			}
			in.Layers = append(in.Layers, name)
		}
		_, err := n.UpdateFunctionConfiguration(t.Context(), in)
		if err == nil {
			n.ready(t, "f")
		}
		return err
	}
	const versions = "Two different versions of the same layer are not allowed to be referenced in the same function. "
	for text, names := range map[string][]string{
		versions + layerARN + "a:1 and " + layerARN + "a:2 are versions of the same layer.":                 {"a:1", "a:2"},
		versions + layerARN + "a:1 and " + layerARN + "a:1 are versions of the same layer.":                 {"a:1", "a:1"},
		"Layer version " + layerARN + "doesnotexist:1 does not exist.":                                      {"doesnotexist:1"},
		"Layer version " + layerARN + "a:9 does not exist.":                                                 {"a:9"},
		"Layers are not in the same region as the function. Layers are expected to be in region us-east-1.": {"arn:aws:lambda:us-east-2:000000000000:layer:a:1"},
		"Layer version arn:aws:lambda:us-east-1:111111111111:layer:a:1 does not exist.":                     {"arn:aws:lambda:us-east-1:111111111111:layer:a:1"},
		"Cannot reference more than 5 layers.":                                                              {"a:1", "l0:1", "l1:1", "l2:1", "l3:1", "l4:1"},
	} {
		refused(t, update(names...), "InvalidParameterValueException", text)
	}
	if got := layers(); fmt.Sprint(got) != "[a:1 l0:1]" {
		t.Errorf("layers %v", got)
	}
	// A function keeps a version that is deleted.
	must[*lambda.DeleteLayerVersionOutput](t)(n.DeleteLayerVersion(t.Context(), &lambda.DeleteLayerVersionInput{LayerName: aws.String("a"), VersionNumber: aws.Int64(1)}))
	if got := layers(); fmt.Sprint(got) != "[a:1 l0:1]" {
		t.Errorf("layers %v", got)
	}
	if err := update("l0:1", "l1:1", "l2:1", "l3:1", "l4:1"); err != nil || len(layers()) != 5 {
		t.Errorf("five layers: %v %v", err, layers())
	}
	n.publish(t, "f", "x") // leaves them alone
	if got := layers(); len(got) != 5 {
		t.Errorf("layers %v", got)
	}
	if err := update(); err != nil || layers() != nil {
		t.Errorf("no layer: %v %v", err, layers())
	}
}

func TestLayerPolicies(t *testing.T) {
	n := startReal(t)
	n.layer(t, "l", nil)
	add := func(layer string, version int64, sid, revision string) (*lambda.AddLayerVersionPermissionOutput, error) {
		in := &lambda.AddLayerVersionPermissionInput{LayerName: &layer, VersionNumber: &version, StatementId: &sid, Action: aws.String("lambda:GetLayerVersion"), Principal: aws.String("*")}
		if revision != "" {
			in.RevisionId = &revision
		}
		return n.AddLayerVersionPermission(t.Context(), in)
	}
	remove := func(layer string, version int64, sid, revision string) error {
		in := &lambda.RemoveLayerVersionPermissionInput{LayerName: &layer, VersionNumber: &version, StatementId: &sid}
		if revision != "" {
			in.RevisionId = &revision
		}
		_, err := n.RemoveLayerVersionPermission(t.Context(), in)
		return err
	}
	get := func(layer string, version int64) (*lambda.GetLayerVersionPolicyOutput, error) {
		return n.GetLayerVersionPolicy(t.Context(), &lambda.GetLayerVersionPolicyInput{LayerName: &layer, VersionNumber: &version})
	}
	_, err := get("l", 1)
	refused(t, err, "ResourceNotFoundException", "No policy is associated with the given resource.")
	one := must[*lambda.AddLayerVersionPermissionOutput](t)(add("l", 1, "s1", ""))
	const statement = `{"Sid":"s1","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"` + layerARN + `l:1"}`
	p := must[*lambda.GetLayerVersionPolicyOutput](t)(get("l", 1))
	if *one.Statement != statement || *p.Policy != `{"Version":"2012-10-17","Id":"default","Statement":[`+statement+`]}` || *p.RevisionId != *one.RevisionId {
		t.Errorf("%s\n%s", *one.Statement, *p.Policy)
	}
	const mismatch = "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id"
	_, err = add("l", 1, "s1", "")
	refused(t, err, "ResourceConflictException", "The statement id (s1) provided already exists. Please provide a new statement id, or remove the existing statement.")
	_, err = add("l", 1, "s2", "wrong")
	refused(t, err, "PreconditionFailedException", mismatch)
	must[*lambda.AddLayerVersionPermissionOutput](t)(add("l", 1, "s2", *p.RevisionId))
	refused(t, remove("l", 1, "s1", *p.RevisionId), "PreconditionFailedException", mismatch)
	refused(t, remove("l", 1, "doesnotexist", ""), "ResourceNotFoundException", "Statement doesnotexist is not found in resource policy.")
	for layer, version := range map[string]int64{"l": 2, "nope": 1} {
		text := fmt.Sprintf("Layer version %s%s:%d does not exist.", layerARN, layer, version)
		_, err := add(layer, version, "s", "")
		refused(t, err, "ResourceNotFoundException", text)
		_, err = get(layer, version)
		refused(t, err, "ResourceNotFoundException", text)
		refused(t, remove(layer, version, "s", ""), "ResourceNotFoundException", text)
	}
	for _, sid := range []string{"s1", "s2"} {
		if err := remove("l", 1, sid, ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err = get("l", 1)
	refused(t, err, "ResourceNotFoundException", "No policy is associated with the given resource.")
	_, err = n.AddLayerVersionPermission(t.Context(), &lambda.AddLayerVersionPermissionInput{LayerName: aws.String("l"), VersionNumber: aws.Int64(1), StatementId: aws.String("s"),
		Action: aws.String("*"), Principal: aws.String("*")})
	refused(t, err, "ValidationException", "1 validation error detected: Value '*' at 'action' failed to satisfy constraint: Member must satisfy regular expression pattern: lambda:GetLayerVersion")
}
