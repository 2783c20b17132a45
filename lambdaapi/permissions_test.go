package lambdaapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// permission makes a request, for f unless change says otherwise.
func permission(sid string, change func(*lambda.AddPermissionInput)) *lambda.AddPermissionInput {
	in := &lambda.AddPermissionInput{FunctionName: aws.String("f"), StatementId: &sid, Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("s3.amazonaws.com")}
	if change != nil {
		change(in)
	}
	return in
}

func TestStatementsAreWrittenAsRecorded(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	for i, c := range []struct {
		change func(*lambda.AddPermissionInput)
		want   string
	}{
		{nil, `"Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"` + fARN + `"}`},
		{func(in *lambda.AddPermissionInput) { in.SourceArn = aws.String("arn:aws:s3:::a<b") },
			`"Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"` + fARN + `","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::a<b"}}}`},
		{func(in *lambda.AddPermissionInput) { in.Principal = aws.String("111111111111") },
			`"Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"lambda:InvokeFunction","Resource":"` + fARN + `"}`},
		{func(in *lambda.AddPermissionInput) { in.Principal = aws.String("arn:aws:iam::111111111111:user/u") },
			`"Principal":{"AWS":"arn:aws:iam::111111111111:user/u"},"Action":"lambda:InvokeFunction","Resource":"` + fARN + `"}`},
		{func(in *lambda.AddPermissionInput) {
			in.Principal, in.Action, in.FunctionUrlAuthType = aws.String("*"), aws.String("lambda:InvokeFunctionUrl"), types.FunctionUrlAuthTypeNone
			in.SourceAccount, in.PrincipalOrgID, in.EventSourceToken = aws.String("111111111111"), aws.String("o-1234567890"), aws.String("amzn1.ask.skill.x")
			in.InvokedViaFunctionUrl = aws.Bool(true)
		}, `"Principal":"*","Action":"lambda:InvokeFunctionUrl","Resource":"` + fARN + `","Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"true"},"StringEquals":{` +
			`"AWS:SourceAccount":"111111111111","aws:PrincipalOrgID":"o-1234567890","lambda:EventSourceToken":"amzn1.ask.skill.x","lambda:FunctionUrlAuthType":"NONE"}}}`},
	} {
		sid := fmt.Sprint("s", i)
		out := must[*lambda.AddPermissionOutput](t)(n.AddPermission(t.Context(), permission(sid, c.change)))
		if want := `{"Sid":"` + sid + `","Effect":"Allow",` + c.want; *out.Statement != want {
			t.Errorf("%s\nwant %s", *out.Statement, want)
		}
		_, err := n.RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: aws.String("f"), StatementId: &sid})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPermissionsOfVersionsAndAliases(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	one := n.publish(t, "f", "one")
	must[*lambda.CreateAliasOutput](t)(n.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: aws.String("f"), Name: aws.String("live"), FunctionVersion: &one}))
	revision := func(qualifier string) string {
		if qualifier == "live" {
			return *must[*lambda.GetAliasOutput](t)(n.GetAlias(t.Context(), &lambda.GetAliasInput{FunctionName: aws.String("f"), Name: &qualifier})).RevisionId
		}
		return *must[*lambda.GetFunctionConfigurationOutput](t)(n.GetFunctionConfiguration(t.Context(),
			&lambda.GetFunctionConfigurationInput{FunctionName: aws.String("f"), Qualifier: &qualifier})).RevisionId
	}
	for _, qualifier := range []string{"$LATEST", one, "live"} {
		q, arn := &qualifier, fARN+":"+qualifier
		if qualifier == "$LATEST" {
			q, arn = nil, fARN
		}
		add := func(sid, revision string) error {
			_, err := n.AddPermission(t.Context(), permission(sid, func(in *lambda.AddPermissionInput) {
				if in.Qualifier = q; revision != "" {
					in.RevisionId = &revision
				}
			}))
			return err
		}
		refused(t, add("s", "wrong"), "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id")
		before := revision(qualifier)
		if err := add("s", before); err != nil {
			t.Fatal(err)
		}
		after := revision(qualifier)
		p := must[*lambda.GetPolicyOutput](t)(n.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: aws.String("f"), Qualifier: q}))
		want := `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"s","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"` + arn + `"}]}`
		if *p.Policy != want || *p.RevisionId != after || before == after {
			t.Errorf("%s %s (%s before, %s after)\nwant %s", *p.Policy, *p.RevisionId, before, after, want)
		}
		refused(t, add("s", ""), "ResourceConflictException", "The statement id (s) provided already exists. Please provide a new statement id, or remove the existing statement.")
		remove := func(sid, revision string) error {
			_, err := n.RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: aws.String("f"), StatementId: &sid, Qualifier: q, RevisionId: &revision})
			return err
		}
		refused(t, remove("s", "wrong"), "PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
		refused(t, remove("non-existent", after), "ResourceNotFoundException", "Statement non-existent is not found in resource policy.")
		if err := remove("s", after); err != nil {
			t.Fatal(err)
		}
		_, err := n.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: aws.String("f"), Qualifier: q})
		refused(t, err, "ResourceNotFoundException", "The resource you requested does not exist.")
		refused(t, remove("s", after), "ResourceNotFoundException", "No policy is associated with the given resource.")
	}
}

