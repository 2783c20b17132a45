package lambdaapi

import (
	"context"
	"io"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/s3"
)

// inS3 says whether the package is an object in S3.
func (c *codeShape) inS3() bool {
	return c.S3Bucket != nil && *c.S3Bucket != "" && c.S3Key != nil && *c.S3Key != ""
}

// fetchCode gets a package from S3 for a caller that may read it there: the node
// asks with credentials of its own, so the caller's policy is asked first, as S3
// would. release has to be called when the package is not needed any more. Whoever reads
// it must have done so by then: not under a context that ends sooner.
func (a *API) fetchCode(ctx context.Context, caller alcove.Caller, c *call, code *codeShape) (zip *artifact.Package, release func(), err error) {
	o := s3.Object{Bucket: *code.S3Bucket, Key: *code.S3Key}
	action := "s3:GetObject"
	if set(&o.Version, code.S3ObjectVersion); o.Version != "" {
		action = "s3:GetObjectVersion"
	}
	if err := o.Check(); err != nil {
		return nil, nil, err
	}
	_, err = a.Auth.Authorize(caller, auth.Operation{Action: action, Resource: o.ARN(a.Place.Partition), Request: c.request, RequestID: c.requestID})
	if e := alcove.AsError(err); err != nil && e.Code == auth.CodeAccessDenied {
		return nil, nil, s3.Denied(o, e.Message)
	} else if err != nil {
		return nil, nil, err
	}
	select {
	case a.fetches <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	zip, err = a.Artifacts.Spool(func(w io.Writer) error { return a.Objects.Get(ctx, o, alcove.MaxUnzipped, w) })
	if err != nil {
		<-a.fetches
		return nil, nil, err
	}
	return zip, func() {
		_ = zip.Close() // it was only read
		<-a.fetches
	}, nil
}
