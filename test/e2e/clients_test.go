package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/alcove-run/alcove/test/testnode"
)

// object is a JSON object.
type object = map[string]any

// reply is what a client of AWS made of an operation's answer.
type reply struct {
	Out    object // members by AWS's names
	Code   string // of the error, if it was one
	Text   string // its message
	Status int    // the HTTP status of an error; 0 if the client does not tell
	// Unknown says what of the request this version of the client does not have.
	Unknown string
}

// client is an official client of AWS. Requests are JSON objects with AWS's names
// of members; blobs are Base64.
type client interface {
	call(t *testing.T, operation string, in object) reply
	// wait uses the client's waiter of that name.
	wait(t *testing.T, waiter string, in object) reply
	// pages reads a list with the client's paginator, in pages of a size, and gives
	// the length of each and all that is in them.
	pages(t *testing.T, operation, list string, in object, size int) ([]int, []any, reply)
}

// goClient is the SDK for Go.
type goClient struct{ *lambda.Client }

func (c goClient) call(t *testing.T, operation string, in object) reply {
	t.Helper()
	method := reflect.ValueOf(c.Client).MethodByName(operation)
	if !method.IsValid() {
		return reply{Unknown: "the operation " + operation}
	}
	request := reflect.New(method.Type().In(1).Elem())
	args, isAsync := request.Interface().(*lambda.InvokeAsyncInput)
	if isAsync {
		args.InvokeArgs = strings.NewReader(decodeBlob(t, in["InvokeArgs"]))
		in = object{"FunctionName": in["FunctionName"]}
	}
	text, err := json.Marshal(in)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		if !isAsync {
			d.DisallowUnknownFields()
		}
		err = d.Decode(request.Interface())
	}
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), request})
	if err, _ := out[1].Interface().(error); err != nil {
		return goError(t, operation, err)
	}
	if stream, ok := out[0].Interface().(*lambda.InvokeWithResponseStreamOutput); ok {
		return goStream(t, stream)
	}
	return reply{Out: asObject(t, out[0].Interface())}
}

func goError(t *testing.T, operation string, err error) reply {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		t.Fatalf("%s: %v", operation, err)
	}
	a := reply{Code: api.ErrorCode(), Text: api.ErrorMessage()}
	if re, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		a.Status = re.HTTPStatusCode()
	}
	return a
}

// goStream reads the events of an answer that streams.
func goStream(t *testing.T, out *lambda.InvokeWithResponseStreamOutput) reply {
	t.Helper()
	stream := out.GetStream()
	defer stream.Close()
	var payload []byte
	got := object{"ExecutedVersion": aws.ToString(out.ExecutedVersion)}
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			payload = append(payload, e.Value.Payload...)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			got["Complete"], got["ErrorCode"] = true, aws.ToString(e.Value.ErrorCode)
		}
	}
	if err := stream.Err(); err != nil {
		t.Errorf("the stream: %v", err)
	}
	got["Payload"] = base64.StdEncoding.EncodeToString(payload)
	return reply{Out: got}
}

