package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/alcove-run/alcove"
)

var place = alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, mode Mode) *Auth {
	t.Helper()
	a, err := Open(context.Background(), Config{File: filepath.Join(t.TempDir(), "root-key.json"), Mode: mode, Place: place,
		Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signing is how a test request is signed.
type signing struct {
	key     Key
	service string
	region  string
	at      time.Time
	token   string
	hash    string // payload hash instead of the body's
	header  bool   // send X-Amz-Content-Sha256
}

func (a *Auth) signing() signing {
	return signing{key: a.root, service: "lambda", region: "us-east-1", at: noon}
}

func sign(t testing.TB, r *http.Request, body string, s signing) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	hash := hex.EncodeToString(sum[:])
	if s.hash != "" {
		hash = s.hash
	}
	if s.header || s.hash != "" {
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	err := v4.NewSigner().SignHTTP(context.Background(),
		aws.Credentials{AccessKeyID: s.key.ID, SecretAccessKey: s.key.Secret, SessionToken: s.token},
		r, hash, s.service, s.region, s.at)
	if err != nil {
		t.Fatal(err)
	}
}

// answer is what Authenticate said about a request that went over a real
// connection.
type answer struct {
	caller   alcove.Caller
	err      error
	precheck error
}

// wire starts a server that authenticates what it gets and gives a function that
// sends a request to it.
func wire(t testing.TB, a *Auth) (base string, send func(*http.Request) answer) {
	t.Helper()
	var mu sync.Mutex
	var last answer
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pre := a.Precheck(r)
		body, _ := io.ReadAll(r.Body)
		caller, err := a.Authenticate(r, body)
		mu.Lock()
		defer mu.Unlock()
		last = answer{caller, err, pre}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func(r *http.Request) answer {
		t.Helper()
		mu.Lock()
		last = answer{err: errors.New("not reached")}
		mu.Unlock()
		resp, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

func request(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return alcove.AsError(err).Code
}

func TestAuthenticateAcceptsWhatTheSDKSigns(t *testing.T) {
	a := open(t, ModeSigV4)
	base, send := wire(t, a)
	cases := []struct {
		name, method, path, body string
		header                   map[string][]string
	}{
		{name: "plain", method: "GET", path: "/2015-03-31/functions"},
		{name: "root", method: "POST", path: "/", body: "Action=GetCallerIdentity&Version=2011-06-15"},
		{name: "no path", method: "POST", path: ""},
		{name: "body", method: "POST", path: "/2015-03-31/functions/f/invocations", body: `{"a":1}`},
		{name: "encoded arn", method: "GET", path: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af"},
		{name: "plain arn", method: "GET", path: "/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f"},
		{name: "encoded percent", method: "GET", path: "/2015-03-31/functions/a%25b%20c"},
		{name: "encoded slash", method: "GET", path: "/2017-03-31/tags/a%2Fb"},
		{name: "unusual letters", method: "GET", path: "/2015-03-31/functions/$LATEST!'()*;,=@&+~"},
		{name: "umlaut", method: "GET", path: "/2015-03-31/functions/%C3%A9"},
		{name: "double slash", method: "GET", path: "/2015-03-31//functions/"},
		{name: "lower-case escapes", method: "GET", path: "/2015-03-31/functions/arn%3aaws"},
		{name: "query", method: "GET", path: "/2015-03-31/functions?MaxItems=10&FunctionVersion=ALL&Marker=a%2Fb%3D%3D"},
		{name: "query without value", method: "GET", path: "/2018-10-31/layers?find=LayerVersion&x"},
		{name: "repeated query", method: "DELETE", path: "/2017-03-31/tags/x?tagKeys=a%2Fb&tagKeys=a-b&tagKeys=a%20b&tagKeys=a.b"},
		{name: "query with space", method: "DELETE", path: "/2017-03-31/tags/x?tagKeys=a+b&tagKeys=%C3%A9"},
		{name: "prefix names", method: "GET", path: "/x?a=1&ab=2&a-b=3&a%2Fb=4"},
		{name: "tenant", method: "POST", path: "/2015-03-31/functions/f/invocations", body: "{}",
			header: map[string][]string{"X-Amz-Tenant-Id": {"blue tenant/7"}, "X-Amz-Log-Type": {"Tail"}}},
		{name: "both spellings", method: "POST", path: "/x", header: map[string][]string{"X-Amz-Tenant-Id": {"a"}, "X-Amzn-Tenant-Id": {"a"}}},
		{name: "folded header", method: "POST", path: "/x", header: map[string][]string{"X-Amz-Meta": {"a   b     c"}}},
		{name: "repeated header", method: "POST", path: "/x", header: map[string][]string{"X-Amz-Meta": {"b", "a"}}},
		{name: "empty header", method: "POST", path: "/x", header: map[string][]string{"X-Amz-Client-Context": {""}}},
		{name: "unsigned ones", method: "POST", path: "/x", header: map[string][]string{"User-Agent": {"x"}, "X-Amzn-Trace-Id": {"Root=1"}}},
	}
	for _, c := range cases {
		for _, hashed := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				r := request(t, c.method, base+c.path, c.body)
				for k, v := range c.header {
					r.Header[k] = v
				}
				s := a.signing()
				s.header = hashed
				sign(t, r, c.body, s)
				got := send(r)
				if got.err != nil || got.precheck != nil {
					t.Fatalf("refused: %v (precheck %v)", got.err, got.precheck)
				}
				want := alcove.Caller{AccessKeyID: a.root.ID, Account: "000000000000", ARN: "arn:aws:iam::000000000000:root", UserID: "000000000000",
					Source: netip.MustParseAddr("127.0.0.1")}
				if got.caller != want {
					t.Errorf("caller %+v, want %+v", got.caller, want)
				}
			})
		}
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	a := open(t, ModeSigV4)
	base, send := wire(t, a)
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	cases := []struct {
		name     string
		signing  func(*signing)
		before   func(*http.Request) // signing
		after    func(*http.Request)
		body     string // sent instead of the signed one
		code     string
		text     string
		precheck bool // refuses as well
	}{
		{name: "unsigned", after: func(r *http.Request) { r.Header.Del("Authorization") }, code: CodeMissingToken, precheck: true},
		{name: "unknown key", signing: func(s *signing) { s.key.ID = "AKIAIOSFODNN7EXAMPLE" }, code: CodeUnrecognizedClient,
			text: "The security token included in the request is invalid.", precheck: true},
		{name: "session token", signing: func(s *signing) { s.token = "t" }, code: CodeUnrecognizedClient, precheck: true},
		{name: "wrong secret", signing: func(s *signing) { s.key.Secret += "x" }, code: CodeInvalidSignature, text: "The request signature we calculated does not match"},
		{name: "wrong region", signing: func(s *signing) { s.region = "eu-west-1" }, code: CodeInvalidSignature,
			text: "Credential should be scoped to a valid region.", precheck: true},
		{name: "wrong service", signing: func(s *signing) { s.service = "s3" }, code: CodeInvalidSignature, precheck: true},
		{name: "too old", signing: func(s *signing) { s.at = noon.Add(-MaxSkew - time.Second) }, code: CodeInvalidSignature,
			text: "Signature expired: 20260304T115459Z is now earlier than 20260304T115500Z (20260304T120000Z - 5 min.)", precheck: true},
		{name: "too new", signing: func(s *signing) { s.at = noon.Add(MaxSkew + time.Second) }, code: CodeInvalidSignature,
			text: "Signature not yet current: 20260304T120501Z is still later than", precheck: true},
		{name: "scope of another day", after: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/20260304/", "/20260303/", 1))
		}, code: CodeInvalidSignature, text: "Date in Credential scope", precheck: true},
		{name: "other terminator", after: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "aws4_request", "aws5_request", 1))
		}, code: CodeInvalidSignature, precheck: true},
		{name: "other body", body: "{2}", code: CodeInvalidSignature},
		{name: "other body, hash sent", signing: func(s *signing) { s.header = true }, body: "{2}", code: CodeInvalidSignature},
		{name: "unsigned payload", signing: func(s *signing) { s.hash = "UNSIGNED-PAYLOAD" }, code: CodeInvalidSignature, text: "The payload must be signed"},
		{name: "streaming payload", signing: func(s *signing) { s.hash = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" }, code: CodeInvalidSignature, text: "The payload must be signed"},
		{name: "unsigned tenant", after: set("X-Amz-Tenant-Id", "blue"), code: CodeInvalidSignature,
			text: "'X-Amz-Tenant-Id' must be a 'SignedHeader'", precheck: true},
		{name: "unsigned tenant, other spelling", after: set("X-Amzn-Tenant-Id", "blue"), code: CodeInvalidSignature, precheck: true},
		{name: "unsigned x-amz", after: set("X-Amz-Invocation-Type", "Event"), code: CodeInvalidSignature, precheck: true},
		{name: "changed tenant", before: set("X-Amz-Tenant-Id", "red"), after: set("X-Amz-Tenant-Id", "blue"), code: CodeInvalidSignature},
		{name: "one tenant more", before: set("X-Amz-Tenant-Id", "red"), after: set("X-Amz-Tenant-Id", "red", "blue"), code: CodeInvalidSignature},
		{name: "tenant taken out", before: set("X-Amz-Tenant-Id", "red"), after: func(r *http.Request) { r.Header.Del("X-Amz-Tenant-Id") }, code: CodeInvalidSignature},
		{name: "other path", after: func(r *http.Request) { r.URL.Path += "x" }, code: CodeInvalidSignature},
		{name: "other query", after: func(r *http.Request) { r.URL.RawQuery = "a=b" }, code: CodeInvalidSignature},
		{name: "malformed query", after: func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, code: CodeInvalidSignature},
		{name: "query with semicolon", after: func(r *http.Request) { r.URL.RawQuery = "a;b" }, code: CodeInvalidSignature},
		{name: "other method", after: func(r *http.Request) { r.Method = "PUT" }, code: CodeInvalidSignature},
		{name: "other host", after: func(r *http.Request) { r.Host = "localhost" }, code: CodeInvalidSignature},
		{name: "no date", after: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, code: CodeIncompleteSignature, precheck: true},
		{name: "two dates", after: set("X-Amz-Date", "20260304T120000Z", "20260304T120000Z"), code: CodeIncompleteSignature, precheck: true},
		{name: "malformed date", after: set("X-Amz-Date", "2026-03-04T12:00:00Z"), code: CodeIncompleteSignature, precheck: true},
		{name: "two authorizations", after: func(r *http.Request) {
			r.Header["Authorization"] = append(r.Header["Authorization"], r.Header["Authorization"][0])
		}, code: CodeIncompleteSignature, precheck: true},
		{name: "basic", after: set("Authorization", "Basic YTpi"), code: CodeIncompleteSignature, precheck: true},
		{name: "bare", after: set("Authorization", "AWS4-HMAC-SHA256"), code: CodeIncompleteSignature, precheck: true},
		{name: "presigned", after: func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00" },
			code: CodeInvalidSignature, text: "Presigned URLs are not supported here", precheck: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, "POST", base+"/2015-03-31/functions/f/invocations", "{1}")
			if c.before != nil {
				c.before(r)
			}
			s := a.signing()
			if c.signing != nil {
				c.signing(&s)
			}
			sign(t, r, "{1}", s)
			if c.after != nil {
				c.after(r)
			}
			if c.body != "" {
				r.Body = io.NopCloser(strings.NewReader(c.body))
			}
			got := send(r)
			if code(got.err) != c.code || !strings.Contains(got.err.Error(), c.text) {
				t.Errorf("error %v, want %s: %s", got.err, c.code, c.text)
			}
			if (got.precheck != nil) != c.precheck {
				t.Errorf("precheck says %v", got.precheck)
			}
			if got.caller != (alcove.Caller{}) {
				t.Errorf("a caller came with the error: %+v", got.caller)
			}
		})
	}
}

