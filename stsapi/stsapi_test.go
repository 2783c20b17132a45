package stsapi

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// fakeAuth answers with one caller, or one error.
type fakeAuth struct {
	err  error
	body string
}

func (f *fakeAuth) Authenticate(_ *http.Request, body []byte) (alcove.Caller, error) {
	f.body = string(body)
	if f.err != nil {
		return alcove.Caller{}, f.err
	}
	return alcove.Caller{AccessKeyID: "AKIA", Account: "000000000000", ARN: "arn:aws:iam::000000000000:root", UserID: "000000000000"}, nil
}

func (f *fakeAuth) Authorize(caller alcove.Caller, o auth.Operation) (*auth.Scope, error) {
	if caller.AccessKeyID != "AKIA" || o.Action != "sts:GetCallerIdentity" || !o.Free || o.RequestID == "" {
		return nil, errors.New("not what is to be recorded")
	}
	return nil, nil
}

func start(t *testing.T) (*fakeAuth, *bytes.Buffer, *httptest.Server, *sts.Client) {
	t.Helper()
	fake, log := &fakeAuth{}, &bytes.Buffer{}
	srv := httptest.NewServer(New(Config{Authenticate: fake.Authenticate, Authorize: fake.Authorize, Log: slog.New(slog.NewTextHandler(log, nil))}))
	t.Cleanup(srv.Close)
	return fake, log, srv, sts.New(sts.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", "")})
}

func TestGetCallerIdentity(t *testing.T) {
	auth, _, _, client := start(t)
	out, err := client.GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Account != "000000000000" || *out.Arn != "arn:aws:iam::000000000000:root" || *out.UserId != "000000000000" {
		t.Errorf("answered %s %s %s", *out.Account, *out.Arn, *out.UserId)
	}
	if auth.body != "Action=GetCallerIdentity&Version=2011-06-15" {
		t.Errorf("authenticated %q", auth.body)
	}
}

func TestErrorsAsTheSDKSeesThem(t *testing.T) {
	auth, log, _, client := start(t)
	for _, c := range []struct{ code, want string }{
		{"MissingAuthenticationTokenException", "MissingAuthenticationToken"},
		{"UnrecognizedClientException", "InvalidClientTokenId"},
		{"InvalidSignatureException", "SignatureDoesNotMatch"},
		{"IncompleteSignatureException", "IncompleteSignature"},
		{"AccessDeniedException", "AccessDenied"},
	} {
		auth.err = alcove.ClientError(c.code, "why & <how>")
		_, err := client.GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
		api, ok := errors.AsType[smithy.APIError](err)
		if !ok || api.ErrorCode() != c.want || api.ErrorMessage() != "why & <how>" {
			t.Errorf("%s: %v", c.code, err)
		}
	}
	auth.err = errors.New("the secret detail")
	_, err := client.GetCallerIdentity(context.Background(), &sts.GetCallerIdentityInput{})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "InternalFailure" || strings.Contains(err.Error(), "secret") {
		t.Errorf("platform: %v", err)
	}
	if !strings.Contains(log.String(), "the secret detail") {
		t.Errorf("the log is %q", log)
	}
	auth.err = nil
	_, err = client.GetSessionToken(context.Background(), &sts.GetSessionTokenInput{})
	if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != "InvalidAction" || !strings.Contains(api.ErrorMessage(), "GetSessionToken") {
		t.Errorf("another operation: %v", err)
	}
}

func TestRefuses(t *testing.T) {
	_, _, srv, _ := start(t)
	for _, c := range []struct {
		method, kind, body string
		status             int
		code               string
	}{
		{"POST", "application/x-www-form-urlencoded", "", 400, "MissingAction"},
		{"POST", "application/x-www-form-urlencoded", "Action=GetCallerIdentity", 400, "InvalidAction"},
		{"POST", "application/x-www-form-urlencoded", "Action=%zz", 400, "MalformedQueryString"},
		{"POST", "application/x-www-form-urlencoded", "Action=GetCallerIdentity&Version=2011-06-15&x=" + strings.Repeat("y", maxBody), 413, "RequestEntityTooLarge"},
		{"POST", "application/json", "{}", 400, "MalformedQueryString"},
		{"GET", "application/x-www-form-urlencoded", "", 400, "MalformedQueryString"},
	} {
		r, err := http.NewRequest(c.method, srv.URL, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.kind)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(text), "<Code>"+c.code+"</Code>") || len(resp.Header.Get("X-Amzn-Requestid")) != 36 {
			t.Errorf("%s %.40q: %d %s", c.kind, c.body, resp.StatusCode, text)
		}
	}
}

// FuzzRequest sends any form. The answer is XML and nobody's fault but the
// client's.
func FuzzRequest(f *testing.F) {
	f.Add("application/x-www-form-urlencoded; charset=utf-8", "Action=GetCallerIdentity&Version=2011-06-15")
	f.Add("application/x-www-form-urlencoded", "Action=\x00\xff<>&Version=]]>")
	api := New(Config{Authenticate: (&fakeAuth{}).Authenticate, Authorize: (&fakeAuth{}).Authorize, Log: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		var any struct{}
		if err := xml.Unmarshal(w.Body.Bytes(), &any); w.Code >= 500 || err != nil {
			t.Fatalf("%d %v %s", w.Code, err, w.Body)
		}
	})
}
