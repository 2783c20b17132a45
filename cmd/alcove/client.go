package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/alcove-run/alcove/auth"
)

// clientFlags say which node a command talks to, and as whom.
type clientFlags struct {
	Endpoint string `help:"The node's address." default:"http://127.0.0.1:4566" env:"ALCOVE_ENDPOINT,AWS_ENDPOINT_URL_LAMBDA,AWS_ENDPOINT_URL"`
	Region   string `help:"The node's region." default:"us-east-1" env:"ALCOVE_REGION,AWS_REGION,AWS_DEFAULT_REGION"`
	Data     string `help:"The node's data directory; its root key is used if no key is in the environment." type:"path" env:"ALCOVE_DATA"`
}

// credentials come from the environment, as AWS's tools have them, else from the
// root key in the node's data directory, which only its owner can read. A node
// with --auth none does not look at them.
func (c clientFlags) credentials() (aws.Credentials, error) {
	if id := os.Getenv("AWS_ACCESS_KEY_ID"); id != "" {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken: os.Getenv("AWS_SESSION_TOKEN")}, nil
	}
	key, err := auth.ReadRootKey(filepath.Join(c.dataDir(), rootKeyFile))
	if errors.Is(err, os.ErrPermission) {
		return aws.Credentials{}, fmt.Errorf("%w: only the user who runs the node can read its root key; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", err)
	}
	if errors.Is(err, os.ErrNotExist) {
		return aws.Credentials{AccessKeyID: "none", SecretAccessKey: "none"}, nil
	}
	return aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}, err
}

// dataDir is where the node's root key is looked for.
func (c clientFlags) dataDir() string {
	if c.Data == "" {
		return defaultDataDir()
	}
	return c.Data
}

// lambda is AWS's own client, pointed at the node.
func (c clientFlags) lambda() (*lambda.Client, error) {
	creds, err := c.credentials()
	if err != nil {
		return nil, err
	}
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	return lambda.New(lambda.Options{
		Region:       c.Region,
		BaseEndpoint: &base,
		Credentials:  credentials.NewStaticCredentialsProvider(creds.AccessKeyID, creds.SecretAccessKey, creds.SessionToken),
	}), nil
}

// get asks alcove's own API. The caller closes the body.
func (c clientFlags) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.send(ctx, http.MethodGet, path, nil)
}

// send makes a signed request of alcove's own API. The caller closes the body of
// the answer.
func (c clientFlags) send(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	creds, err := c.credentials()
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(hash[:]), "lambda", c.Region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, c.noNode(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, c.refusal(resp.Status, b)
	}
	return resp.Body, nil
}

// getJSON is get for an answer that is one JSON object.
func (c clientFlags) getJSON(ctx context.Context, path string, query url.Values, into any) error {
	body, err := c.get(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(into)
}

// call sends a request and reads the one JSON object of the answer.
func (c clientFlags) call(ctx context.Context, method, path string, body []byte, into any) error {
	answer, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	return json.NewDecoder(answer).Decode(into)
}