// TestAuthorizationIsReadStrictly changes a valid header in one place.
func TestAuthorizationIsReadStrictly(t *testing.T) {
	a := open(t, ModeSigV4)
	good := httptest.NewRequest("GET", "http://127.0.0.1:1/2015-03-31/functions", nil)
	sign(t, good, "", a.signing())
	header := good.Header.Get("Authorization")
	if _, err := a.Authenticate(good, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new string }{
		{"Credential=", "credential="},
		{", SignedHeaders", ", X=y, SignedHeaders"},
		{", SignedHeaders", ",, SignedHeaders"},
		{", Signature", ", Signature=00, Signature"},
		{"SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date;host"},
		{"SignedHeaders=host;x-amz-date", "SignedHeaders=host;host;x-amz-date"},
		{"SignedHeaders=host;x-amz-date", "SignedHeaders=Host;x-amz-date"},
		{"SignedHeaders=host;x-amz-date", "SignedHeaders=host;;x-amz-date"},
		{"SignedHeaders=host;x-amz-date", "SignedHeaders=host;x-amz-date;"},
		{"SignedHeaders=host;x-amz-date", "SignedHeaders=host"},
		{"SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date"},
		{"SignedHeaders=host;x-amz-date", "SignedHeaders="},
		{"/aws4_request", ""},
		{"/aws4_request", "/aws4_request/x"},
		{"Signature=", "Signature=0"},
		{"Signature=", "Signature=+"},
		{"AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 "},
		{"AWS4-HMAC-SHA256 ", "aws4-hmac-sha256 "},
	} {
		changed := strings.Replace(header, c.old, c.new, 1)
		if changed == header {
			t.Fatalf("%q is not in %q", c.old, header)
		}
		good.Header.Set("Authorization", changed)
		if _, err := a.Authenticate(good, nil); err == nil {
			t.Errorf("accepted: %s", changed)
		}
	}
	good.Header.Set("Authorization", strings.ReplaceAll(header, ", ", ","))
	if _, err := a.Authenticate(good, nil); err != nil {
		t.Errorf("refused without spaces: %v", err)
	}
}

