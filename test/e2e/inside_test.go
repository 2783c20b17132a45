package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// calls has a function call the node with the credentials and the address in its
// variables, signed by hand: no library is needed.
const calls = `
import datetime, hashlib, hmac, json, os, urllib.request, urllib.error

def sign(method, host, path, body, headers, key, secret, token, service):
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = dict(headers, host=host)
    headers["x-amz-date"] = stamp
    if token:
        headers["x-amz-security-token"] = token
    names = sorted(headers)
    digest = hashlib.sha256(body).hexdigest()
    canonical = "\n".join([method, path, "", "".join("%s:%s\n" % (n, headers[n]) for n in names), ";".join(names), digest])
    scope = "/".join([day, os.environ["AWS_REGION"], service, "aws4_request"])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    k = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        k = hmac.new(k, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
        key, scope, ";".join(names), hmac.new(k, text.encode(), hashlib.sha256).hexdigest())
    return headers

def call(method, path, body=b"", headers={}, service="lambda", creds=None, signed=True):
    key, secret, token = creds or (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_SESSION_TOKEN"])
    base = os.environ["AWS_ENDPOINT_URL"]
    host = base.split("//")[1]
    if signed:
        headers = sign(method, host, path, body, headers, key, secret, token, service)
    r = urllib.request.Request(base + path, data=body if method != "GET" else None, method=method, headers=headers)
    try:
        with urllib.request.urlopen(r, timeout=20) as a:
            return [a.status, a.read().decode()]
    except urllib.error.HTTPError as e:
        return [e.code, e.read().decode()]

def handler(event, context):
    out = {}
    for name, c in event["calls"].items():
        out[name] = call(c["method"], c["path"], c.get("body", "").encode(), c.get("headers", {}), c.get("service", "lambda"),
                         c.get("creds"), c.get("signed", True))
    return {"answers": out, "creds": [os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_SESSION_TOKEN"]],
            "endpoint": os.environ["AWS_ENDPOINT_URL"]}
`

