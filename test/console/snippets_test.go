package console

import (
	"archive/zip"
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/alcove-run/alcove/test/testnode"
)

// snippet is what a page gives to copy.
var snippet = regexp.MustCompile(`(?s)<figcaption>([^<]*)</figcaption>\s*<pre tabindex="0"><code>([^<]*)</code>`)

// TestSnippetsWork runs what pages give to copy, in the order in which somebody who is new
// comes to them: first what a node without functions says, then what pages without tenants,
// measurements, keys and events say. Clients that this machine has not are left out.
func TestSnippetsWork(t *testing.T) {
	t.Parallel()
	n := testnode.Start(t, program, t.TempDir(), "--isolation", "namespace", "--auth", "none")
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Symlink(program, filepath.Join(dir, "alcove")))
	must(os.Mkdir(filepath.Join(dir, "DIR"), 0o755))
	const code = "def handler(event, context):\n    return context.tenant_id\n"
	must(os.WriteFile(filepath.Join(dir, "DIR", "lambda_function.py"), []byte(strings.Replace(code, "handler", "lambda_handler", 1)), 0o644))
	f, err := os.Create(filepath.Join(dir, "code.zip"))
	must(err)
	z := zip.NewWriter(f)
	w, err := z.Create("lambda_function.py")
	must(err)
	_, err = io.WriteString(w, code)
	must(err)
	must(z.Close())
	must(f.Close())

	page := func(path string) string {
		t.Helper()
		resp, err := http.Get(n.URL + "/console/" + path)
		must(err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		must(err)
		return string(b)
	}
	ran := 0
	run := func(what, text string) {
		t.Helper()
		var cmd *exec.Cmd
		ctx, cancel := context.WithTimeout(t.Context(), testnode.Patience)
		defer cancel()
		switch {
		case strings.HasSuffix(what, ".json"):
			must(os.WriteFile(filepath.Join(dir, what), []byte(text), 0o600))
			return
		case strings.HasPrefix(what, "Python"):
			cmd = exec.CommandContext(ctx, "python3", "-c", text)
			if exec.CommandContext(ctx, "python3", "-c", "import boto3").Run() != nil {
				return
			}
		case strings.HasPrefix(what, "JavaScript"):
			cmd = exec.CommandContext(ctx, "node", "--input-type=module", "-e", text)
			cmd.Dir = modules(t)
		case strings.HasPrefix(text, "aws "):
			if _, err := exec.LookPath("aws"); err != nil {
				return
			}
			fallthrough
		default:
			cmd = exec.CommandContext(ctx, "sh", "-c", text)
			cmd.Dir = dir
		}
		// As somebody's own shell: with a key as the page says, and no region.
		cmd.Env = testnode.CleanEnv("PATH="+dir+":"+os.Getenv("PATH"), "ALCOVE_DATA="+n.Data, "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_EC2_METADATA_DISABLED=true")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s\n%v: %s", what, text, err, out)
		}
		ran++
	}
	try := func(path string, wanted ...string) {
		t.Helper()
		all := snippet.FindAllStringSubmatch(page(path), -1)
		if len(all) < len(wanted) {
			t.Errorf("%s gives %d snippets, want %q among them", path, len(all), wanted)
		}
		for _, s := range all {
			what, text := html.UnescapeString(s[1]), html.UnescapeString(s[2])
			for i, w := range wanted {
				if strings.Contains(text, w) {
					wanted = append(wanted[:i:i], wanted[i+1:]...)
					run(what, text)
					break
				}
			}
		}
		if len(wanted) > 0 {
			t.Errorf("%s has no snippet with %q", path, wanted)
		}
	}
	try("usage", "alcove usage")
	try("metrics", "aws cloudwatch", "curl")
	try("access/keys", "lambda:TenantId", "alcove keys create")
	try("access/roles", "lambda:InvokeFunction", "alcove roles put")
	try("functions", "aws lambda create-function")
	_, err = n.Lambda.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: aws.String("counter")})
	if gone := (*types.ResourceNotFoundException)(nil); err != nil && !errors.As(err, &gone) { // there is no AWS CLI here
		t.Fatal(err)
	}
	try("floor", "alcove deploy DIR")
	n.Active(t, "counter")
	try("tenants", "alcove invoke counter --tenant blue")
	try("floor", "alcove invoke counter --tenant blue", "aws lambda invoke")
	try("functions/counter", "import boto3", "@aws-sdk/client-lambda")
	try("functions/counter/queue", "--invocation-type Event")
	try("egress?function=counter", "--function counter --allow", "--tenant blue --mode none", "--unset")
	try("access/audit?denied=1", "alcove audit")
	if ran < 10 {
		t.Errorf("only %d snippets ran", ran)
	}
}

// modules is a directory with AWS's SDK for JavaScript.
func modules(t *testing.T) string { axe(t); return "../e2e/testdata/js" }
