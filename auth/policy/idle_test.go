package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestIdle(t *testing.T) {
	actions := []string{"lambda:InvokeFunction", "lambda:GetFunction", "logs:FilterLogEvents", "s3:", "iam:PassRole"}
	const action, place = "names no action", "of another region or account"
	const fn = "arn:aws:lambda:us-east-1:000000000000:function:f"
	for _, c := range []struct{ action, resource, want string }{
		{"lambda:InvokeFunction", fn, ""},
		{"lambda:invokefunction", "*", ""},
		{"*", "*", ""},
		{"lambda:*", fn, ""},
		{"lambda:Invoke", fn, action},
		{"lambda:Invoke*", fn, ""},
		{"sqs:SendMessage", "*", action},
		{"s3:GetObject", "arn:aws:s3:::b/*", ""},
		{"s3x:GetObject", "*", action},
		{"iam:PassRole", "arn:aws:iam::000000000000:role/r", ""},
		{"lambda:InvokeFunction", strings.Replace(fn, "us-east-1", "eu-west-1", 1), place},
		{"lambda:InvokeFunction", strings.Replace(fn, "000000000000", "123456789012", 1), place},
		{"lambda:InvokeFunction", strings.Replace(fn, "us-east-1:000000000000", "*:*", 1), ""},
		{"lambda:InvokeFunction", strings.Replace(fn, "000000000000", "${aws:PrincipalAccount}", 1), ""},
		{"sqs:SendMessage", strings.Replace(fn, "us-east-1", "eu-west-1", 1), action + "+" + place},
	} {
		d, err := Parse(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":%q}]}`, c.action, c.resource))
		if err != nil {
			t.Fatal(err)
		}
		got := d.Idle(actions, "us-east-1", "000000000000")
		want := strings.Split(c.want, "+")
		if c.want == "" {
			want = nil
		}
		ok := len(got) == len(want)
		for i := range want {
			ok = ok && strings.HasPrefix(got[i], "statement 1 ") && strings.Contains(got[i], want[i])
		}
		if !ok {
			t.Errorf("%s on %s: %q, want %q", c.action, c.resource, got, c.want)
		}
	}
	d, err := Parse(`{"Statement":[{"Effect":"Allow","NotAction":"x:y","NotResource":"` + fn + `"},{"Effect":"Deny","Action":["x:y","lambda:GetFunction"],"Resource":"*"}]}`)
	if err != nil || d.Idle(actions, "us-east-1", "000000000000") != nil {
		t.Errorf("%v, %v", d, err)
	}
}