func TestAddPermissionRefuses(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	for _, c := range []struct {
		change     func(*lambda.AddPermissionInput)
		code, text string
	}{
		{func(in *lambda.AddPermissionInput) { in.StatementId = aws.String("example.com") }, "ValidationException",
			"1 validation error detected: Value 'example.com' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)"},
		{func(in *lambda.AddPermissionInput) {
			in.FunctionName, in.Qualifier = aws.String("f:alias-not-42"), aws.String("42")
		}, "InvalidParameterValueException",
			"The derived qualifier from the function name does not match the specified qualifier."},
		{func(in *lambda.AddPermissionInput) { in.Qualifier = aws.String("$LATEST") }, "InvalidParameterValueException", "We currently do not support adding policies for $LATEST."},
		{func(in *lambda.AddPermissionInput) { in.Principal = aws.String("invalid.nonaws.com") }, "InvalidParameterValueException",
			"The provided principal was invalid. Please check the principal and try again."},
		{func(in *lambda.AddPermissionInput) { in.FunctionName = aws.String("doesnotexist") }, "ResourceNotFoundException",
			"Function not found: arn:aws:lambda:us-east-1:000000000000:function:doesnotexist"},
		{func(in *lambda.AddPermissionInput) { in.Qualifier = aws.String("alias-doesnotexist") }, "ResourceNotFoundException", "Cannot find alias arn: " + fARN + ":alias-doesnotexist"},
		{func(in *lambda.AddPermissionInput) { in.Qualifier = aws.String("42") }, "ResourceNotFoundException", "Function not found: " + fARN + ":42"},
		{func(in *lambda.AddPermissionInput) { in.Qualifier = aws.String("valid-with-$-but-doesnotexist") }, "ResourceNotFoundException",
			"Function not found: " + fARN + ":valid-with-$-but-doesnotexist"},
		{func(in *lambda.AddPermissionInput) { in.Qualifier = aws.String("invalid-qualifier-with-?-char") }, "ValidationException",
			`1 validation error detected: Value 'invalid-qualifier-with-?-char' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: \$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`},
		{func(in *lambda.AddPermissionInput) {
			in.SourceAccount, in.PrincipalOrgID = aws.String("1"), aws.String("o-12345678901")
			in.EventSourceToken = aws.String("a b")
		}, "ValidationException", `2 validation errors detected: Value '1' at 'sourceAccount' failed to satisfy constraint: Member must satisfy regular expression pattern: \d{12}; ` +
			`Value 'a b' at 'eventSourceToken' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9._\-]+`},
	} {
		_, err := n.AddPermission(t.Context(), permission("s", c.change))
		refused(t, err, c.code, c.text)
	}
	_, err := n.RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: aws.String("doesnotexist"), StatementId: aws.String("s")})
	refused(t, err, "ResourceNotFoundException", "No policy found for: arn:aws:lambda:us-east-1:000000000000:function:doesnotexist")
	_, err = n.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: aws.String("doesnotexist")})
	refused(t, err, "ResourceNotFoundException", "The resource you requested does not exist.")
	for i := 0; ; i++ {
		_, err := n.AddPermission(t.Context(), permission(fmt.Sprint("s", i), func(in *lambda.AddPermissionInput) {
			in.SourceArn = aws.String("arn:aws:s3:::" + strings.Repeat("x", 6000))
		}))
		if err == nil && i < 3 {
			continue
		}
		if i != 3 {
			t.Fatalf("statement %d: %v", i, err)
		}
		if err == nil || !strings.Contains(err.Error(), "PolicyLengthExceededException: The final policy size (") || !strings.Contains(err.Error(), ") is bigger than the limit (20480).") {
			t.Errorf("statement %d: %v", i, err)
		}
		break
	}
}

