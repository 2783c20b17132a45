package auth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
)

const urlHost = "abc.lambda-url.us-east-1.localhost:4566"

// TestURLPolicies: a URL is for whom the function's policy, or the caller's, lets.
func TestURLPolicies(t *testing.T) {
	const all = `"Resource":"*"`
	none := `"Condition":{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}}`
	via := `"Condition":{"Bool":{"lambda:InvokedViaFunctionUrl":"true"}}`
	st := func(effect, principal, action, more string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"` + action + `",` + all + `,` + more + `}`
	}
	doc := func(statements ...string) string {
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	everybody := st("Allow", `"*"`, "lambda:InvokeFunctionUrl", none)
	for _, c := range []struct {
		name, policy    string
		identity        string // of the key
		anonymous, user bool   // on a URL of type NONE, and of AWS_IAM
	}{
		{"nothing", "", "", false, false},
		{"everybody, by NONE", doc(everybody), "", true, false},
		{"everybody, unconditionally", doc(st("Allow", `"*"`, "lambda:InvokeFunctionUrl", `"Sid":"s"`)), "", true, true},
		{"everybody, to invoke only", doc(st("Allow", `"*"`, "lambda:InvokeFunction", via)), "", false, false},
		{"both, as AWS asks", doc(everybody, st("Allow", `"*"`, "lambda:InvokeFunction", via)), "", true, false},
		{"somebody", doc(st("Allow", `{"AWS":"arn:aws:iam::000000000000:user/ann"}`, "lambda:InvokeFunctionUrl", `"Sid":"s"`)), "", false, true},
		{"the account, which leaves it to keys", doc(st("Allow", `{"AWS":"000000000000"}`, "lambda:InvokeFunctionUrl", `"Sid":"s"`)), "", false, false},
		{"denied", doc(everybody, st("Deny", `"*"`, "lambda:InvokeFunctionUrl", `"Sid":"s"`)), "lambda:InvokeFunctionUrl", false, false},
		{"denied by way of URLs", doc(everybody, st("Deny", `"*"`, "lambda:InvokeFunction", via)), "lambda:InvokeFunctionUrl", false, false},
		{"the key may", "", "lambda:InvokeFunctionUrl", false, true},
		{"the key may invoke only", "", "lambda:InvokeFunction", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := openKept(t, t.TempDir())
			k.policies[alcove.Ref{Name: "f"}] = c.policy
			action := c.identity
			if action == "" {
				action = "logs:GetLogEvents"
			}
			ann, _ := k.make(t, "ann", statement("Allow", action, "*", ""))
			f := Operation{Function: alcove.Ref{Name: "f"}}
			for _, try := range []struct {
				what, kind string
				who        alcove.Caller
				want       bool
			}{
				{"anonymous", "NONE", alcove.Caller{ARN: anonymous}, c.anonymous},
				{"user", "AWS_IAM", ann, c.user},
				{"root", "AWS_IAM", k.rooted.caller, true},
				{"root, unsigned", "NONE", k.rooted.caller, c.anonymous},
			} {
				err := k.AuthorizeURL(try.who, f, try.kind)
				if (err == nil) != try.want {
					t.Errorf("%s: %v", try.what, err)
				}
				if err != nil && !strings.HasPrefix(alcove.AsError(err).Message, "Forbidden. For troubleshooting") {
					t.Errorf("%s: %v", try.what, err)
				}
			}
		})
	}
}

// TestURLsWithoutAuthentication: what pages may call, and what stays closed.
func TestURLsWithoutAuthentication(t *testing.T) {
	a := open(t, ModeNone)
	for _, c := range []struct {
		name      string
		host      string
		header    http.Header
		none, iam bool
	}{
		{"a program", urlHost, nil, true, true},
		{"without a port", "abc.lambda-url.us-east-1.LOCALHOST", nil, true, true},
		{"a page of another origin", urlHost, http.Header{"Origin": {"https://evil.example"}}, true, false},
		{"a page of another site", urlHost, http.Header{"Sec-Fetch-Site": {"cross-site"}}, true, false},
		{"its own page", urlHost, http.Header{"Origin": {"http://" + urlHost}, "Sec-Fetch-Site": {"same-origin"}}, true, true},
		{"a name that was pointed here", "abc.lambda-url.us-east-1.evil.example", nil, false, false},
		{"a name that ends alike", "abc.lambda-url.us-east-1.notlocalhost", nil, false, false},
	} {
		for kind, want := range map[string]bool{"NONE": c.none, "AWS_IAM": c.iam} {
			r := httptest.NewRequest("POST", "/", nil)
			r.Host, r.Header = c.host, c.header
			if r.Header == nil {
				r.Header = http.Header{}
			}
			caller, err := a.AuthenticateURL(r, nil, kind)
			if (err == nil) != want {
				t.Errorf("%s, %s: %v", c.name, kind, err)
			}
			if err == nil {
				err = a.AuthorizeURL(caller, Operation{Function: alcove.Ref{Name: "f"}}, kind)
			}
			if (err == nil) != want {
				t.Errorf("%s, %s: authorised with %v", c.name, kind, err)
			}
			// The API itself is opened by none of them.
			if err := CheckLoopback(r); err == nil {
				t.Errorf("%s: the API answers to %s", c.name, c.host)
			}
		}
	}
}

// TestURLsAreSigned: a URL of the type AWS_IAM wants a signature, over its host.
func TestURLsAreSigned(t *testing.T) {
	a := open(t, ModeSigV4)
	r := httptest.NewRequest("POST", "/x", nil)
	r.Host = urlHost
	if _, err := a.AuthenticateURL(r, nil, "AWS_IAM"); err == nil || alcove.AsError(err).Code != CodeAccessDenied {
		t.Errorf("unsigned: %v", err)
	}
	if caller, err := a.AuthenticateURL(r, nil, "NONE"); err != nil || caller.ARN != anonymous || caller.AccessKeyID != "" {
		t.Errorf("NONE: %+v, %v", caller, err)
	}
	signed := httptest.NewRequest("POST", "http://"+urlHost+"/x%20y?a=b", nil)
	sign(t, signed, "body", a.signing())
	if caller, err := a.AuthenticateURL(signed, []byte("body"), "AWS_IAM"); err != nil || caller.ARN != a.rooted.caller.ARN {
		t.Errorf("signed: %+v, %v", caller, err)
	}
	if _, err := a.AuthenticateURL(signed, []byte("another"), "AWS_IAM"); err == nil || alcove.AsError(err).Code != CodeInvalidSignature {
		t.Errorf("another body: %v", err)
	}
	signed.Host = "other" + urlHost[3:]
	if _, err := a.AuthenticateURL(signed, []byte("body"), "AWS_IAM"); err == nil {
		t.Error("a signature for another URL is good for this one")
	}
}
