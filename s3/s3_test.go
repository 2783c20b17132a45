package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/s3"
)

const (
	key, secret = "AKIAS3TEST", "the secret"
	limit       = 1 << 20
)

// store is a Store of a handler, which sees requests that are signed as they
// should be.
func store(t testing.TB, h http.Handler) *s3.Store {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signed(t, r)
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return at(t, srv.URL)
}

func at(t testing.TB, endpoint string) *s3.Store {
	t.Helper()
	s, err := s3.New(s3.Config{Endpoint: endpoint, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(key, secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// get reads an object.
func get(t testing.TB, s *s3.Store, o s3.Object) ([]byte, error) {
	var b bytes.Buffer
	err := s.Get(t.Context(), o, limit, &b)
	return b.Bytes(), err
}

// signed makes the request's signature anew from what arrived, and compares.
func signed(t testing.TB, r *http.Request) {
	t.Helper()
	when, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Errorf("date: %v", err)
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.RequestURI, nil)
	if err != nil {
		t.Error(err)
		return
	}
	for _, name := range []string{"Accept-Encoding", "X-Amz-Content-Sha256"} {
		again.Header.Set(name, r.Header.Get(name))
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(context.Background(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, again, r.Header.Get("X-Amz-Content-Sha256"), "s3", "us-east-1", when); err != nil {
		t.Error(err)
	}
	if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want {
		t.Errorf("%s is signed %s\nwant %s", r.RequestURI, got, want)
	}
}

// TestGet reads from a server that was made to be like S3, with names that need
// escapes, and versions.
func TestGet(t *testing.T) {
	backend := s3mem.New()
	s := store(t, gofakes3.New(backend, gofakes3.WithAutoBucket(false)).Server())
	if err := backend.CreateBucket("code"); err != nil {
		t.Fatal(err)
	}
	if err := backend.SetVersioningConfiguration("code", gofakes3.VersioningConfiguration{Status: gofakes3.VersioningEnabled}); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) string {
		t.Helper()
		res, err := backend.PutObject("code", name, map[string]string{}, strings.NewReader(text), int64(len(text)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(res.VersionID)
	}
	for _, name := range []string{"f.zip", "a/b c+d&e=f/é.zip", "100%/x?y#z.zip", "a//b"} {
		put(name, "zip of "+name)
		got, err := get(t, s, s3.Object{Bucket: "code", Key: name})
		if err != nil || string(got) != "zip of "+name {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	first, second := put("v.zip", "one"), put("v.zip", "two")
	for version, want := range map[string]string{"": "two", first: "one", second: "two"} {
		got, err := get(t, s, s3.Object{Bucket: "code", Key: "v.zip", Version: version})
		if err != nil || string(got) != want {
			t.Errorf("version %q: %q, %v", version, got, err)
		}
	}
	for _, c := range []struct{ bucket, key, text string }{
		{"code", "nope", "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."},
		{"nope", "f.zip", "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist"},
	} {
		_, err := get(t, s, s3.Object{Bucket: c.bucket, Key: c.key})
		if e := alcove.AsError(err); e.Code != alcove.CodeInvalidParameterValue || e.Message != c.text {
			t.Errorf("%s/%s: %v", c.bucket, c.key, err)
		}
	}
}

// TestRefusals: what endpoints answer, in Lambda's words.
func TestRefusals(t *testing.T) {
	const denied = "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for b/k. "
	document := func(code, message, more string) string {
		return `<?xml version="1.0"?><Error><Code>` + code + `</Code><Message>` + message + `</Message>` + more + `</Error>`
	}
	for _, c := range []struct {
		name       string
		status     int
		header     string
		body       string
		code, text string
	}{
		{"denied", 403, "", document("AccessDenied", "Access Denied", ""), "AccessDeniedException", denied + "S3 Error Code: AccessDenied. S3 Error Message: Access Denied"},
		{"wrong key", 403, "", document("InvalidAccessKeyId", "none", ""), "AccessDeniedException", denied + "S3 Error Code: InvalidAccessKeyId. S3 Error Message: none"},
		{"another region", 301, "eu-west-1", document("PermanentRedirect", "use it", ""), alcove.CodeInvalidParameterValue,
			"Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: The bucket is in this region: eu-west-1. Please use this region to retry the request"},
		{"another region, as a mistake", 400, "", document("AuthorizationHeaderMalformed", "wrong", "<Region>eu-west-1</Region>"), alcove.CodeInvalidParameterValue,
			"Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: The bucket is in this region: eu-west-1. Please use this region to retry the request"},
		{"elsewhere", 307, "", "", alcove.CodeInvalidParameterValue, "Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: The bucket must be addressed using another endpoint."},
		{"no such version", 404, "", document("NoSuchVersion", "The specified version does not exist.", ""), alcove.CodeInvalidParameterValue,
			"Error occurred while GetObject. S3 Error Code: NoSuchVersion. S3 Error Message: The specified version does not exist."},
		{"no document", 404, "", "<html>", alcove.CodeInvalidParameterValue, "Error occurred while GetObject. S3 Error Code: NotFound. S3 Error Message: Not Found"},
		{"lines", 404, "", document("A\nB", "c\x7f", ""), alcove.CodeInvalidParameterValue, "Error occurred while GetObject. S3 Error Code: A B. S3 Error Message: c "},
		{"broken", 503, "", document("SlowDown", "secret", ""), alcove.CodeService, "An error occurred and the request cannot be processed."},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := store(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.header != "" {
					w.Header().Set("X-Amz-Bucket-Region", c.header)
				}
				w.Header().Set("Location", "http://169.254.169.254/latest/meta-data/")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			_, err := get(t, s, s3.Object{Bucket: "b", Key: "k"})
			if e := alcove.AsError(err); e.Code != c.code || e.Message != c.text {
				t.Errorf("%s: %s", e.Code, e.Message)
			}
		})
	}
}

// TestBytesAreCounted: an object is as large as it turns out to be.
func TestBytesAreCounted(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		lie  string // of the length
		ok   bool
	}{
		{"below", limit - 1, "", true}, {"at", limit, "", false}, {"announced", limit + 1, "yes", false}, {"endless", 64 << 20, "", false},
	} {
		sent := 0
		s := store(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.lie != "" {
				w.Header().Set("Content-Length", fmt.Sprint(c.size))
			}
			piece := bytes.Repeat([]byte("x"), 1<<10)
			for sent < c.size {
				n, err := w.Write(piece[:min(len(piece), c.size-sent)])
				if sent += n; err != nil {
					return
				}
			}
		}))
		got, err := get(t, s, s3.Object{Bucket: "b", Key: "k"})
		if (err == nil) != c.ok || c.ok && len(got) != c.size {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
		if err != nil && alcove.AsError(err).Code != alcove.CodeInvalidParameterValue {
			t.Errorf("%s: %v", c.name, err)
		}
		if sent > limit+32<<20 {
			t.Errorf("%s: %d bytes were sent", c.name, sent)
		}
	}
}

// told tells what it gets.
type told chan string

func (w told) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// TestAsItComes: nothing of an object is held back, whose size nobody has said.
func TestAsItComes(t *testing.T) {
	got, ended := make(told), make(chan error, 1)
	s := store(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, piece := range []string{"one", "two"} {
			_, _ = io.WriteString(w, piece)
			w.(http.Flusher).Flush()
			select {
			case is := <-got:
				if is != piece {
					t.Errorf("%q came, not %q", is, piece)
				}
			case <-r.Context().Done():
			}
		}
	}))
	go func() { ended <- s.Get(t.Context(), s3.Object{Bucket: "b", Key: "k"}, limit, got) }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestNoPlaceForIt: an error of where it is written is not the endpoint's.
func TestNoPlaceForIt(t *testing.T) {
	s := store(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }))
	if err := s.Get(t.Context(), s3.Object{Bucket: "b", Key: "k"}, limit, full{}); err != io.ErrShortWrite {
		t.Errorf("%v", err)
	}
}

// TestBrokenOff: half an object is none.
func TestBrokenOff(t *testing.T) {
	s := store(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	}))
	if got, err := get(t, s, s3.Object{Bucket: "b", Key: "k"}); err == nil || alcove.AsError(err).Code != alcove.CodeService {
		t.Errorf("%q, %v", got, err)
	}
}

