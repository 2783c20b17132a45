package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestNotPrincipal gives a function policies about all but some, and has keys invoke it.
func TestNotPrincipal(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	f := n.deploy(t, python, files{"main.py": answers1})
	const may = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*"}}`
	clients := map[string]*lambda.Client{
		"ann": n.lambdaAs(n.makeKey(t, "ann", may)), "bob": n.lambdaAs(n.makeKey(t, "bob", may)),
		"eve":  n.lambdaAs(n.makeKey(t, "eve", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:List*","Resource":"*"}}`)),
		"root": n.lambda,
	}
	const (
		allowed   = ""
		denied    = "with an explicit deny in a resource-based policy"
		noAllowed = "because no identity-based policy allows the lambda:InvokeFunction action"
	)
	arn := functionsARN + f
	for _, c := range []struct {
		name, statement string
		want            map[string]string
	}{
		{"deny all but ann", `"Effect":"Deny","NotPrincipal":{"AWS":"` + userARN + `ann"}`, map[string]string{"ann": allowed, "bob": denied, "eve": denied, "root": allowed}},
		{"deny all but two", `"Effect":"Deny","NotPrincipal":{"AWS":["` + userARN + `ann","` + userARN + `bob"]}`, map[string]string{"ann": allowed, "bob": allowed, "eve": denied}},
		{"deny all but nobody that there is", `"Effect":"Deny","NotPrincipal":{"AWS":"` + userARN + `dan"}`, map[string]string{"ann": denied, "bob": denied, "eve": denied, "root": allowed}},
		{"deny all but a service", `"Effect":"Deny","NotPrincipal":{"Service":"sns.amazonaws.com"}`, map[string]string{"ann": denied, "bob": denied}},
		{"allow all but ann", `"Effect":"Allow","NotPrincipal":{"AWS":"` + userARN + `ann"}`, map[string]string{"ann": allowed, "eve": noAllowed}},
		{"deny all but ann, if they are eve", `"Effect":"Deny","NotPrincipal":{"AWS":"` + userARN + `ann"},"Condition":{"StringEquals":{"aws:username":"eve"}}`, map[string]string{"bob": allowed, "eve": denied}},
	} {
		policy := `{"Version":"2012-10-17","Statement":{` + c.statement + `,"Action":"lambda:InvokeFunction","Resource":"` + arn + `"}}`
		if _, err := n.lambda.PutResourcePolicy(t.Context(), &lambda.PutResourcePolicyInput{ResourceArn: &arn, Policy: &policy}); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for who, text := range c.want {
			t.Run(c.name+"/"+who, func(t *testing.T) {
				out, err := clients[who].Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f})
				if text != allowed {
					wantError(t, err, 403, "AccessDeniedException", "User: "+userARN+who+" is not authorized to perform: lambda:InvokeFunction on resource: "+arn+" "+text)
				} else if err != nil || out.FunctionError != nil {
					t.Errorf("%+v, %v", out, err)
				}
			})
		}
	}
	// Without the policy everything is as it was.
	if _, err := n.lambda.DeleteResourcePolicy(t.Context(), &lambda.DeleteResourcePolicyInput{ResourceArn: &arn}); err != nil {
		t.Fatal(err)
	}
	if _, err := clients["bob"].Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(arn)}); err != nil {
		t.Errorf("without a policy: %v", err)
	}
}
