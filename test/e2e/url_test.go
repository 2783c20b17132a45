package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

const web = `exports.buffered = async (event) => {
	if (event.rawPath === "/fail") throw new Error("secret");
	return {statusCode: 201, cookies: ["a=b"], headers: {"x-who": event.requestContext.accountId}, body: JSON.stringify({
		body: event.body, path: event.rawPath, query: event.queryStringParameters, method: event.requestContext.http.method, context: event.requestContext.requestId})};
};
exports.streamed = awslambda.streamifyResponse(async (event, out) => {
	out = awslambda.HttpResponseStream.from(out, {statusCode: 202, headers: {"content-type": "text/event-stream"}, cookies: ["c=d"]});
	out.write("data: first\n\n");
	if (event.rawPath === "/hang") await new Promise((resolve) => setTimeout(resolve, 600000));
	out.end("data: last\n\n");
});
`

// visit sends a request to a function URL; names below localhost are this machine's.
func (n *node) visit(t *testing.T, method, target, body string, signed bool, header http.Header) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if signed {
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(t.Context(), n.key, req, hex.EncodeToString(sum[:]), "lambda", "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		u, err := url.Parse(n.url)
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, network, u.Host)
	}}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// TestFunctionURL serves a function by its URL: closed until its policy opens it,
// signed, by an alias, across origins, and gone when it is deleted.
func TestFunctionURL(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		ctx := t.Context()
		f := n.deploy(t, nodejs, files{"index.js": web}, handler("index.buffered"))
		made, err := n.lambda.CreateFunctionUrlConfig(ctx, &lambda.CreateFunctionUrlConfigInput{FunctionName: &f, AuthType: types.FunctionUrlAuthTypeNone,
			Cors: &types.Cors{AllowOrigins: []string{"https://a.example"}, AllowMethods: []string{"PUT"}}})
		if err != nil {
			t.Fatal(err)
		}
		at := *made.FunctionUrl
		res, body, _ := n.visit(t, "GET", at, "", false, nil)
		if res.StatusCode != 403 || !strings.HasPrefix(body, `{"Message":"Forbidden.`) {
			t.Errorf("before anybody may: %d %s", res.StatusCode, body)
		}
		if _, err := n.lambda.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &f, StatementId: aws.String("url"), Principal: aws.String("*"),
			Action: aws.String("lambda:InvokeFunctionUrl"), FunctionUrlAuthType: types.FunctionUrlAuthTypeNone}); err != nil {
			t.Fatal(err)
		}
		res, body, _ = n.visit(t, "PUT", at+"a/b%2Fc?q=1&q=2", "text", false, http.Header{"Content-Type": {"text/plain"}, "Origin": {"https://a.example"}})
		var got struct {
			Body, Path, Method, Context string
			Query                       map[string]string
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		if res.StatusCode != 201 || got.Body != "text" || got.Path != "/a/b%2Fc" || got.Query["q"] != "1,2" || got.Method != "PUT" ||
			res.Header.Get("X-Who") != "anonymous" || res.Header.Get("Set-Cookie") != "a=b" || res.Header.Get("Access-Control-Allow-Origin") != "https://a.example" {
			t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
		}
		if got.Context == "" || got.Context != res.Header.Get("X-Amzn-Requestid") {
			t.Errorf("request %q is %q", got.Context, res.Header.Get("X-Amzn-Requestid"))
		}
		if res, body, _ := n.visit(t, "OPTIONS", at, "", false, http.Header{"Origin": {"https://a.example"}, "Access-Control-Request-Method": {"PUT"}}); res.StatusCode != 200 ||
			body != "" || res.Header.Get("Access-Control-Allow-Methods") != "PUT" {
			t.Errorf("preflight: %d %s %v", res.StatusCode, body, res.Header)
		}
		if res, body, _ := n.visit(t, "GET", at+"fail", "", false, nil); res.StatusCode != 502 || body != "Internal Server Error" {
			t.Errorf("a failure: %d %s", res.StatusCode, body)
		}
		// The API is not to be had there, whatever the path.
		if res, body, _ := n.visit(t, "GET", at+"2015-03-31/functions", "", true, nil); res.StatusCode != 201 {
			t.Errorf("a path of the API: %d %s", res.StatusCode, body)
		}

		if _, err := n.lambda.UpdateFunctionUrlConfig(ctx, &lambda.UpdateFunctionUrlConfigInput{FunctionName: &f, AuthType: types.FunctionUrlAuthTypeAwsIam}); err != nil {
			t.Fatal(err)
		}
		if res, _, _ := n.visit(t, "GET", at, "", false, nil); res.StatusCode != 403 {
			t.Errorf("unsigned: %d", res.StatusCode)
		}
		if res, body, _ := n.visit(t, "POST", at, "x", true, nil); res.StatusCode != 201 || res.Header.Get("X-Who") != "000000000000" {
			t.Errorf("signed: %d %s", res.StatusCode, body)
		}
		if _, err := n.lambda.DeleteFunctionUrlConfig(ctx, &lambda.DeleteFunctionUrlConfigInput{FunctionName: &f}); err != nil {
			t.Fatal(err)
		}
		if res, body, _ := n.visit(t, "GET", at, "", true, nil); res.StatusCode != 403 || body != `{"Message":null}` {
			t.Errorf("deleted: %d %s", res.StatusCode, body)
		}
	})
}

// TestFunctionURLStreams: status and headers come from the prelude, and the body
// before the handler has ended.
func TestFunctionURLStreams(t *testing.T) {
	onEach(t, func(t *testing.T, n *node) {
		ctx := t.Context()
		f := n.deploy(t, nodejs, files{"index.js": web}, handler("index.streamed"), timeout(3))
		made, err := n.lambda.CreateFunctionUrlConfig(ctx, &lambda.CreateFunctionUrlConfigInput{FunctionName: &f, AuthType: types.FunctionUrlAuthTypeAwsIam,
			InvokeMode: types.InvokeModeResponseStream})
		if err != nil {
			t.Fatal(err)
		}
		res, body, err := n.visit(t, "GET", *made.FunctionUrl, "", true, nil)
		if err != nil || res.StatusCode != 202 || body != "data: first\n\ndata: last\n\n" || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Set-Cookie") != "c=d" {
			t.Errorf("%d %q %v %v", res.StatusCode, body, res.Header, err)
		}
		// What is here before the function is timed out came before its end.
		res, body, err = n.visit(t, "GET", *made.FunctionUrl+"hang", "", true, nil)
		if err == nil || res.StatusCode != 202 || body != "data: first\n\n" {
			t.Errorf("timed out: %d %q %v", res.StatusCode, body, err)
		}
	})
}

// TestFunctionURLByCurl: the URL that is answered works as it is, on a node
// without authentication too.
func TestFunctionURLByCurl(t *testing.T) {
	n := startIn(t, t.TempDir(), "--isolation", "namespace", "--auth", "none")
	f := n.deploy(t, python, files{"main.py": "def handler(event, context):\n    return 'hello ' + event['rawPath']\n"}, handler("main.handler"))
	made, err := n.lambda.CreateFunctionUrlConfig(t.Context(), &lambda.CreateFunctionUrlConfigInput{FunctionName: &f, AuthType: types.FunctionUrlAuthTypeNone})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "curl", "-sS", "--noproxy", "*", "-H", "Origin: https://a.example", *made.FunctionUrl+"you").CombinedOutput()
	if err != nil || string(out) != "hello /you" {
		t.Errorf("%s: %s, %v", *made.FunctionUrl, out, err)
	}
}
