package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/stsapi"
)

// TestSignedRequestsComeThrough asks a whole listener who it thinks the SDK is.
func TestSignedRequestsComeThrough(t *testing.T) {
	for _, mode := range []auth.Mode{auth.ModeSigV4, auth.ModeNone} {
		a, err := auth.Open(t.Context(), auth.Config{File: filepath.Join(t.TempDir(), "key"), Mode: mode,
			Place: alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewUnstartedServer(nil)
		srv.Config = NewServer(New(Config{STS: stsapi.New(stsapi.Config{Authenticate: a.Authenticate, Authorize: a.Authorize, Log: slog.New(slog.DiscardHandler)})}), slog.New(slog.DiscardHandler))
		srv.Start()
		defer srv.Close()
		key, _ := a.RootKey()
		ask := func(secret string) error {
			client := sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Credentials: credentials.NewStaticCredentialsProvider(key.ID, secret, "")})
			out, err := client.GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
			if err == nil && *out.Arn != "arn:aws:iam::000000000000:root" {
				t.Errorf("%s: the caller is %s", mode, *out.Arn)
			}
			return err
		}
		if err := ask(key.Secret); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		err = ask("wrong")
		if mode == auth.ModeNone {
			if err != nil {
				t.Errorf("%s: %v", mode, err)
			}
			continue
		}
		if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "SignatureDoesNotMatch" {
			t.Errorf("%s: with another secret: %v", mode, err)
		}
	}
}