// asObject is a struct of the SDK as JSON has it.
func asObject(t *testing.T, v any) object {
	t.Helper()
	text, err := json.Marshal(v)
	o := object{}
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (c goClient) wait(t *testing.T, waiter string, in object) reply {
	t.Helper()
	name := in["FunctionName"].(string)
	var err error
	get := &lambda.GetFunctionInput{FunctionName: &name}
	configuration := &lambda.GetFunctionConfigurationInput{FunctionName: &name}
	if q, ok := in["Qualifier"].(string); ok {
		configuration.Qualifier = &q
	}
	switch waiter {
	case "FunctionExists":
		err = lambda.NewFunctionExistsWaiter(c.Client, func(o *lambda.FunctionExistsWaiterOptions) { o.MinDelay = time.Millisecond }).Wait(t.Context(), get, patience)
	case "FunctionActive":
		err = lambda.NewFunctionActiveWaiter(c.Client, func(o *lambda.FunctionActiveWaiterOptions) { o.MinDelay = time.Millisecond }).Wait(t.Context(), configuration, patience)
	case "FunctionActiveV2":
		err = lambda.NewFunctionActiveV2Waiter(c.Client, func(o *lambda.FunctionActiveV2WaiterOptions) { o.MinDelay = time.Millisecond }).Wait(t.Context(), get, patience)
	case "FunctionUpdated":
		err = lambda.NewFunctionUpdatedWaiter(c.Client, func(o *lambda.FunctionUpdatedWaiterOptions) { o.MinDelay = time.Millisecond }).Wait(t.Context(), configuration, patience)
	case "FunctionUpdatedV2":
		err = lambda.NewFunctionUpdatedV2Waiter(c.Client, func(o *lambda.FunctionUpdatedV2WaiterOptions) { o.MinDelay = time.Millisecond }).Wait(t.Context(), get, patience)
	case "PublishedVersionActive":
		err = lambda.NewPublishedVersionActiveWaiter(c.Client, func(o *lambda.PublishedVersionActiveWaiterOptions) { o.MinDelay = time.Millisecond }).Wait(t.Context(), configuration, patience)
	default:
		return reply{Unknown: "the waiter " + waiter}
	}
	if err != nil {
		return reply{Code: "waiter", Text: err.Error()}
	}
	return reply{}
}

func (c goClient) pages(t *testing.T, operation, list string, in object, size int) (lengths []int, all []any, a reply) {
	t.Helper()
	in = clone(in)
	in["MaxItems"] = size
	for range 100 {
		a = c.call(t, operation, in)
		if a.Code != "" {
			return nil, nil, a
		}
		page, _ := a.Out[list].([]any)
		lengths, all = append(lengths, len(page)), append(all, page...)
		next, _ := a.Out["NextMarker"].(string)
		if next == "" {
			return lengths, all, a
		}
		in["Marker"] = next
	}
	t.Fatalf("%s has no end", operation)
	return nil, nil, a
}

func clone(o object) object {
	c := object{}
	for k, v := range o {
		c[k] = v
	}
	return c
}

func decodeBlob(t *testing.T, v any) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// driver is a client in a process of its own, which reads a request from each
// line of its input and writes an answer to a line of its output.
type driver struct {
	in  io.Writer
	out *bufio.Reader
	log *testnode.Buffer
}

// startDriver starts a program that serves the protocol of drivers against n.
func startDriver(t *testing.T, n *node, dir string, command ...string) *driver {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = n.clientEnv()
	d := &driver{log: &testnode.Buffer{}}
	cmd.Stderr = d.log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	d.in, d.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close() // it ends at the end of its input
		timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", command[0], err, d.log)
		}
	})
	return d
}

// clientEnv is the environment of clients in processes of their own, with nothing
// of who runs the tests.
func (n *node) clientEnv() []string {
	return cleanEnv("AWS_ENDPOINT_URL="+n.url, "ENDPOINT="+n.url, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_DEFAULT_OUTPUT=json",
		"AWS_ACCESS_KEY_ID="+n.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+n.key.SecretAccessKey)
}

// driven is what a driver answers with.
type driven struct {
	reply
	Lengths []int
	All     []any
}

func (d *driver) do(t *testing.T, request object) driven {
	t.Helper()
	var a driven
	d.ask(t, request, &a)
	return a
}

// ask has a driver answer to a request.
func (d *driver) ask(t *testing.T, request object, answer any) {
	t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.in.Write(append(text, '\n')); err != nil {
		t.Fatalf("the client is gone: %v\n%s", err, d.log)
	}
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := d.out.ReadBytes('\n')
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		if l.err == nil {
			l.err = json.Unmarshal(l.text, answer)
		}
		if l.err != nil {
			t.Fatalf("the client answered %q: %v\n%s", l.text, l.err, d.log)
		}
	case <-time.After(2 * patience):
		t.Fatalf("the client does not answer to %s\n%s", text, d.log)
	}
}

func (d *driver) call(t *testing.T, operation string, in object) reply {
	t.Helper()
	return d.do(t, object{"op": operation, "in": in}).reply
}

func (d *driver) wait(t *testing.T, waiter string, in object) reply {
	t.Helper()
	return d.do(t, object{"wait": waiter, "in": in}).reply
}

func (d *driver) pages(t *testing.T, operation, list string, in object, size int) ([]int, []any, reply) {
	t.Helper()
	a := d.do(t, object{"pages": operation, "in": in, "size": size, "list": list})
	return a.Lengths, a.All, a.reply
}
