package lambdaapi

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// aliased makes f with a version and an alias of it.
func (n *realNode) aliased(t testing.TB, change func(*lambda.CreateFunctionInput)) {
	t.Helper()
	n.function(t, "f", change)
	one := n.publish(t, "f", "one")
	must[*lambda.CreateAliasOutput](t)(n.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"), FunctionVersion: &one}))
}

func TestEventInvokeConfigs(t *testing.T) {
	n := startReal(t)
	n.aliased(t, nil)
	n.function(t, "other", nil)
	put := func(change func(*lambda.PutFunctionEventInvokeConfigInput)) (*lambda.PutFunctionEventInvokeConfigOutput, error) {
		in := &lambda.PutFunctionEventInvokeConfigInput{FunctionName: aws.String("f")}
		change(in)
		return n.PutFunctionEventInvokeConfig(t.Context(), in)
	}
	failure := func(arn string) *types.DestinationConfig {
		return &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: &arn}}
	}
	const other, queue = "arn:aws:lambda:us-east-1:000000000000:function:other", "arn:aws:sqs:us-east-1:000000000000:q"
	for _, c := range []struct {
		change     func(*lambda.PutFunctionEventInvokeConfigInput)
		code, text string
	}{
		{func(in *lambda.PutFunctionEventInvokeConfigInput) {}, "InvalidParameterValueException", "You must specify at least one of error handling or destination setting."},
		{func(in *lambda.PutFunctionEventInvokeConfigInput) {
			in.FunctionName, in.MaximumRetryAttempts = aws.String("nope"), aws.Int32(0)
		}, "ResourceNotFoundException", "The function doesn't exist."},
		{func(in *lambda.PutFunctionEventInvokeConfigInput) {
			in.Qualifier, in.MaximumRetryAttempts = aws.String("nope"), aws.Int32(0)
		}, "ResourceNotFoundException", "The function doesn't exist."},
		{func(in *lambda.PutFunctionEventInvokeConfigInput) {
			in.FunctionName, in.Qualifier, in.MaximumRetryAttempts = aws.String("f:live"), aws.String("other"), aws.Int32(0)
		}, "InvalidParameterValueException", "The derived qualifier from the function name does not match the specified qualifier."},
		{func(in *lambda.PutFunctionEventInvokeConfigInput) {
			in.MaximumRetryAttempts, in.MaximumEventAgeInSeconds = aws.Int32(3), aws.Int32(59)
		}, "ValidationException",
			"2 validation errors detected: Value '3' at 'maximumRetryAttempts' failed to satisfy constraint: Member must have value less than or equal to 2; " +
				"Value '59' at 'maximumEventAgeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 60"},
		{func(in *lambda.PutFunctionEventInvokeConfigInput) { in.DestinationConfig = failure(fARN) }, "InvalidParameterValueException", "You can't specify the function as a destination for itself."},
		{func(in *lambda.PutFunctionEventInvokeConfigInput) { in.DestinationConfig = failure(other + "-not") }, "InvalidParameterValueException",
			"The destination ARN " + other + "-not is invalid."},
		{func(in *lambda.PutFunctionEventInvokeConfigInput) {
			in.DestinationConfig = &types.DestinationConfig{OnSuccess: &types.OnSuccess{Destination: aws.String("arn:aws:iam:us-east-1:000000000000:function:f")}}
		}, "InvalidParameterValueException",
			"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:iam:us-east-1:000000000000:function:f), onFailure=null) is invalid."},
		{func(in *lambda.PutFunctionEventInvokeConfigInput) {
			in.DestinationConfig = failure("arn:aws:_-/!lambda:us-east-1:000000000000:function:f")
		}, "ValidationException",
			`1 validation error detected: Value 'arn:aws:_-/!lambda:us-east-1:000000000000:function:f' at 'destinationConfig.onFailure.destination' failed to satisfy constraint: Member must satisfy ` +
				`regular expression pattern: $|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)`},
	} {
		_, err := put(c.change)
		refused(t, err, c.code, c.text)
	}
	for _, qualifier := range []string{"", "1", "live"} {
		q, arn := &qualifier, fARN+":"+qualifier
		if qualifier == "" {
			q, arn = nil, fARN+":$LATEST"
		}
		_, err := n.GetFunctionEventInvokeConfig(t.Context(), &lambda.GetFunctionEventInvokeConfigInput{FunctionName: aws.String("f"), Qualifier: q})
		refused(t, err, "ResourceNotFoundException", "The function "+arn+" doesn't have an EventInvokeConfig")
		_, err = n.UpdateFunctionEventInvokeConfig(t.Context(), &lambda.UpdateFunctionEventInvokeConfigInput{FunctionName: aws.String("f"), Qualifier: q, MaximumRetryAttempts: aws.Int32(0)})
		refused(t, err, "ResourceNotFoundException", "The function "+arn+" doesn't have an EventInvokeConfig")
		made := must[*lambda.PutFunctionEventInvokeConfigOutput](t)(put(func(in *lambda.PutFunctionEventInvokeConfigInput) {
			in.Qualifier, in.MaximumEventAgeInSeconds = q, aws.Int32(60)
			in.DestinationConfig = &types.DestinationConfig{OnSuccess: &types.OnSuccess{Destination: aws.String(other)}, OnFailure: &types.OnFailure{Destination: aws.String(queue)}}
		}))
		if *made.FunctionArn != arn || made.MaximumRetryAttempts != nil || *made.DestinationConfig.OnFailure.Destination != queue || made.LastModified.Unix() < 1_600_000_000 {
			t.Errorf("made %+v", made)
		}
		up := must[*lambda.UpdateFunctionEventInvokeConfigOutput](t)(n.UpdateFunctionEventInvokeConfig(t.Context(),
			&lambda.UpdateFunctionEventInvokeConfigInput{FunctionName: aws.String("f"), Qualifier: q, MaximumRetryAttempts: aws.Int32(0)}))
		if *up.MaximumEventAgeInSeconds != 60 || *up.MaximumRetryAttempts != 0 || *up.DestinationConfig.OnSuccess.Destination != other {
			t.Errorf("updated %+v", up)
		}
		got := must[*lambda.GetFunctionEventInvokeConfigOutput](t)(n.GetFunctionEventInvokeConfig(t.Context(), &lambda.GetFunctionEventInvokeConfigInput{FunctionName: aws.String("f"), Qualifier: q}))
		if *got.MaximumRetryAttempts != 0 || !got.LastModified.Equal(*up.LastModified) {
			t.Errorf("got %+v", got)
		}
		again := must[*lambda.PutFunctionEventInvokeConfigOutput](t)(put(func(in *lambda.PutFunctionEventInvokeConfigInput) {
			in.Qualifier, in.MaximumRetryAttempts = q, aws.Int32(1)
		}))
		if again.MaximumEventAgeInSeconds != nil || again.DestinationConfig.OnSuccess == nil || again.DestinationConfig.OnSuccess.Destination != nil {
			t.Errorf("put again %+v", again)
		}
	}
	pages := ""
	for p := lambda.NewListFunctionEventInvokeConfigsPaginator(n, &lambda.ListFunctionEventInvokeConfigsInput{FunctionName: aws.String("f"), MaxItems: aws.Int32(2)}); p.HasMorePages(); pages += "|" {
		for _, c := range must[*lambda.ListFunctionEventInvokeConfigsOutput](t)(p.NextPage(t.Context())).FunctionEventInvokeConfigs {
			pages += strings.TrimPrefix(*c.FunctionArn, fARN) + " "
		}
	}
	if pages != ":$LATEST :1 |:live |" {
		t.Errorf("listed %s", pages)
	}
	must[*lambda.DeleteFunctionEventInvokeConfigOutput](t)(n.DeleteFunctionEventInvokeConfig(t.Context(), &lambda.DeleteFunctionEventInvokeConfigInput{FunctionName: aws.String("f")}))
	_, err := n.DeleteFunctionEventInvokeConfig(t.Context(), &lambda.DeleteFunctionEventInvokeConfigInput{FunctionName: aws.String("f")})
	refused(t, err, "ResourceNotFoundException", "The function "+fARN+":$LATEST doesn't have an EventInvokeConfig")
	// What belongs to an alias goes with it.
	must[*lambda.DeleteAliasOutput](t)(n.DeleteAlias(t.Context(), &lambda.DeleteAliasInput{FunctionName: aws.String("f"), Name: aws.String("live")}))
	left := must[*lambda.ListFunctionEventInvokeConfigsOutput](t)(n.ListFunctionEventInvokeConfigs(t.Context(), &lambda.ListFunctionEventInvokeConfigsInput{FunctionName: aws.String("f")}))
	if len(left.FunctionEventInvokeConfigs) != 1 {
		t.Errorf("left %+v", left.FunctionEventInvokeConfigs)
	}
	_, err = n.ListFunctionEventInvokeConfigs(t.Context(), &lambda.ListFunctionEventInvokeConfigsInput{FunctionName: aws.String("nope")})
	refused(t, err, "ResourceNotFoundException", "The function doesn't exist.")
}

