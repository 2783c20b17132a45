package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/alcove-run/alcove/test/testnode"
)

const javaScriptDir = "testdata/js"

// installJavaScript has npm install what the scripts there need, if it is not there.
func installJavaScript(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(javaScriptDir + "/node_modules"); err == nil {
		return
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	npm.Dir = javaScriptDir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}

// TestJavaScriptSDK has the official SDK for JavaScript do the main job: create,
// wait, invoke tenants in turns, be refused, read logs, delete.
func TestJavaScriptSDK(t *testing.T) {
	installJavaScript(t)
	onEach(t, func(t *testing.T, n *node) {
		cmd := exec.CommandContext(t.Context(), "node", "main.mjs")
		cmd.Dir = javaScriptDir
		cmd.Env = cleanEnv("ENDPOINT="+n.url, "FUNCTION="+name(t), "AWS_REGION=us-east-1",
			"AWS_ACCESS_KEY_ID="+n.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+n.key.SecretAccessKey)
		var errs testnode.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, errs.String())
		}
		var got struct {
			Mode                                        string
			Answers                                     []identity
			Missing, Malformed, Failed, FailedType, Log string
			Lines                                       int
			Deleted                                     string
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got.Mode != "PER_TENANT" || len(got.Answers) != 4 {
			t.Fatalf("%s", out)
		}
		for i, a := range got.Answers {
			if want := []string{"a", "b"}[i%2]; a.Tenant != want || a.Count != i/2+1 {
				t.Errorf("answer %d: %+v", i, a)
			}
		}
		if got.Missing != "InvalidParameterValueException" || got.Malformed != "ValidationException" ||
			got.Failed != "Unhandled" || got.FailedType != "RangeError" || got.Deleted != "ResourceNotFoundException" {
			t.Errorf("%s", out)
		}
		if got.Lines != 2 {
			t.Errorf("the logs client found %d lines of tenant a, want 2", got.Lines)
		}
	})
}
