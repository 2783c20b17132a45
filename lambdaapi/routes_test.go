package lambdaapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove"
)

// fill gives every member of an SDK's input a value.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth)
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth-1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth-1)
		fill(value, depth-1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() || f.Anonymous {
				fill(v.Field(i), depth-1)
			}
		}
	}
}

// TestEveryOperationOfTheSDKIsInTheTable calls every method of the SDK's client.
// Those that are not there yet say so, by name, and never succeed.
func TestEveryOperationOfTheSDKIsInTheTable(t *testing.T) {
	n := startReal(t)
	built := map[string]bool{}
	for _, r := range table() {
		built[r.operation] = r.serve != nil
	}
	seen := 0
	client := reflect.ValueOf(n.Client)
	for i := range client.NumMethod() {
		method := client.Type().Method(i)
		if method.Type.NumIn() < 3 || !strings.HasSuffix(method.Type.In(2).String(), "Input") {
			continue
		}
		seen++
		serves, known := built[method.Name]
		if !known {
			t.Errorf("%s is not in the table", method.Name)
			continue
		}
		in := reflect.New(method.Type.In(2).Elem())
		fill(in.Elem(), 5)
		if body, ok := in.Interface().(*lambda.InvokeAsyncInput); ok {
			body.InvokeArgs = strings.NewReader("{}")
		}
		out := client.Method(i).Call([]reflect.Value{reflect.ValueOf(context.Background()), in})
		err, _ := out[1].Interface().(error)
		api, isAPI := errors.AsType[smithy.APIError](err)
		switch {
		case err != nil && !isAPI:
			t.Errorf("%s: %v", method.Name, err)
		case serves:
			if err != nil && (api.ErrorCode() == codeUnknownOperation || api.ErrorFault() == smithy.FaultServer) {
				t.Errorf("%s: %v", method.Name, err)
			}
		case err == nil:
			t.Errorf("%s is not there, but succeeds", method.Name)
		case api.ErrorCode() != codeUnsupported || !strings.Contains(api.ErrorMessage(), "operation "+method.Name+" is not supported yet"):
			t.Errorf("%s: %v", method.Name, err)
		}
	}
	if seen != len(built) || seen < 88 {
		t.Errorf("the SDK has %d operations, the table %d", seen, len(built))
	}
}

func TestTableFitsTheRouter(t *testing.T) {
	for _, r := range table() {
		segments, n := split(r.path)
		if n < 0 || strings.Count(r.path, "{") > maxNamed || strings.HasPrefix(segments[0], "{") {
			t.Errorf("%s does not fit", r.path)
		}
	}
}

func TestUnknownOperations(t *testing.T) {
	n := start(t)
	for _, c := range []struct{ method, path string }{
		{"GET", "/"}, {"GET", "//"}, {"GET", "/2015-03-31"}, {"PATCH", "/2015-03-31/functions"}, {"GET", "/2015-03-31/functions//configuration"},
		{"GET", "/2015-03-31/functions/f/x"}, {"GET", "/2015-03-31/a/b/c/d/e/f/g/h"}, {"GET", "/2015-03-31/functions/f/configuration/x"}, {"HEAD", "/2015-03-31/functions"},
	} {
		status, h, _ := n.raw(t, c.method, c.path, nil, "")
		if status != 404 || h.Get("X-Amzn-Errortype") != codeUnknownOperation {
			t.Errorf("%s %s: %d %v", c.method, c.path, status, h)
		}
	}
	if status, _, _ := n.raw(t, "GET", "/2015-03-31/functions/", nil, ""); status != 200 {
		t.Errorf("with a slash at the end, as older SDKs send it: %d", status)
	}
	if status, h, _ := n.raw(t, "GET", "/2015-03-31/functions?a=%zz", nil, ""); status != 400 || h.Get("X-Amzn-Errortype") != alcove.CodeInvalidRequestContent {
		t.Errorf("malformed query: %d %v", status, h)
	}
}

// TestLongNamesAreRefused has a name that is too long only if its bytes are
// counted: it was once taken for the empty one.
func TestLongNamesAreRefused(t *testing.T) {
	n := start(t)
	for _, name := range []string{strings.Repeat("%C3%A9", 200), strings.Repeat("a", 300)} {
		status, h, text := n.raw(t, "GET", "/2015-03-31/functions/"+name, nil, "")
		if status != 400 || h.Get("X-Amzn-Errortype") != "ValidationException" || !strings.Contains(text, "at 'functionName' failed to satisfy constraint") {
			t.Errorf("%d %s", status, text)
		}
	}
}

func TestNothingWithoutAuthentication(t *testing.T) {
	n := start(t)
	for _, r := range table() {
		path := strings.NewReplacer("{", "", "}", "").Replace(r.path) + "?" + r.query
		status, h, text := n.raw(t, r.method, path, http.Header{"Authorization": {"other"}}, "{}")
		if status != 403 || h.Get("X-Amzn-Errortype") != "UnrecognizedClientException" || text != `{"message":"The security token included in the request is invalid."}` {
			t.Errorf("%s: %d %s", r.operation, status, text)
		}
	}
}

// counted counts what is read of a body.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

func (c *counted) Close() error { return nil }

func TestLargeBodiesAreNotReadForStrangers(t *testing.T) {
	n := newNode(t)
	for _, size := range []int64{precheckFrom, maxUpload, maxUpload + 1, -1} {
		body := &counted{Reader: io.LimitReader(zeros{}, max(size, 1<<20))}
		r, err := http.NewRequest("POST", "http://x/2015-03-31/functions", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Body, r.ContentLength = body, size
		w := &discard{h: http.Header{}}
		n.api.ServeHTTP(w, r)
		if w.h.Get("X-Amzn-Errortype") != "UnrecognizedClientException" || body.n != 0 {
			t.Errorf("size %d: %v after %d bytes", size, w.h, body.n)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestBodyLimits(t *testing.T) {
	n := start(t)
	status, h, text := n.raw(t, "PUT", "/2015-03-31/functions/f/configuration", nil, strings.Repeat(" ", maxBody+1))
	if status != 413 || h.Get("X-Amzn-Errortype") != "RequestEntityTooLargeException" || text != `{"message":"Request must be smaller than 1048576 bytes for the UpdateFunctionConfiguration operation"}` {
		t.Errorf("%d %s", status, text)
	}
	status, _, text = n.raw(t, "POST", "/2015-03-31/functions", nil, strings.Repeat(" ", maxUpload+1))
	if status != 413 || text != `{"message":"Request must be smaller than 70167211 bytes for the CreateFunction operation"}` {
		t.Errorf("%d %s", status, text)
	}
}

func TestLargestPackage(t *testing.T) {
	n := start(t)
	zip := make([]byte, alcove.MaxZipped)
	out := n.create(t, "f", func(in *lambda.CreateFunctionInput) { in.Code.ZipFile = zip })
	if out.CodeSize != alcove.MaxZipped {
		t.Errorf("the package has %d bytes", out.CodeSize)
	}
	_, err := n.client.CreateFunction(context.Background(), createInput("g", func(in *lambda.CreateFunctionInput) { in.Code.ZipFile = append(zip, 0) }))
	wantError(t, err, 413, "RequestEntityTooLargeException", "Zipped size must be smaller than 52428800 bytes")
}
