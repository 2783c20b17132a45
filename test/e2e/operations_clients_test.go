package e2e

import (
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// TestEveryOperationWithGo also sees that no operation that the node has was left
// out.
func TestEveryOperationWithGo(t *testing.T) {
	t.Parallel()
	var n *node
	l := leadAll(t, func(t *testing.T, made *node) client { n = made; return goClient{made.lambda} })
	client := reflect.ValueOf(n.lambda)
	for i := range client.NumMethod() {
		method := client.Type().Method(i)
		if method.Type.NumIn() < 3 || !strings.HasSuffix(method.Type.In(2).String(), "Input") || l.succeeded[method.Name] {
			continue
		}
		in := reflect.New(method.Type.In(2).Elem())
		fillRequired(in.Elem(), 4)
		if async, ok := in.Interface().(*lambda.InvokeAsyncInput); ok {
			async.InvokeArgs = strings.NewReader("{}")
		}
		out := client.Method(i).Call([]reflect.Value{reflect.ValueOf(t.Context()), in})
		err, _ := out[1].Interface().(error)
		if a := goErrorOrNone(t, method.Name, err); a.Code != "UnsupportedOperationException" {
			t.Errorf("%s is there (%s: %s), and no life has it: add it to lives", method.Name, a.Code, a.Text)
		}
	}
}

func goErrorOrNone(t *testing.T, operation string, err error) reply {
	if err == nil {
		return reply{}
	}
	return goError(t, operation, err)
}

// fillRequired gives the texts and numbers of a request values.
func fillRequired(v reflect.Value, depth int) {
	for i := range v.NumField() {
		f := v.Field(i)
		if !f.CanSet() || depth == 0 {
			continue
		}
		switch {
		case f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.String:
			s := "x"
			f.Set(reflect.ValueOf(&s))
		case f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct:
			f.Set(reflect.New(f.Type().Elem()))
			fillRequired(f.Elem(), depth-1)
		case f.Kind() == reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
		case f.Kind() == reflect.String:
			f.SetString("x")
		case f.Kind() == reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			if f.Index(0).Kind() == reflect.Struct {
				fillRequired(f.Index(0), depth-1)
			}
		}
	}
}

// TestEveryOperationWithJavaScript is the SDK for JavaScript.
func TestEveryOperationWithJavaScript(t *testing.T) {
	installJavaScript(t)
	t.Parallel()
	leadAll(t, func(t *testing.T, n *node) client { return startDriver(t, n, javaScriptDir, "node", "driver.mjs") })
}

// startPython starts boto3, or botocore alone, of the Python that ALCOVE_PYTHON
// names, or of one that is installed.
func startPython(t *testing.T, n *node) *driver {
	t.Helper()
	return startDriver(t, n, "testdata/python", findPython(t), "driver.py")
}

func findPython(t *testing.T) string {
	t.Helper()
	for _, path := range []string{os.Getenv("ALCOVE_PYTHON"), "python3", "python", "/usr/bin/python3"} {
		if path != "" && exec.Command(path, "-c", "import botocore").Run() == nil {
			return path
		}
	}
	t.Skip("no Python here has boto3 or botocore: install python3-boto3, or have ALCOVE_PYTHON name one that has")
	return ""
}

func TestEveryOperationWithPython(t *testing.T) {
	findPython(t)
	t.Parallel()
	leadAll(t, func(t *testing.T, n *node) client { return startPython(t, n) })
}

// TestEveryOperationWithPythonOfOtherServices has clients of services that are not
// here told so, in their own protocols.
func TestEveryOperationWithPythonOfOtherServices(t *testing.T) {
	findPython(t)
	d := startPython(t, on(t, "namespace"))
	for _, c := range []struct {
		service, method string
		in              object
	}{
		{"iam", "list_roles", nil}, {"iam", "create_role", object{"RoleName": "r", "AssumeRolePolicyDocument": "{}"}}, {"s3", "list_buckets", nil}, {"s3", "get_object", object{"Bucket": "bucket", "Key": "k"}},
		{"dynamodb", "list_tables", nil}, {"sqs", "list_queues", nil}, {"ecr", "describe_repositories", nil}, {"cloudformation", "list_stacks", nil},
		{"ec2", "describe_vpcs", nil}, {"events", "list_rules", nil}, {"apigateway", "get_rest_apis", nil}, {"sns", "list_topics", nil},
	} {
		in := c.in
		if in == nil {
			in = object{}
		}
		got := d.do(t, object{"service": c.service, "method": c.method, "in": in})
		if got.Code != "UnsupportedOperationException" || got.Status != 400 || !strings.Contains(got.Text, "'"+c.service+"', which this endpoint does not offer") {
			t.Errorf("%s.%s: %d %s %s", c.service, c.method, got.Status, got.Code, got.Text)
		}
	}
}

// TestEveryOperationWithCLI is the AWS CLI that ALCOVE_AWS names, or that is
// installed.
func TestEveryOperationWithCLI(t *testing.T) {
	t.Parallel()
	path := os.Getenv("ALCOVE_AWS")
	if path == "" {
		var err error
		if path, err = exec.LookPath("aws"); err != nil {
			t.Skip("there is no AWS CLI here: install awscli, or have ALCOVE_AWS name it")
		}
	}
	leadAll(t, func(t *testing.T, n *node) client { return startCLI(t, n, path) })
}
