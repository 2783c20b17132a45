package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact/flatten"
	"github.com/alcove-run/alcove/internal/hostlist"
)

// textAccess is AWS's, of a registry that it may not pull from.
const textAccess = "Lambda does not have permission to access the ECR image. Check the ECR permissions."

// refusal is what a caller is answered whose image cannot be found.
func (p *Puller) refusal(image string, err error) error {
	var e *alcove.Error
	switch status := statusOf(err); {
	case errors.As(err, &e):
		return e
	case errors.Is(err, errPlatform):
		e = alcove.InvalidParameter("Source image %s has no image for linux/%s. Provide a valid source image.", image, p.cfg.Architecture)
	case errors.Is(err, errUnsupported):
		e = alcove.InvalidParameter("The image manifest, config or layer media type for the source image %s is not supported.", image)
	case status == http.StatusNotFound:
		e = alcove.InvalidParameter("Source image %s does not exist. Provide a valid source image.", image)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		e = alcove.ClientError("AccessDeniedException", textAccess)
	case errors.Is(err, errRedirects):
		e = alcove.InvalidParameter("Source image %s is not valid: its registry redirects without end.", image)
	case elsewhere(err):
		e = alcove.InvalidParameter("Source image %s is not valid: its registry leads to where this node does not fetch from. "+
			"Its operator can add that to --registries.", image)
	default:
		e = alcove.PlatformError(err)
		e.Message = fmt.Sprintf("The registry of the source image %s could not be reached. Try again later.", image)
		return e
	}
	e.Err = err
	return e
}

// notReady is why an image that was found could not be pulled.
func (p *Puller) notReady(code alcove.Code, err error) error {
	out := &alcove.NotReady{Err: err}
	var bad *flatten.InvalidError
	var e *alcove.Error
	switch status := statusOf(err); {
	case errors.As(err, &bad):
		out.Code, out.Reason = alcove.NotReadyImage, fmt.Sprintf("The image %s is invalid: %s.", code.Image, bad.Reason)
	case errors.Is(err, errUnsupported):
		out.Code = alcove.NotReadyImage
		out.Reason = fmt.Sprintf("The image manifest, config or layer media type for the source image %s is not supported.", code.Image)
	case status == http.StatusNotFound:
		out.Code, out.Reason = alcove.NotReadyImageDeleted, fmt.Sprintf("The image %s does not exist any more.", code.Image)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		out.Code, out.Reason = alcove.NotReadyImageAccess, textAccess
	case errors.As(err, &e) && e.Fault == alcove.FaultClient: // the registry is not listed any more
		out.Code, out.Reason = alcove.NotReadyImageAccess, e.Message
	case errors.Is(err, errRedirects):
		out.Code, out.Reason = alcove.NotReadyImageAccess, fmt.Sprintf("The registry of the image %s redirects without end.", code.Image)
	case elsewhere(err):
		out.Code = alcove.NotReadyImageAccess
		out.Reason = fmt.Sprintf("The registry of the image %s leads to where this node does not fetch from.", code.Image)
	default:
		return err
	}
	return out
}

// statusOf is the registry's answer that an error is about, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

// elsewhere tells whether a registry leads to where this node does not fetch from:
// by a redirect, or by the place that it names for tokens, which the library
// refuses in words alone.
func elsewhere(err error) bool {
	return errors.Is(err, hostlist.ErrRefused) || err != nil && strings.Contains(err.Error(), "invalid realm in www-authenticate")
}

// remoteFault tells whether an error is of a request rather than of its answer.
func remoteFault(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || statusOf(err) != 0 || elsewhere(err) || errors.Is(err, errRedirects) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
