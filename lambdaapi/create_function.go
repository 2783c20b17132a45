package lambdaapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/catalog"
)

type createFunctionInput struct {
	settings
	FunctionName         *string    `is:"FunctionName,required"`
	Code                 *codeShape `is:",required"`
	Publish              *bool
	PublishTo            *string
	PackageType          *string  `is:"PackageType"`
	Architectures        []string `is:"ArchitecturesList"`
	Tags                 map[string]string
	TenancyConfig        *tenancyShape
	CodeSigningConfigArn *string
}

// codeShape says where a deployment package is; ZipFile is it.
type codeShape struct {
	ZipFile             blob
	S3Bucket            *string `is:"S3Bucket"`
	S3Key               *string `is:"S3Key"`
	S3ObjectVersion     *string `is:"S3ObjectVersion"`
	S3ObjectStorageMode *string `is:"S3ObjectStorageMode"`
	ImageUri            *string
	SourceKMSKeyArn     *string
}

func createFunction(a *API, ctx context.Context, caller alcove.Caller, c *call, in *createFunctionInput) (reply, error) {
	name, err := in.refuse(a)
	if err != nil {
		return reply{}, err
	}
	architecture, err := a.checkArchitecture(in.Architectures)
	if err != nil {
		return reply{}, err
	}
	config := alcove.Config{
		Timeout: alcove.DefaultTimeout, MemorySize: alcove.DefaultMemorySize, Ephemeral: alcove.DefaultEphemeral,
		Architecture: architecture, PackageType: in.packageType(), Tracing: "PassThrough",
		Logging: alcove.Logging{Format: "Text", Group: "/aws/lambda/" + name},
	}
	apply, err := in.applyTo(a)
	if err != nil {
		return reply{}, err
	}
	if err := apply(&config); err != nil {
		return reply{}, err
	}
	if err := checkVariables(config.Environment); err != nil {
		return reply{}, err
	}
	if in.TenancyConfig != nil {
		config.Tenancy = *in.TenancyConfig.TenantIsolationMode
	}
	zip := artifact.Sent(in.Code.ZipFile)
	// One that is there already is refused, whatever its package is.
	if _, err := a.Catalog.Function(name); err != nil && in.Code.inS3() {
		var release func()
		if zip, release, err = a.fetchCode(ctx, caller, c, in.Code); err != nil {
			return reply{}, err
		}
		defer release()
		ctx = context.WithoutCancel(ctx)
	}
	create := catalog.CreateInput{Name: name, Config: config, Zip: zip, Image: in.Code.image(), Tags: in.Tags, Publish: in.Publish != nil && *in.Publish}
	if arn := in.CodeSigningConfigArn; arn != nil && *arn != "" {
		create.Signing = a.signingID(*arn)
	}
	v, err := a.Catalog.Create(ctx, caller, create)
	if err != nil {
		return reply{}, err
	}
	// The ARN is the function's own even if a version was published (recorded
	// from the service).
	return reply{status: http.StatusCreated, body: a.configuration(v, v.ARN)}, nil
}

// check is the part of the table that tags cannot say: a function is created
// with a role, and updated without.
func (in *createFunctionInput) check(f *failures) {
	if in.Role == nil {
		f.null("role")
	}
	in.checkEnvironment(f)
	checkTags(f, in.Tags)
	if arn := in.CodeSigningConfigArn; arn != nil && *arn != "" {
		is := constraints["CodeSigningConfigArn"]
		is.text(f, "codeSigningConfigArn", *arn)
	}
}

// refuse gives the error for what this program or AWS does not take; without one
// it gives the bare name.
func (in *createFunctionInput) refuse(a *API) (string, error) {
	name, err := newName(a, *in.FunctionName)
	if err != nil {
		return "", err
	}
	check := in.checkZip
	if in.packageType() == alcove.PackageImage {
		check = func(*API) error { return in.checkImage() }
	}
	if err := check(a); err != nil {
		return "", err
	}
	if err := in.unsupported(); err != nil {
		return "", err
	}
	if err := in.checkDeadLetters(a); err != nil {
		return "", err
	}
	if len(in.Tags) > alcove.MaxTags {
		return "", alcove.InvalidParameter("Number of tags exceeds resource tag limit.")
	}
	if in.packageType() == alcove.PackageZip {
		_, err = a.Runtimes.Resolve(*in.Runtime)
	}
	return name, err
}

// checkZip sees that this is a function made of a zip file.
func (in *createFunctionInput) checkZip(a *API) error {
	if in.Code.image() != "" {
		return alcove.InvalidParameter("Please don't provide ImageUri when creating a function with packageType Zip.")
	}
	if err := in.Code.refuse(a); err != nil {
		return err
	}
	if in.Runtime == nil || in.Handler == nil {
		return alcove.InvalidParameter("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	if in.PublishTo != nil && *in.PublishTo != "" {
		return unsupportedMember("PublishTo")
	}
	return nil
}

// refuse sees that there is a zip file, or where one is, and nothing else.
func (c *codeShape) refuse(a *API) error {
	given := func(texts ...*string) bool {
		for _, text := range texts {
			if text != nil && *text != "" {
				return true
			}
		}
		return false
	}
	elsewhere := given(c.S3Bucket, c.S3Key, c.S3ObjectVersion)
	switch {
	case len(c.ZipFile) > 0 && elsewhere:
		return alcove.InvalidParameter("Please do not provide other FunctionCode parameters when providing a ZipFile.")
	case elsewhere && a.Objects == nil:
		return alcove.InvalidParameter("Deployment packages in Amazon S3 are not enabled on this node. Send the package as ZipFile, " +
			"or have the node's operator name an S3-compatible endpoint with --s3-endpoint.")
	case !c.inS3() && len(c.ZipFile) == 0:
		return alcove.InvalidParameter("Please provide a source for function code.")
	case len(c.ZipFile) > alcove.MaxZipped:
		return alcove.ClientError(alcove.CodeRequestEntityTooLarge, "Zipped size must be smaller than %d bytes", alcove.MaxZipped)
	case given(c.SourceKMSKeyArn):
		return unsupportedMember("SourceKMSKeyArn")
	case c.S3ObjectStorageMode != nil && *c.S3ObjectStorageMode != "COPY":
		return alcove.InvalidParameter("S3ObjectStorageMode %s is not supported yet: packages are copied.", *c.S3ObjectStorageMode)
	}
	return nil
}

// newName reads the name of a function to be made, which may be an ARN of this
// place.
func newName(a *API, s string) (string, error) {
	if !strings.Contains(s, ":") && len(s) > alcove.MaxNameLength {
		var f failures
		(&constraint{max: alcove.MaxNameLength}).text(&f, "functionName", s)
		return "", alcove.InvalidParameter("%s", alcove.AsError(f.err()).Message)
	}
	return a.functionOnly(s, false)
}