type insideCall struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Body    string            `json:"body,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Service string            `json:"service,omitempty"`
	Creds   []string          `json:"creds,omitempty"`
	Signed  *bool             `json:"signed,omitempty"`
}

// TestFunctionsCallTheNode has functions of both kinds call others from inside: a
// router as any tenant, a tenant's code as itself alone, and nobody with what
// belongs to another environment.
func TestFunctionsCallTheNode(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		target := n.deploy(t, python, files{"main.py": "def handler(e, c):\n    return 'for ' + c.tenant_id\n"}, isolated)
		router := n.deploy(t, python, files{"main.py": calls})
		tenants := n.deploy(t, python, files{"main.py": calls}, isolated)
		file := filepath.Join(t.TempDir(), "policy.json")
		if err := os.WriteFile(file, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		name := role[strings.LastIndexByte(role, '/')+1:]
		invoke := func(tenant string) insideCall {
			c := insideCall{Method: "POST", Path: "/2015-03-31/functions/" + target + "/invocations", Body: "{}"}
			if tenant != "" {
				c.Headers = map[string]string{"x-amz-tenant-id": tenant}
			}
			return c
		}
		no := false
		ask := func(function, tenant string, calls map[string]insideCall) (answers map[string][2]any, creds []string) {
			t.Helper()
			payload, err := json.Marshal(map[string]any{"calls": calls})
			if err != nil {
				t.Fatal(err)
			}
			var out struct {
				Answers map[string][2]any
				Creds   []string
			}
			n.run(t, function, call{tenant: tenant, payload: string(payload)}, &out)
			return out.Answers, out.Creds
		}
		want := func(answers map[string][2]any, what string, status float64, text string) {
			t.Helper()
			a := answers[what]
			if a[0] != status || !strings.Contains(a[1].(string), text) {
				t.Errorf("%s: %v, want %v %s", what, a, status, text)
			}
		}
		// A role without a policy allows nothing, but to know who one is.
		got, _ := ask(router, "", map[string]insideCall{"invoke": invoke("blue"),
			"who": {Method: "POST", Path: "/", Body: "Action=GetCallerIdentity&Version=2011-06-15", Service: "sts", Headers: map[string]string{"content-type": "application/x-www-form-urlencoded"}}})
		want(got, "invoke", 403, "has no policy here")
		want(got, "who", 200, "assumed-role/"+name+"/"+router)

		if _, errs, err := n.alcove(t, "roles", "put", name, "--policy", file); err != nil {
			t.Fatalf("%v %s", err, errs)
		}
		t.Cleanup(func() { _, _, _ = n.alcove(t, "roles", "delete", name) })
		got, routers := ask(router, "", map[string]insideCall{"blue": invoke("blue"), "green": invoke("green"), "list": {Method: "GET", Path: "/2015-03-31/functions"}})
		want(got, "blue", 200, "for blue")
		want(got, "green", 200, "for green")
		want(got, "list", 200, target)

		got, creds := ask(tenants, "blue", map[string]insideCall{
			"its own":     invoke("blue"),
			"another's":   invoke("green"),
			"the code":    {Method: "DELETE", Path: "/2015-03-31/functions/" + target},
			"all keys":    {Method: "GET", Path: "/alcove/v1/keys"},
			"environment": {Method: "GET", Path: "/alcove/v1/environments"},
			"router's":    {Method: "GET", Path: "/2015-03-31/functions", Creds: routers},
			"unsigned":    {Method: "GET", Path: "/2015-03-31/functions", Signed: &no},
			"pages":       {Method: "GET", Path: "/console/floor", Signed: &no},
			"measures":    {Method: "GET", Path: "/metrics", Signed: &no},
			"root":        {Method: "GET", Path: "/2015-03-31/functions", Creds: []string{n.key.AccessKeyID, n.key.SecretAccessKey, ""}},
		})
		want(got, "its own", 200, "for blue")
		want(got, "another's", 403, "acts for its own tenant alone")
		want(got, "the code", 403, "changes nothing that tenants share")
		want(got, "all keys", 403, "sees nothing of all tenants")
		want(got, "environment", 200, `"tenant":"blue"`)
		if s := got["environment"][1].(string); strings.Contains(s, "green") {
			t.Errorf("a tenant sees another's environments: %s", s)
		}
		want(got, "router's", 403, "security token included in the request is invalid")
		want(got, "unsigned", 403, "Missing Authentication Token")
		want(got, "pages", 404, "")
		want(got, "measures", 404, "")
		want(got, "root", 403, "security token included in the request is invalid")

		// Two environments of one function have nothing in common.
		_, others := ask(tenants, "green", map[string]insideCall{})
		for i := range creds {
			if creds[i] == others[i] || creds[i] == "" {
				t.Errorf("two tenants have the same %d: %q", i, creds[i])
			}
		}
		// From outside they are worth nothing.
		client := n.lambdaAs(aws.Credentials{AccessKeyID: creds[0], SecretAccessKey: creds[1], SessionToken: creds[2]})
		_, err := client.ListFunctions(t.Context(), &lambda.ListFunctionsInput{})
		wantError(t, err, 403, "UnrecognizedClientException", "The security token included in the request is invalid.")
	})
}

// TestRolesArePassed has somebody who may create functions try to have one do more
// than they may, by its role.
func TestRolesArePassed(t *testing.T) {
	n := start(t, "--isolation", "namespace")
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := n.alcove(t, "roles", "put", "admin", "--policy", file); err != nil {
		t.Fatalf("%v %s", err, errs)
	}
	const roles = "arn:aws:iam::000000000000:role/"
	may := n.makeKey(t, "maker", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"lambda:*","Resource":"*"},
		{"Effect":"Allow","Action":"iam:PassRole","Resource":"`+roles+`plain","Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}}]}`)
	client := n.lambdaAs(may)
	create := func(name, role string) error {
		_, err := client.CreateFunction(t.Context(), &lambda.CreateFunctionInput{FunctionName: &name, Runtime: python, Handler: aws.String("main.handler"),
			Role: &role, Code: &types.FunctionCode{ZipFile: files{"main.py": "def handler(e, c): pass\n"}.Zip(t)}})
		return err
	}
	wantError(t, create("f", roles+"admin"), 403, "AccessDeniedException", "is not authorized to perform: iam:PassRole on resource: "+roles+"admin because no identity-based policy allows the iam:PassRole action")
	if err := create("f", roles+"plain"); err != nil {
		t.Fatal(err)
	}
	n.active(t, "f")
	_, err := client.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Role: aws.String(roles + "admin")})
	wantError(t, err, 403, "AccessDeniedException", "iam:PassRole")
	if _, err := client.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Timeout: aws.Int32(9)}); err != nil {
		t.Errorf("without a role: %v", err)
	}
}