func TestWholePolicies(t *testing.T) {
	n := startReal(t)
	n.function(t, "f", nil)
	put := func(policy, revision string) (*lambda.PutResourcePolicyOutput, error) {
		in := &lambda.PutResourcePolicyInput{ResourceArn: aws.String(fARN), Policy: &policy}
		if revision != "" {
			in.RevisionId = &revision
		}
		return n.PutResourcePolicy(t.Context(), in)
	}
	const mismatch = "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id"
	valid := `{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Deny","Principal":{"AWS":["111111111111","222222222222"]},"Action":["lambda:*"],"Resource":"` + fARN + `","Condition":{"StringLike":{"aws:x":["y*"]}}}]}`
	_, err := put(valid, "none-there")
	refused(t, err, "PreconditionFailedException", mismatch)
	first := must[*lambda.PutResourcePolicyOutput](t)(put(" \n"+valid, ""))
	if *first.Policy != valid {
		t.Errorf("%s\nwant %s", *first.Policy, valid)
	}
	// The two kinds of operations see one policy.
	must[*lambda.AddPermissionOutput](t)(n.AddPermission(t.Context(), permission("b", nil)))
	got := must[*lambda.GetResourcePolicyOutput](t)(n.GetResourcePolicy(t.Context(), &lambda.GetResourcePolicyInput{ResourceArn: aws.String(fARN)}))
	if !strings.HasPrefix(*got.Policy, strings.TrimSuffix(valid, "]}")+`,{"Sid":"b"`) || *got.RevisionId == *first.RevisionId {
		t.Errorf("%s", *got.Policy)
	}
	// The function's own changes are none of the policy's.
	n.publish(t, "f", "other")
	_, err = put(valid, *first.RevisionId)
	refused(t, err, "PreconditionFailedException", mismatch)
	must[*lambda.PutResourcePolicyOutput](t)(put(valid, *got.RevisionId))
	_, err = n.DeleteResourcePolicy(t.Context(), &lambda.DeleteResourcePolicyInput{ResourceArn: aws.String(fARN), RevisionId: got.RevisionId})
	refused(t, err, "PreconditionFailedException", mismatch)
	must[*lambda.DeleteResourcePolicyOutput](t)(n.DeleteResourcePolicy(t.Context(), &lambda.DeleteResourcePolicyInput{ResourceArn: aws.String(fARN)}))
	_, err = n.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: aws.String("f")})
	refused(t, err, "ResourceNotFoundException", "The resource you requested does not exist.")

	statement := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	for policy, why := range map[string]string{
		`[]`: "it has to be one JSON object", `{"Version":"2012-10-17","Statement":[]} {}`: "it has to be one JSON object", `{"x":1}`: "it has to be one JSON object",
		`{"Version":"2020","Statement":[]}`: "Version has to be", `{"Version":"2012-10-17"}`: "Statement has to be a list", statement(`1`): "a statement has members",
		statement(`{"Effect":"Maybe"}`): "Effect has to be", statement(`{"Effect":"Allow"}`): "a statement has a Principal",
		statement(`{"Effect":"Allow","Principal":"*"}`):                                                      "a statement has an Action",
		statement(`{"Effect":"Allow","Principal":"*","Action":"lambda:*"}`):                                  "a statement has a Resource",
		statement(`{"Effect":"Allow","Principal":"*","Action":"lambda:*","Resource":["` + fARN + `:1"]}`):    "the Resource of every statement has to be " + fARN,
		statement(`{"Effect":"Allow","Principal":"*","Action":"lambda:*","Resource":"*","NotResource":"*"}`): "a statement has a Resource",
		statement(strings.Repeat(`{"Sid":"s","Effect":"Allow","Principal":"*","Action":"lambda:*","Resource":"`+fARN+`"},`, 1) + `{"Sid":"s","Effect":"Allow","Principal":"*","Action":"lambda:*","Resource":"` + fARN + `"}`): "the statement id s is there twice",
	} {
		if _, err := put(policy, ""); err == nil || !strings.Contains(err.Error(), "InvalidParameterValueException: The provided policy is not valid: "+why) {
			t.Errorf("%s: %v", policy, err)
		}
	}
}
