package e2e

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestWrongKey checks that --auth sigv4 is the default and lets nobody else in.
func TestWrongKey(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": answers1})
	for _, c := range []struct {
		name, code string
		key        aws.Credentials
	}{
		{"unknown id", "UnrecognizedClientException", aws.Credentials{AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", SecretAccessKey: n.key.SecretAccessKey}},
		{"wrong secret", "InvalidSignatureException", aws.Credentials{AccessKeyID: n.key.AccessKeyID, SecretAccessKey: "wrongwrongwrongwrongwrongwrongwrongwrong"}},
	} {
		client := n.lambdaAs(c.key)
		_, err := client.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f})
		wantError(t, err, 403, c.code, "")
		_, err = client.ListFunctions(t.Context(), &lambda.ListFunctionsInput{})
		wantError(t, err, 403, c.code, "")
	}
	for _, path := range []string{"/2015-03-31/functions", "/alcove/v1/environments", "/alcove/v1/logs?function=" + f} {
		resp, err := http.Get(n.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 403 {
			t.Errorf("GET %s without a signature: %s", path, resp.Status)
		}
	}
}

// TestNoAuth checks the rules that stand in for a signature: a loopback name,
// no page of another origin.
func TestNoAuth(t *testing.T) {
	n := start(t, "--isolation", "namespace", "--auth", "none")
	send := func(change func(*http.Request)) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+"/2015-03-31/functions", nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"plain", func(*http.Request) {}, 200},
		{"localhost", func(r *http.Request) { r.Host = "localhost:4566" }, 200},
		{"own origin", func(r *http.Request) { r.Header.Set("Origin", n.url) }, 200},
		{"foreign host", func(r *http.Request) { r.Host = "evil.example" }, 403},
		{"rebound host", func(r *http.Request) { r.Host = "127.0.0.1.evil.example" }, 403},
		{"foreign origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"no origin", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"other site", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
	} {
		if got := send(c.change); got != c.want {
			t.Errorf("%s: status %d, want %d", c.name, got, c.want)
		}
	}
	// Any key, or none that makes sense, is right.
	n.lambda = n.lambdaAs(aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"})
	n.run(t, n.deploy(t, python, files{"main.py": answers1}), call{}, nil)
}

// TestNoAuthIsForLoopback checks that a node does not open itself to others.
func TestNoAuthIsForLoopback(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), program, "serve", "--listen", "0.0.0.0:0", "--auth", "none", "--isolation", "namespace", "--data", t.TempDir())
	cmd.Env = cleanEnv()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "--auth none is refused") {
		t.Errorf("ended with %v:\n%s", err, out)
	}
}

// TestHealth checks what a supervisor asks.
func TestHealth(t *testing.T) {
	n := on(t, "namespace")
	for _, path := range []string{"/healthz", "/readyz"} {
		resp, err := http.Get(n.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
	}
}