func TestKeysThatMeanAnother(t *testing.T) {
	s := store(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked for") }))
	for _, k := range []string{"..", "a/../b", "./a", "a/.", "a\nb"} {
		if _, err := get(t, s, s3.Object{Bucket: "b", Key: k}); alcove.AsError(err).Code != alcove.CodeInvalidParameterValue {
			t.Errorf("%q: %v", k, err)
		}
	}
}

type noCredentials struct{}

func (noCredentials) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, errors.New("none found")
}

func TestWithoutCredentials(t *testing.T) {
	s, err := s3.New(s3.Config{Endpoint: "http://127.0.0.1:1", Region: "us-east-1", Credentials: noCredentials{}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(t, s, s3.Object{Bucket: "b", Key: "k"})
	if e := alcove.AsError(err); e.Fault != alcove.FaultPlatform || !strings.Contains(err.Error(), "--s3-profile") || strings.Contains(e.Message, "credentials") {
		t.Errorf("%v", err)
	}
}

func TestEndpoints(t *testing.T) {
	for _, bad := range []string{"", "s3.example.com", "ftp://x", "http://", "https://a/b", "https://a?x", "https://u:p@a", "https://a b"} {
		if _, err := s3.New(s3.Config{Endpoint: bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"https://s3.us-east-1.amazonaws.com", "http://10.0.0.5:9000", "http://localhost:9000/"} {
		if _, err := s3.New(s3.Config{Endpoint: good}); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

// FuzzProblem: whatever an endpoint says is a text for a caller.
func FuzzProblem(f *testing.F) {
	f.Add(404, "<Error><Code>NoSuchKey</Code><Message>x</Message></Error>", "eu-west-1")
	f.Add(301, "", "")
	f.Add(403, "<Error><Code>\xff</Code>", "\x01")
	f.Fuzz(func(t *testing.T, status int, body, region string) {
		if status < 300 || status > 599 {
			return
		}
		err := s3.Refused(&http.Response{StatusCode: status, Header: http.Header{"X-Amz-Bucket-Region": {region}}, Body: io.NopCloser(strings.NewReader(body))})
		e := alcove.AsError(err)
		if len(e.Message) > 4<<10 || strings.ContainsAny(e.Message, "\r\n\x00\x1b") {
			t.Fatalf("%q", e.Message)
		}
	})
}