func TestSigningKeysAreCachedAndBounded(t *testing.T) {
	a := open(t, ModeSigV4)
	first := a.rooted.signingKey(scope{a.root.ID, "20260304", "us-east-1", "lambda"})
	if again := a.rooted.signingKey(scope{a.root.ID, "20260304", "us-east-1", "lambda"}); again != first {
		t.Error("the key was derived twice")
	}
	for day := range 3 * maxCachedKeys {
		date := noon.AddDate(0, 0, day).Format("20060102")
		a.rooted.signingKey(scope{a.root.ID, date, "us-east-1", "logs"})
		if n := len(*a.rooted.signing.Load()); n > maxCachedKeys {
			t.Fatalf("%d keys in the cache", n)
		}
	}
	if again := a.rooted.signingKey(scope{a.root.ID, "20260304", "us-east-1", "lambda"}); *again != *first {
		t.Error("the key came out differently")
	}
}

func TestConcurrentIdenticalRequestsAreLegal(t *testing.T) {
	a := open(t, ModeSigV4)
	r := httptest.NewRequest("POST", "http://127.0.0.1:1/x", nil)
	sign(t, r, "{}", a.signing())
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				if _, err := a.Authenticate(r, []byte("{}")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkAuthenticate(b *testing.B) {
	a := open(b, ModeSigV4)
	body := bytes.Repeat([]byte("x"), 256)
	r := httptest.NewRequest("POST", "http://127.0.0.1:4566/2015-03-31/functions/hello/invocations", nil)
	r.ContentLength = 256
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("Content-Length", "256")
	r.Header.Set("X-Amz-Tenant-Id", "blue")
	r.Header.Set("X-Amz-Log-Type", "Tail")
	r.Header.Set("User-Agent", "aws-sdk-go-v2/1.47.7")
	r.Header.Set("Amz-Sdk-Invocation-Id", "5a1b4f7e-0000-0000-0000-000000000000")
	r.Header.Set("Amz-Sdk-Request", "attempt=1; max=3")
	sign(b, r, string(body), a.signing())
	if _, err := a.Authenticate(r, body); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(r, body); err != nil {
			b.Fatal(err)
		}
	}
}
