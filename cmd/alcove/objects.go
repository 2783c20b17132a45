package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/alcove-run/alcove/lambdaapi"
	"github.com/alcove-run/alcove/s3"
)

// objectFlags are the flags of serve about packages that requests only name.
type objectFlags struct {
	S3Endpoint string `name:"s3-endpoint" help:"S3-compatible endpoint that deployment packages may come from, as https://s3.us-east-1.amazonaws.com; none if not given." placeholder:"URL" env:"ALCOVE_S3_ENDPOINT"`
	S3Region   string `name:"s3-region" help:"Region that requests to it are signed for; --region if not given." env:"ALCOVE_S3_REGION"`
	S3Profile  string `name:"s3-profile" help:"Profile of the AWS configuration files that has the credentials for it; without one, the usual places are looked at." placeholder:"NAME" env:"ALCOVE_S3_PROFILE"`
}

// objects is where packages come from that requests only name, or nil. Its
// credentials are looked for when they are needed first: in the environment, in
// AWS's configuration files, and where a machine or a container has its own.
func (c *serveCmd) objects() (lambdaapi.Objects, error) {
	if c.S3Endpoint == "" {
		if c.S3Region != "" || c.S3Profile != "" {
			return nil, fmt.Errorf("--s3-region and --s3-profile are for an endpoint: give --s3-endpoint too")
		}
		return nil, nil
	}
	region := cmp.Or(c.S3Region, c.Region)
	load := []func(*config.LoadOptions) error{config.WithRegion(region)}
	if c.S3Profile != "" {
		load = append(load, config.WithSharedConfigProfile(c.S3Profile))
	}
	cfg, err := config.LoadDefaultConfig(context.Background(), load...)
	switch {
	case err != nil && c.S3Profile != "":
		return nil, fmt.Errorf("--s3-profile %s: %w: name a profile that AWS's configuration files have (~/.aws/config and ~/.aws/credentials, or AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE)", c.S3Profile, err)
	case err != nil:
		return nil, fmt.Errorf("--s3-endpoint: its credentials: %w: mend AWS's configuration files or AWS_PROFILE, or give --s3-profile", err)
	}
	store, err := s3.New(s3.Config{Endpoint: c.S3Endpoint, Region: region, Credentials: cfg.Credentials})
	if err != nil {
		return nil, fmt.Errorf("--s3-endpoint: %w", err)
	}
	return store, nil
}
