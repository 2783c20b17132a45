package lambdaapi

import (
	"path"

	"github.com/alcove-run/alcove"
)

// packageType is what the function is to be made of.
func (in *createFunctionInput) packageType() string {
	if in.PackageType != nil && *in.PackageType != "" {
		return *in.PackageType
	}
	return alcove.PackageZip
}

// image is the name of a container image, or empty.
func (c *codeShape) image() string {
	if c.ImageUri == nil {
		return ""
	}
	return *c.ImageUri
}

// checkImage sees that this is a function made of a container image.
func (in *createFunctionInput) checkImage() error {
	if err := in.Code.refuseBesideImage(); err != nil {
		return err
	}
	if arn := in.CodeSigningConfigArn; arn != nil && *arn != "" {
		return alcove.InvalidParameter("Code signing is not available for functions with packageType Image.")
	}
	if in.PublishTo != nil && *in.PublishTo != "" {
		return unsupportedMember("PublishTo")
	}
	return nil
}

// refuseBesideImage sees that there is an image and nothing else.
func (c *codeShape) refuseBesideImage() error {
	given := func(s *string) bool { return s != nil && *s != "" }
	switch {
	case len(c.ZipFile) > 0 || given(c.S3Bucket) || given(c.S3Key) || given(c.S3ObjectVersion) || given(c.S3ObjectStorageMode):
		return alcove.InvalidParameter("Please provide only ImageUri as the code of a function with packageType Image.")
	case c.image() == "":
		return alcove.InvalidParameter("Please provide a source for function code.")
	case given(c.SourceKMSKeyArn):
		return unsupportedMember("SourceKMSKeyArn")
	}
	return nil
}

// applyImage writes ImageConfig to c, and refuses what functions of c's kind do
// not have. An empty ImageConfig takes away what there was.
func (s *settings) applyImage(c *alcove.Config) error {
	var config alcove.ImageConfig
	if s.ImageConfig != nil {
		config = alcove.ImageConfig{EntryPoint: s.ImageConfig.EntryPoint, Command: s.ImageConfig.Command}
		set(&config.WorkingDirectory, s.ImageConfig.WorkingDirectory)
	}
	if c.PackageType != alcove.PackageImage {
		if !config.Empty() {
			return alcove.InvalidParameter("ImageConfig is for functions with packageType Image.")
		}
		return nil
	}
	given := func(s *string) bool { return s != nil && *s != "" }
	if given(s.Runtime) || given(s.Handler) || len(s.Layers) > 0 {
		return alcove.InvalidParameter("Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image.")
	}
	if s.ImageConfig == nil {
		return nil
	}
	if dir := config.WorkingDirectory; dir != "" && !path.IsAbs(dir) {
		return alcove.InvalidParameter("The working directory %s has to be absolute.", dir)
	}
	if err := (alcove.ImageSettings{}).With(&config).Check(); err != nil {
		return alcove.InvalidParameter("The ImageConfig cannot be used: %v.", err)
	}
	c.Image = nil
	if !config.Empty() {
		c.Image = &config
	}
	return nil
}
