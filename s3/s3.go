// Package s3 gets deployment packages from the one S3-compatible endpoint that an
// operator has named, with the operator's credentials. It asks nobody whether a
// caller may: that is decided before.
//
// It speaks to that endpoint alone and follows no redirect. What the endpoint
// says is an error's text for a caller, in Lambda's words; what is wrong between
// the node and the endpoint is for the operator's log.
package s3

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/hostlist"
)

// Object names an object, or a version of one.
type Object struct{ Bucket, Key, Version string }

// ARN is the object's, for policies.
func (o Object) ARN(partition string) string {
	return "arn:" + partition + ":s3:::" + o.Bucket + "/" + o.Key
}

// Check refuses names that could mean another object to what stands before an
// endpoint: a path with dots is one thing to a policy and may be another there.
func (o Object) Check() error {
	for part := range strings.SplitSeq(o.Key, "/") {
		if part == "." || part == ".." {
			return alcove.InvalidParameter("The S3Key %s cannot be used: a part of it is '.' or '..'.", o.Key)
		}
	}
	if strings.ContainsFunc(o.Key, unicode.IsControl) {
		return alcove.InvalidParameter("The S3Key cannot be used: it has control characters.")
	}
	return nil
}

// Config is what a [Store] is made from.
type Config struct {
	// Endpoint is "https://HOST[:PORT]", or with http where there is no TLS.
	Endpoint    string
	Region      string // that requests are signed for
	Credentials aws.CredentialsProvider
}

// Store is an endpoint. It is safe for concurrent use.
type Store struct {
	endpoint url.URL
	region   string
	creds    aws.CredentialsProvider
	http     http.Client
	signer   *v4.Signer
}

// New makes a Store. It connects to nothing.
func New(c Config) (*Store, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no endpoint: give its scheme and host, as https://s3.us-east-1.amazonaws.com or http://10.0.0.5:9000", c.Endpoint)
	}
	item := u.Host
	if u.Scheme == "http" {
		item = "http://" + u.Host
	}
	hosts, err := hostlist.Parse([]string{item})
	if err != nil {
		return nil, err
	}
	return &Store{
		endpoint: url.URL{Scheme: u.Scheme, Host: u.Host}, region: c.Region, creds: c.Credentials,
		http: http.Client{Transport: hosts.Transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		// S3 signs paths as they are sent.
		signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
	}, nil
}

// emptyHash is the SHA-256 of nothing, which a GET has for a body.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Get writes an object of less than limit bytes to w, as it comes; of a larger one it
// writes no more than that. Its errors are *[alcove.Error], or w's.
func (s *Store) Get(ctx context.Context, o Object, limit int64, w io.Writer) error {
	if err := o.Check(); err != nil {
		return err
	}
	r, err := s.request(ctx, o)
	if err != nil {
		return alcove.PlatformError(fmt.Errorf("s3: %w", err))
	}
	res, err := s.http.Do(r)
	if err != nil {
		return alcove.PlatformError(fmt.Errorf("s3: %w", err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return s.refused(o, res)
	}
	if res.ContentLength >= limit {
		return tooLarge(limit)
	}
	body := &source{r: res.Body}
	n, err := io.Copy(w, io.LimitReader(body, limit))
	switch {
	case body.err != nil:
		return alcove.PlatformError(fmt.Errorf("s3: %s broke off: %w", o, body.err))
	case err != nil:
		return err
	case n >= limit:
		return tooLarge(limit)
	}
	return nil
}

// source remembers its error, which is not that of what it is copied to.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// String is the object for logs.
func (o Object) String() string { return fmt.Sprintf("%q", o.Bucket+"/"+o.Key) }

func tooLarge(limit int64) error {
	return alcove.InvalidParameter("Unzipped size must be smaller than %d bytes", limit)
}

// request makes the signed request for an object.
func (s *Store) request(ctx context.Context, o Object) (*http.Request, error) {
	u := s.endpoint
	u.Path = "/" + o.Bucket + "/" + o.Key
	u.RawPath = httpbinding.EscapePath(u.Path, false)
	if o.Version != "" {
		u.RawQuery = url.Values{"versionId": {o.Version}}.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	// Else a transport asks for gzip, and undoes it: the bytes are the package's.
	r.Header.Set("Accept-Encoding", "identity")
	r.Header.Set("X-Amz-Content-Sha256", emptyHash)
	creds, err := s.creds.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("no credentials for --s3-endpoint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the node, or --s3-profile: %w", err)
	}
	return r, s.signer.SignHTTP(ctx, creds, r, emptyHash, "s3", s.region, time.Now())
}

// problem is S3's account of an error.
type problem struct {
	XMLName  xml.Name `xml:"Error"`
	Code     string
	Message  string
	Region   string
	Endpoint string
}

const (
	maxProblem = 64 << 10 // bytes of an error's document
	maxText    = 1 << 10  // and of a text of it that goes on
)

// texts are S3's own, for endpoints that say less.
var texts = map[string]string{
	"AccessDenied": "Access Denied",
	"NoSuchBucket": "The specified bucket does not exist",
	"NoSuchKey":    "The specified key does not exist.",
}

// refused is the error for an answer that is no object.
func (s *Store) refused(o Object, res *http.Response) error {
	var p problem
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err == nil {
		err = xml.Unmarshal(raw, &p)
	}
	if err != nil || p.Code == "" {
		p = problem{Code: strings.ReplaceAll(http.StatusText(res.StatusCode), " ", ""), Message: http.StatusText(res.StatusCode)}
	}
	p.Code, p.Message = clean(p.Code), clean(cmp.Or(p.Message, texts[p.Code], http.StatusText(res.StatusCode)))
	why := fmt.Errorf("s3: %s: %s: %s %s", o, res.Status, p.Code, p.Message)
	region := res.Header.Get("X-Amz-Bucket-Region")
	if region == "" {
		region = p.Region
	}
	switch {
	case res.StatusCode >= 500:
		return alcove.PlatformError(why)
	case res.StatusCode < 400, region != "" && region != s.region:
		p.Code = "PermanentRedirect"
		p.Message = "The bucket must be addressed using another endpoint."
		if region != "" {
			p.Message = "The bucket is in this region: " + clean(region) + ". Please use this region to retry the request"
		}
	case res.StatusCode == http.StatusForbidden:
		return denied(o, p.Code, p.Message, why)
	}
	return &alcove.Error{Fault: alcove.FaultClient, Code: alcove.CodeInvalidParameterValue, Err: why,
		Message: "Error occurred while GetObject. S3 Error Code: " + p.Code + ". S3 Error Message: " + p.Message}
}

// Denied is the error for a caller that may not read an object, in the words that
// Lambda has for it.
func Denied(o Object, message string) error {
	return denied(o, "AccessDenied", message, errors.New("s3: denied by the caller's policy"))
}

func denied(o Object, code, message string, why error) error {
	return &alcove.Error{Fault: alcove.FaultClient, Code: "AccessDeniedException", Err: why,
		Message: "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for " +
			o.Bucket + "/" + o.Key + ". S3 Error Code: " + code + ". S3 Error Message: " + message}
}

// clean bounds a text of the endpoint's, and takes what is no text out of it.
func clean(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxText)], "")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
