package e2e

import (
	"archive/tar"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// testImageUser runs functions as whom their images name.
func testImageUser(t *testing.T, n *node, reg *ociRegistry, python v1.Layer) {
	layers := awsLike(t, python,
		item{name: "etc/passwd", text: "root:x:0:0::/root:/bin/sh\napp:x:1500:1501::/home/app:/bin/sh\n"}, item{name: "etc/group", text: "app:x:1501:\nextra:x:44:app\n"},
		item{name: "var/task/private", text: "x", header: tar.Header{Mode: 0o600, Uid: 1500}}, item{name: "var/task/shared", text: "x", header: tar.Header{Mode: 0o640, Gid: 44}},
		item{name: "var/task/closed", text: "x", header: tar.Header{Mode: 0o600}})
	for _, c := range []struct{ user, is, reads string }{
		{"app", "[1500 1501] [44] /home/app", "ok ok Permission denied"},
		{"1500:1501", "[1500 1501] [] /home/app", "ok Permission denied Permission denied"},
		{"4711", "[4711 0] [] /", "Permission denied Permission denied Permission denied"},
		{"root", "[993 990] [] ", "Permission denied Permission denied Permission denied"},
	} {
		config := awsConfig
		config.Cmd, config.User = []string{"app.who"}, c.user
		f := n.deploy(t, "", nil, fromImage(reg.push(t, "user:"+strings.ReplaceAll(c.user, ":", "-"), image(t, config, layers...))), memory(256))
		var got struct {
			IDs, Groups            []int
			Home, Caps             string
			Mine, Group, Root, Tmp string
		}
		n.run(t, f, call{payload: `{}`}, &got)
		if is := fmt.Sprintf("%v %v %s", got.IDs, got.Groups, got.Home); is != c.is || got.Mine+" "+got.Group+" "+got.Root != c.reads || got.Tmp != "ok" || strings.Trim(got.Caps, "0") != "" {
			t.Errorf("%s: %+v", c.user, got)
		}
	}
	config := awsConfig
	config.User = "nobody-here"
	in := &lambda.CreateFunctionInput{FunctionName: aws.String(name(t)), Role: aws.String(role)}
	fromImage(reg.push(t, "user:none", image(t, config, layers...)))(in)
	if _, err := n.lambda.CreateFunction(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.delete(context.Background(), *in.FunctionName) })
	c := n.failed(t, *in.FunctionName)
	if c.StateReasonCode != types.StateReasonCodeInvalidImage || !strings.HasSuffix(aws.ToString(c.StateReason), `is invalid: its user "nobody-here" is not in its /etc/passwd.`) {
		t.Errorf("%s: %s", c.StateReasonCode, aws.ToString(c.StateReason))
	}
}

// failed waits until a function cannot be made, and tells what is said of it.
func (n *node) failed(t *testing.T, name string) *types.FunctionConfiguration {
	t.Helper()
	var c *types.FunctionConfiguration
	err := lambda.NewFunctionActiveV2Waiter(n.lambda, func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 100*time.Millisecond
		retryable := o.Retryable
		o.Retryable = func(ctx context.Context, in *lambda.GetFunctionInput, out *lambda.GetFunctionOutput, err error) (bool, error) {
			if err == nil {
				c = out.Configuration
			}
			return retryable(ctx, in, out, err)
		}
	}).Wait(t.Context(), &lambda.GetFunctionInput{FunctionName: &name}, patience)
	if err == nil || c == nil || c.State != types.StateFailed {
		t.Fatalf("%s is %+v, %v", name, c, err)
	}
	return c
}

// testImageProgram runs images whose program is there and cannot be executed.
func testImageProgram(t *testing.T, n *node, driver string, reg *ociRegistry) {
	layers := []v1.Layer{layer(t, "", ociGzip, item{name: "odd", text: "\x00\x01 no program"}, item{name: "script", text: "#!/none/sh\n"})}
	for program, text := range map[string]string{"/odd": "fork/exec /odd: exec format error", "/script": "fork/exec /script: no such file or directory"} {
		f := n.deploy(t, "", nil, fromImage(reg.push(t, "program:"+program[1:], image(t, v1.Config{Cmd: []string{program}}, layers...))))
		kind := "Runtime.InvalidEntrypoint"
		if driver == "gvisor" { // which is told too late
			kind, text = "Runtime.ExitError", "exit status 125"
		}
		if got, inv := n.fail(t, f, call{}); got.ErrorType != kind || !strings.Contains(got.ErrorMessage, text) {
			t.Errorf("%s: %+v\n%s", program, got, inv.tail)
		}
	}
}