func TestFunctionURLs(t *testing.T) {
	n := startReal(t)
	n.aliased(t, nil)
	create := func(qualifier *string, change func(*lambda.CreateFunctionUrlConfigInput)) (*lambda.CreateFunctionUrlConfigOutput, error) {
		in := &lambda.CreateFunctionUrlConfigInput{FunctionName: aws.String("f"), Qualifier: qualifier, AuthType: types.FunctionUrlAuthTypeNone}
		if change != nil {
			change(in)
		}
		return n.CreateFunctionUrlConfig(t.Context(), in)
	}
	const version = `1 validation error detected: Value '1' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)`
	_, err := create(aws.String("1"), nil)
	refused(t, err, "ValidationException", version)
	for name, valid := range map[string]bool{"f": true, "f:live": true, fARN: true, fARN + ":live": true, "000000000000:function:f": true, "000000000000:1": true,
		"f:1": false, fARN + ":1": false, "f:$LATEST": false, "function:f:12": false} {
		if got := constraints["FunctionUrlFunctionName"].pattern.match(name); got != valid {
			t.Errorf("%s is a name: %t", name, got)
		}
	}
	_, err = create(aws.String("nope"), nil)
	refused(t, err, "ResourceNotFoundException", "Function does not exist")
	_, err = create(nil, func(in *lambda.CreateFunctionUrlConfigInput) { in.FunctionName = aws.String("nope") })
	refused(t, err, "ResourceNotFoundException", "Function does not exist")
	_, err = create(nil, func(in *lambda.CreateFunctionUrlConfigInput) {
		in.Cors = &types.Cors{MaxAge: aws.Int32(86401), AllowMethods: []string{"OPTIONSX"}}
	})
	refused(t, err, "ValidationException", "2 validation errors detected: Value '[OPTIONSX]' at 'cors.allowMethods' failed to satisfy constraint: Member must satisfy constraint: "+
		"[Member must have length less than or equal to 6, Member must have length greater than or equal to 0, Member must not be null]; "+
		"Value '86401' at 'cors.maxAge' failed to satisfy constraint: Member must have value less than or equal to 86400")

	for _, qualifier := range []string{"", "live"} {
		q, arn := &qualifier, fARN+":"+qualifier
		if qualifier == "" {
			q, arn = nil, fARN
		}
		get := func() (*lambda.GetFunctionUrlConfigOutput, error) {
			return n.GetFunctionUrlConfig(t.Context(), &lambda.GetFunctionUrlConfigInput{FunctionName: aws.String("f"), Qualifier: q})
		}
		_, err := get()
		refused(t, err, "ResourceNotFoundException", "The resource you requested does not exist.")
		made := must[*lambda.CreateFunctionUrlConfigOutput](t)(create(q, func(in *lambda.CreateFunctionUrlConfigInput) {
			in.Cors = &types.Cors{AllowOrigins: []string{"*"}, MaxAge: aws.Int32(0)}
		}))
		if *made.FunctionArn != arn || made.AuthType != types.FunctionUrlAuthTypeNone || made.InvokeMode != "" || made.Cors.AllowOrigins[0] != "*" || *made.Cors.MaxAge != 0 ||
			len(*made.FunctionUrl) < 40 || !strings.Contains(*made.FunctionUrl, ".lambda-url.us-east-1.localhost:") {
			t.Errorf("made %+v", made)
		}
		_, err = create(q, nil)
		refused(t, err, "ResourceConflictException", "Failed to create function url config for [functionArn = "+arn+"]. Error message:  FunctionUrlConfig exists for this Lambda function")
		up := must[*lambda.UpdateFunctionUrlConfigOutput](t)(n.UpdateFunctionUrlConfig(t.Context(), &lambda.UpdateFunctionUrlConfigInput{FunctionName: aws.String("f"), Qualifier: q,
			AuthType: types.FunctionUrlAuthTypeAwsIam, InvokeMode: types.InvokeModeResponseStream}))
		got := must[*lambda.GetFunctionUrlConfigOutput](t)(get())
		if got.AuthType != types.FunctionUrlAuthTypeAwsIam || got.InvokeMode != types.InvokeModeResponseStream || *got.FunctionUrl != *made.FunctionUrl || got.Cors == nil ||
			*got.LastModifiedTime != *up.LastModifiedTime || *got.CreationTime != *made.CreationTime {
			t.Errorf("got %+v", got)
		}
	}
	list := must[*lambda.ListFunctionUrlConfigsOutput](t)(n.ListFunctionUrlConfigs(t.Context(), &lambda.ListFunctionUrlConfigsInput{FunctionName: aws.String("f")}))
	if len(list.FunctionUrlConfigs) != 2 || *list.FunctionUrlConfigs[0].FunctionArn != fARN || *list.FunctionUrlConfigs[1].FunctionArn != fARN+":live" {
		t.Errorf("listed %+v", list.FunctionUrlConfigs)
	}
	must[*lambda.DeleteFunctionUrlConfigOutput](t)(n.DeleteFunctionUrlConfig(t.Context(), &lambda.DeleteFunctionUrlConfigInput{FunctionName: aws.String("f")}))
	_, err = n.DeleteFunctionUrlConfig(t.Context(), &lambda.DeleteFunctionUrlConfigInput{FunctionName: aws.String("f")})
	refused(t, err, "ResourceNotFoundException", "The resource you requested does not exist.")
	_, err = n.ListFunctionUrlConfigs(t.Context(), &lambda.ListFunctionUrlConfigsInput{FunctionName: aws.String("nope")})
	refused(t, err, "ResourceNotFoundException", "Function does not exist")
}

