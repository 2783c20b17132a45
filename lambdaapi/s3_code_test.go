package lambdaapi

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/s3"
)

// objects are those of an endpoint.
type objects map[s3.Object][]byte

func (o objects) Get(_ context.Context, name s3.Object, limit int64, w io.Writer) error {
	if limit != alcove.MaxUnzipped {
		return errors.New("asked with another limit")
	}
	if b, ok := o[name]; ok {
		_, err := w.Write(b)
		return err
	}
	return alcove.InvalidParameter("Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.")
}

// readers keeps what callers were authorised for, and denies some.
type readers struct {
	fakeAuth
	asked *[]string
	deny  string
}

func (a readers) Authorize(caller alcove.Caller, o auth.Operation) (*auth.Scope, error) {
	*a.asked = append(*a.asked, o.Action+" "+o.Resource)
	if o.Action == a.deny {
		return nil, alcove.ClientError(auth.CodeAccessDenied, "User: x is not authorized to perform: %s", o.Action)
	}
	return a.fakeAuth.Authorize(caller, o)
}

func TestCodeFromS3(t *testing.T) {
	n := startReal(t)
	one, two, layer := zipOf(t, "index.py", "one"), zipOf(t, "index.py", "two"), zipOf(t, "python/l.py", "l")
	n.api.Objects = objects{{Bucket: "code", Key: "f.zip"}: one, {Bucket: "code", Key: "f.zip", Version: "v2"}: two, {Bucket: "code", Key: "l.zip"}: layer}
	var asked []string
	n.api.Auth = readers{asked: &asked}
	ctx := t.Context()
	at := func(key, version string) *types.FunctionCode {
		c := &types.FunctionCode{S3Bucket: aws.String("code"), S3Key: &key}
		if version != "" {
			c.S3ObjectVersion = &version
		}
		return c
	}
	in := createInput("f", func(in *lambda.CreateFunctionInput) { in.Code = at("f.zip", "") })
	made := must[*lambda.CreateFunctionOutput](t)(n.CreateFunction(ctx, in))
	if made.CodeSize != int64(len(one)) {
		t.Errorf("made of %d bytes", made.CodeSize)
	}
	if !slices.Contains(asked, "s3:GetObject arn:aws:s3:::code/f.zip") {
		t.Errorf("asked for %v", asked)
	}
	n.ready(t, "f")
	up := &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("f"), S3Bucket: aws.String("code"), S3Key: aws.String("f.zip"), S3ObjectVersion: aws.String("v2")}
	updated := must[*lambda.UpdateFunctionCodeOutput](t)(n.UpdateFunctionCode(ctx, up))
	if *updated.CodeSha256 == *made.CodeSha256 || !slices.Contains(asked, "s3:GetObjectVersion arn:aws:s3:::code/f.zip") {
		t.Errorf("updated to %s, asked for %v", *updated.CodeSha256, asked)
	}
	published := must[*lambda.PublishLayerVersionOutput](t)(n.PublishLayerVersion(ctx, &lambda.PublishLayerVersionInput{LayerName: aws.String("l"),
		Content: &types.LayerVersionContentInput{S3Bucket: aws.String("code"), S3Key: aws.String("l.zip")}}))
	if published.Content.CodeSize != int64(len(layer)) {
		t.Errorf("a layer of %d bytes", published.Content.CodeSize)
	}

	refused := func(what string, err error, code, text string) {
		t.Helper()
		e, ok := errors.AsType[smithy.APIError](err)
		good := ok && e.ErrorCode() == code && strings.Contains(e.ErrorMessage(), text)
		conformance.count(countTexts, text, good)
		if !good {
			t.Errorf("%s: %v", what, err)
		}
	}
	create := func(code *types.FunctionCode) error {
		_, err := n.CreateFunction(ctx, createInput("g", func(in *lambda.CreateFunctionInput) { in.Code = code }))
		return err
	}
	refused("no such key", create(at("nope", "")), "InvalidParameterValueException",
		"Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.")
	refused("a key that means another", create(at("a/../f.zip", "")), "InvalidParameterValueException", "cannot be used")
	refused("no bucket", create(&types.FunctionCode{S3Bucket: aws.String("b."), S3Key: aws.String("k")}), "ValidationException", "at 'code.s3Bucket' failed to satisfy constraint")
	refused("no key", create(&types.FunctionCode{S3Bucket: aws.String("code")}), "InvalidParameterValueException", "Please provide a source for function code.")
	refused("by reference", create(&types.FunctionCode{S3Bucket: aws.String("code"), S3Key: aws.String("f.zip"), S3ObjectStorageMode: "REFERENCE"}),
		"InvalidParameterValueException", "S3ObjectStorageMode REFERENCE is not supported yet")
	_, err := n.CreateFunction(ctx, in)
	refused("one that is there", err, "ResourceConflictException", "Function already exist: f")
	n.api.Auth = readers{asked: &asked, deny: "s3:GetObject"}
	refused("a caller that may not", create(at("f.zip", "")), "AccessDeniedException",
		"Your access has been denied by S3, please make sure your request credentials have permission to GetObject for code/f.zip. S3 Error Code: AccessDenied. S3 Error Message: User: x is not authorized to perform: s3:GetObject")
}

// pieces is an object that comes a piece at a time, as from an endpoint that does not
// say how long it is.
type pieces []byte

func (p pieces) Get(_ context.Context, _ s3.Object, _ int64, w io.Writer) error {
	for piece := range slices.Chunk(p, 32<<10) {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// A package from S3 takes no memory that grows with it, in whatever way it comes in.
func TestCodeFromS3TakesNoMemory(t *testing.T) {
	n := startReal(t)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.CreateHeader(&zip.FileHeader{Name: "data", Method: zip.Store})
	if err == nil {
		_, err = f.Write(make([]byte, 96<<20))
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	n.api.Objects = pieces(b.Bytes())
	took := func(what string, do func() error) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := do()
		runtime.ReadMemStats(&after)
		if all := after.TotalAlloc - before.TotalAlloc; err != nil || all > 32<<20 {
			t.Errorf("%s: %d bytes were allocated, %v", what, all, err)
		}
	}
	at := &types.FunctionCode{S3Bucket: aws.String("code"), S3Key: aws.String("large.zip")}
	took("a function", func() error {
		_, err := n.CreateFunction(t.Context(), createInput("f", func(in *lambda.CreateFunctionInput) { in.Code = at }))
		return err
	})
	n.ready(t, "f")
	took("the same again", func() error {
		_, err := n.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("f"), S3Bucket: at.S3Bucket, S3Key: at.S3Key})
		return err
	})
	took("a layer", func() error {
		_, err := n.PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: aws.String("l"), Content: &types.LayerVersionContentInput{S3Bucket: at.S3Bucket, S3Key: at.S3Key}})
		return err
	})
}