func TestIsolatedFunctionsHaveNoURL(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", func(in *lambda.CreateFunctionInput) {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	})
	_, err := n.CreateFunctionUrlConfig(t.Context(), &lambda.CreateFunctionUrlConfigInput{FunctionName: aws.String("f"), AuthType: types.FunctionUrlAuthTypeNone})
	refused(t, err, "InvalidParameterValueException", "Function URL is not supported for functions enabled with tenancy configuration")
}

// Deployers ask for event source mappings before they change anything. There are
// none; what makes one is refused.
func TestEventSourceMappings(t *testing.T) {
	n := startReal(t)
	for _, in := range []*lambda.ListEventSourceMappingsInput{{}, {FunctionName: aws.String("f"), MaxItems: aws.Int32(1)}, {EventSourceArn: aws.String("arn:aws:sqs:us-east-1:000000000000:q")}} {
		out, err := n.ListEventSourceMappings(t.Context(), in)
		if err != nil || out.EventSourceMappings == nil || len(out.EventSourceMappings) > 0 || out.NextMarker != nil {
			t.Errorf("%+v: %+v, %v", in, out, err)
		}
	}
	_, err := n.ListEventSourceMappings(t.Context(), &lambda.ListEventSourceMappingsInput{FunctionName: aws.String("a b"), MaxItems: aws.Int32(0)})
	wantError(t, err, 400, "ValidationException", "2 validation errors detected: ")
	_, err = n.CreateEventSourceMapping(t.Context(), &lambda.CreateEventSourceMappingInput{FunctionName: aws.String("f")})
	wantError(t, err, 400, codeUnsupported, "The operation CreateEventSourceMapping is not supported yet.")
}
