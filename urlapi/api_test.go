package urlapi

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/invoke"
)

// node is an API whose functions answer as a test says.
type node struct {
	api    *API
	url    alcove.FunctionURL
	answer func(invoke.Request) (*alcove.Result, error)
	last   invoke.Request
	caller alcove.Caller
	denied error // by AuthorizeURL
	failed []string
	server *httptest.Server
}

const host = "abc123.lambda-url.us-east-1.localhost:4566"

func (n *node) Invoke(_ context.Context, caller alcove.Caller, req invoke.Request) (*alcove.Result, error) {
	n.last, n.caller = req, caller
	return n.answer(req)
}

func (n *node) PrecheckURL(*http.Request, string) error { return nil }

func (n *node) AuthenticateURL(_ *http.Request, _ []byte, kind string) (alcove.Caller, error) {
	source := netip.MustParseAddr("192.0.2.7")
	if kind == auth.URLAuthNone {
		return alcove.Caller{ARN: "anonymous", Source: source}, nil
	}
	return alcove.Caller{AccessKeyID: "AKIA", Account: "000000000000", ARN: "arn:aws:iam::000000000000:user/ann", UserID: "AIDA", Source: source}, nil
}

func (n *node) AuthorizeURL(alcove.Caller, auth.Operation, string) error { return n.denied }

func (n *node) Failed(_ alcove.Caller, o auth.Operation, why error) {
	n.failed = append(n.failed, o.Action+" "+alcove.AsError(why).Code)
}

func start(t testing.TB, url alcove.FunctionURL) *node {
	t.Helper()
	n := &node{url: url, answer: says(`"ok"`)}
	n.url.ID = "abc123"
	if n.url.AuthType == "" {
		n.url.AuthType = auth.URLAuthNone
	}
	n.api = New(Config{Auth: n, Invoker: n, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.UnixMilli(1583348638390) },
		Find: func(id string) (alcove.Ref, *alcove.FunctionURL, bool) {
			return alcove.Ref{Name: "f", Qualifier: "live"}, &n.url, id == n.url.ID
		}})
	n.server = httptest.NewServer(n.api)
	t.Cleanup(n.server.Close)
	return n
}

func says(payload string) func(invoke.Request) (*alcove.Result, error) {
	return func(invoke.Request) (*alcove.Result, error) { return &alcove.Result{Payload: []byte(payload)}, nil }
}

// send sends a request to the URL.
func (n *node) send(t testing.TB, method, target, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, n.server.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	maps.Copy(r.Header, header)
	res, err := n.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func TestEvent(t *testing.T) {
	n := start(t, alcove.FunctionURL{})
	n.send(t, "POST", "/pa%2Fth/1?q=query&multi=a&multi=b%20c&odd=%zz", `{"foo":"bar"}`, http.Header{
		"Content-Type": {"application/json"}, "Extra-Headers": {"With WeiRd CapS"}, "X-Twice": {"1", "2"}, "User-Agent": {"test/echo"},
		"Cookie": {"a=1; b=2"}, "Authorization": {"Bearer x"}, "X-Forwarded-For": {"203.0.113.9"}, "Accept-Encoding": {"gzip"},
		"X-Amzn-Trace-Id": {"Root=1-5759e988-bd862e3fe1be46a994272793"},
	})
	var got map[string]any
	if err := json.Unmarshal(n.last.Payload, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": "/pa%2Fth/1", "rawQueryString": "q=query&multi=a&multi=b%20c&odd=%zz",
		"cookies": []any{"a=1", "b=2"},
		"headers": map[string]any{
			"accept-encoding": "gzip", "authorization": "Bearer x", "content-length": "13", "content-type": "application/json",
			"extra-headers": "With WeiRd CapS", "host": host, "user-agent": "test/echo", "x-twice": "1,2",
			"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793", "x-forwarded-for": "192.0.2.7", "x-forwarded-port": "4566", "x-forwarded-proto": "http",
		},
		"queryStringParameters": map[string]any{"q": "query", "multi": "a,b c"},
		"requestContext": map[string]any{
			"accountId": "anonymous", "apiId": "abc123", "domainName": "abc123.lambda-url.us-east-1.localhost", "domainPrefix": "abc123",
			"http":      map[string]any{"method": "POST", "path": "/pa%2Fth/1", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "test/echo"},
			"requestId": n.last.RequestID, "routeKey": "$default", "stage": "$default", "time": "04/Mar/2020:19:03:58 +0000", "timeEpoch": 1583348638390.0,
		},
		"body": `{"foo":"bar"}`, "isBase64Encoded": false,
	}
	if !reflect.DeepEqual(got, want) {
		a, _ := json.MarshalIndent(got, "", " ")
		b, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got %s\nwant %s", a, b)
	}
	if n.last.Ref != (alcove.Ref{Name: "f", Qualifier: "live"}) || n.last.Trace.Header() != "Root=1-5759e988-bd862e3fe1be46a994272793" || n.last.Tenant != "" || n.last.RequestID == "" {
		t.Errorf("asked for %+v", n.last)
	}
}

func TestEventOfASignedRequest(t *testing.T) {
	n := start(t, alcove.FunctionURL{AuthType: "AWS_IAM"})
	n.send(t, "GET", "/", "", http.Header{"Authorization": {"AWS4-HMAC-SHA256 secret"}})
	var got event
	if err := json.Unmarshal(n.last.Payload, &got); err != nil {
		t.Fatal(err)
	}
	c := got.RequestContext
	if c.AccountID != "000000000000" || c.Authorizer == nil || c.Authorizer.IAM.UserARN != "arn:aws:iam::000000000000:user/ann" || c.Authorizer.IAM.AccessKey != "AKIA" {
		t.Errorf("%+v", c)
	}
	if strings.Contains(string(n.last.Payload), "secret") {
		t.Error("the function sees the signature")
	}
	if got.Body != nil || got.IsBase64Encoded || n.caller.AccessKeyID != "AKIA" {
		t.Errorf("%+v", got)
	}
}

func TestBodies(t *testing.T) {
	for _, c := range []struct{ kind, body, want string }{
		{"text/plain; charset=utf-8", "text é", "text é"},
		{"application/json", `{}`, `{}`},
		{"application/xml", `<a/>`, `<a/>`},
		{"text/plain", "\xff", ""},
		{"application/octet-stream", "text", ""},
		{"multipart/form-data; boundary=x", "--x", ""},
		{"application/x-www-form-urlencoded", "a=b", ""},
		{"", "text", ""},
	} {
		n := start(t, alcove.FunctionURL{})
		n.send(t, "POST", "/", c.body, http.Header{"Content-Type": {c.kind}})
		var got event
		if err := json.Unmarshal(n.last.Payload, &got); err != nil {
			t.Fatal(err)
		}
		want := c.want
		if want == "" {
			want = base64.StdEncoding.EncodeToString([]byte(c.body))
		}
		if *got.Body != want || got.IsBase64Encoded != (c.want == "") {
			t.Errorf("%s: %q %v", c.kind, *got.Body, got.IsBase64Encoded)
		}
	}
}

// TestAnswers: what functions answer, and what of it goes over the wire. Those
// that are marked were recorded from the service.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name, payload string
		status        int
		body          string
		header        http.Header
	}{
		{"recorded: object", `{"hello": "world"}`, 200, `{"hello":"world"}`, nil},
		{"recorded: response", `{"statusCode": 200, "body": "body123"}`, 200, "body123", nil},
		{"recorded: response with json", `{"statusCode": 200, "body": "{\"hello\": \"world\"}"}`, 200, `{"hello": "world"}`, nil},
		{"recorded: list", `["hello", 3, true]`, 200, `["hello",3,true]`, nil},
		{"recorded: string", `"hello"`, 200, "hello", nil},
		{"recorded: integer", `3`, 200, "3", nil},
		{"recorded: float", `3.1`, 200, "3.1", nil},
		{"recorded: boolean", `true`, 200, "true", nil},
		{"recorded: status as text", `{"statusCode": "418", "body": "i'm a teapot"}`, 418, "i'm a teapot", nil},
		{"recorded: headers", `{"statusCode":201,"headers":{"Content-Type":"application/json","My-Custom-Header":"Custom Value"},"body":"{}"}`, 201, "{}", http.Header{"My-Custom-Header": {"Custom Value"}}},
		{"null", `null`, 200, "null", nil},
		{"base64", `{"statusCode":200,"headers":{"content-type":"image/x"},"isBase64Encoded":true,"body":"AP8="}`, 200, "\x00\xff", http.Header{"Content-Type": {"image/x"}}},
		{"cookies", `{"statusCode":200,"cookies":["a=1; HttpOnly","b=2"],"body":""}`, 200, "", http.Header{"Set-Cookie": {"a=1; HttpOnly", "b=2"}}},
		{"numbers as headers", `{"statusCode":200,"headers":{"x-n":5,"x-b":true}}`, 200, "", http.Header{"X-N": {"5"}, "X-B": {"true"}}},
		{"no content", `{"statusCode":204,"body":"x"}`, 204, "", http.Header{"Content-Type": nil}},
		{"redirect", `{"statusCode":302,"headers":{"location":"/x"}}`, 302, "", http.Header{"Location": {"/x"}}},
		{"no body", `{"statusCode":200}`, 200, "", nil},
		{"object as body", `{"statusCode":200,"body":{"a": 1}}`, 200, `{"a":1}`, nil},
		{"smuggled", `{"statusCode":200,"headers":{"x":"a\r\nSet-Cookie: b=c","y\r\nz":"1","content-length":"3","transfer-encoding":"chunked","connection":"close","trailer:q":"1"},"cookies":["a\r\nb: c"],"body":"hello"}`,
			200, "hello", http.Header{"X": nil, "Set-Cookie": nil, "B": nil, "Content-Length": {"5"}}},
		{"no text", "{\"statusCode\":200,\"headers\":{\"x\":\"a\\u001b[2Jb\",\"y\":\"a\\u007fb\",\"z\":\"a\\tb\u00e9\"},\"cookies\":[\"a=\\u0008\",\"b=2\"]}",
			200, "", http.Header{"X": nil, "Y": nil, "Z": {"a\tb\u00e9"}, "Set-Cookie": {"b=2"}}},
		{"no json", `hello`, 502, "Internal Server Error", nil},
		{"nothing", ``, 502, "Internal Server Error", nil},
		{"no status", `{"statusCode":"x"}`, 502, "Internal Server Error", nil},
		{"status out of range", `{"statusCode":101}`, 502, "Internal Server Error", nil},
		{"no base64", `{"statusCode":200,"isBase64Encoded":true,"body":"!"}`, 502, "Internal Server Error", nil},
		{"header is no text", `{"statusCode":200,"headers":{"a":{}}}`, 502, "Internal Server Error", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, alcove.FunctionURL{})
			n.answer = says(c.payload)
			n.server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			res, body := n.send(t, "GET", "/", "", nil)
			if res.StatusCode != c.status || body != c.body {
				t.Errorf("%d %q", res.StatusCode, body)
			}
			if _, ok := c.header["Content-Type"]; !ok && res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("type %q", res.Header.Get("Content-Type"))
			}
			for name, want := range c.header {
				if got := res.Header.Values(name); !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestErrors(t *testing.T) {
	fails := func(err error) func(invoke.Request) (*alcove.Result, error) {
		return func(invoke.Request) (*alcove.Result, error) { return nil, err }
	}
	for _, c := range []struct {
		name   string
		change func(*node)
		body   string
		status int
		code   string
		want   string
		failed bool
	}{
		{name: "no such URL", change: func(n *node) { n.url.ID = "other" }, status: 403, code: "AccessDeniedException", want: `{"Message":null}`},
		{name: "denied", change: func(n *node) { n.denied = alcove.ClientError(auth.CodeAccessDenied, "Forbidden.") }, status: 403, code: "AccessDeniedException", want: `{"Message":"Forbidden."}`},
		{name: "function failed", change: func(n *node) {
			n.answer = func(invoke.Request) (*alcove.Result, error) {
				return &alcove.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"secret"}`)}, nil
			}
		}, status: 502, want: "Internal Server Error"},
		{name: "no room", change: func(n *node) {
			n.answer = fails(alcove.Throttled(alcove.ReasonReservedConcurrency, alcove.LimitReservedConcurrency))
		}, status: 429, code: "TooManyRequestsException", want: `{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}`, failed: true},
		{name: "platform", change: func(n *node) { n.answer = fails(errors.New("secret")) }, status: 500, code: "ServiceException", want: `{"Message":"Internal Server Error"}`, failed: true},
		{name: "panic", change: func(n *node) { n.answer = func(invoke.Request) (*alcove.Result, error) { panic("secret") } }, status: 500, code: "ServiceException", want: `{"Message":"Internal Server Error"}`},
		{name: "too large", body: strings.Repeat("x", maxBody+1), status: 413, code: "RequestEntityTooLargeException",
			want: `{"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}`},
		{name: "too large as an event", body: strings.Repeat("\xff", maxBody), status: 413, code: "RequestEntityTooLargeException",
			want: `{"Message":"Request must be smaller than 6291456 bytes for the InvokeFunction operation"}`},
	} {
		for _, mode := range []string{"BUFFERED", "RESPONSE_STREAM"} {
			t.Run(c.name+" "+mode, func(t *testing.T) {
				n := start(t, alcove.FunctionURL{AuthType: "AWS_IAM", InvokeMode: mode})
				if c.change != nil {
					c.change(n)
				}
				res, body := n.send(t, "POST", "/", c.body, nil)
				if res.StatusCode != c.status || body != c.want || res.Header.Get("X-Amzn-Errortype") != c.code || res.Header.Get("X-Amzn-Requestid") == "" {
					t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
				}
				if c.name != "panic" && (len(n.failed) > 0) != c.failed {
					t.Errorf("recorded as failed: %v", n.failed)
				}
			})
		}
	}
}

func TestCORS(t *testing.T) {
	yes, age := true, 300
	one := &alcove.Cors{AllowCredentials: &yes, AllowHeaders: []string{"x-a", "x-b"}, AllowMethods: []string{"GET", "PUT"},
		AllowOrigins: []string{"https://a.example", "http://localhost:3000"}, ExposeHeaders: []string{"date"}, MaxAge: &age}
	all := &alcove.Cors{AllowHeaders: []string{"*"}, AllowMethods: []string{"*"}, AllowOrigins: []string{"*"}}
	origin := func(o string, more ...string) http.Header {
		h := http.Header{"Origin": {o}}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return h
	}
	const ask, askHeaders = "Access-Control-Request-Method", "Access-Control-Request-Headers"
	for _, c := range []struct {
		name    string
		cors    *alcove.Cors
		method  string
		header  http.Header
		invoked bool
		want    map[string]string
	}{
		{"preflight", one, "OPTIONS", origin("https://a.example", ask, "PUT", askHeaders, "x-a"), false, map[string]string{
			"Allow-Origin": "https://a.example", "Allow-Methods": "GET,PUT", "Allow-Headers": "x-a,x-b", "Allow-Credentials": "true", "Max-Age": "300"}},
		{"preflight of another origin", one, "OPTIONS", origin("https://b.example", ask, "PUT"), false, nil},
		{"preflight for another method", one, "OPTIONS", origin("https://a.example", ask, "DELETE"), false, nil},
		{"preflight of anybody", all, "OPTIONS", origin("https://b.example", ask, "DELETE", askHeaders, "x-q"), false, map[string]string{
			"Allow-Origin": "*", "Allow-Methods": "DELETE", "Allow-Headers": "x-q"}},
		{"preflight without a configuration", nil, "OPTIONS", origin("https://a.example", ask, "PUT"), true, map[string]string{"Allow-Origin": "function's"}},
		{"no preflight", one, "OPTIONS", origin("https://a.example"), true, map[string]string{"Allow-Origin": "https://a.example", "Allow-Credentials": "true", "Expose-Headers": "date"}},
		{"request", one, "GET", origin("http://localhost:3000"), true, map[string]string{"Allow-Origin": "http://localhost:3000", "Allow-Credentials": "true", "Expose-Headers": "date"}},
		{"request of another origin", one, "GET", origin("https://b.example"), true, nil},
		{"request of no origin", one, "GET", nil, true, nil},
		{"request without a configuration", nil, "GET", origin("https://b.example"), true, map[string]string{"Allow-Origin": "function's"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := start(t, alcove.FunctionURL{Cors: c.cors})
			invoked := false
			n.answer = func(invoke.Request) (*alcove.Result, error) {
				invoked = true
				return &alcove.Result{Payload: []byte(`{"statusCode":200,"headers":{"access-control-allow-origin":"function's"}}`)}, nil
			}
			res, _ := n.send(t, c.method, "/", "", c.header)
			got := map[string]string{}
			for name := range res.Header {
				if short, ok := strings.CutPrefix(name, corsPrefix); ok {
					got[short] = strings.Join(res.Header[name], "|")
				}
			}
			if res.StatusCode != 200 || invoked != c.invoked || !maps.Equal(got, c.want) {
				t.Errorf("%d, invoked %v, %v", res.StatusCode, invoked, got)
			}
		})
	}
}

func TestID(t *testing.T) {
	for host, want := range map[string]string{
		"abc.lambda-url.us-east-1.localhost:4566": "abc", "ABC.Lambda-URL.us-east-1.example.com": "abc", "abc.lambda-url.localhost": "abc",
		"localhost:4566": "", "lambda-url.us-east-1.localhost": "", ".lambda-url.x": "", "abc.lambda-urls.x": "", "": "", "abc.lambda-url": "", "x.abc.lambda-url.y": "",
	} {
		if id, ok := ID(host); id != want || ok != (want != "") {
			t.Errorf("%s: %q %v", host, id, ok)
		}
	}
}

// FuzzRequest sends anything, over a connection, and wants an answer, and an
// event that is JSON.
func FuzzRequest(f *testing.F) {
	for how := range 8 {
		f.Add("POST /a%2Fb?c=d&e HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 2\r\nCookie: a=b; c\r\nContent-Type: text/x\r\n\r\nhi", `{"statusCode":200}`, how, preludeType)
		f.Add("POST / HTTP/1.1\r\nHost: "+host+"\r\n\r\n", `{"statusCode":500}`, how, preludeType)
		f.Add("OPTIONS * HTTP/1.1\r\nHost: "+host+"\r\nOrigin: null\r\nAccess-Control-Request-Method: \x80\r\n\r\n", `"x"`, how, "text/x")
		f.Add("GET http://"+host+"/?%zz=%gg&&= HTTP/1.1\r\nHost: "+host+"\r\nX-Amzn-Trace-Id: \r\n\r\n", `{"statusCode":"404","headers":{"a":"b\n"},"cookies":["\r"],"body":{}}`, how, "")
		f.Add("GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n", `{"statusCode":201,"headers":{"a":"b"},"cookies":["c=d"]}`+string(preludeEnd)+"body", how, preludeType)
		f.Add("HEAD / HTTP/1.1\r\nHost: "+host+"\r\nOrigin: x\r\n\r\n", `{"statusCode":204,"body":"aGk=","isBase64Encoded":true}`, how, "application/json")
	}
	n := start(f, alcove.FunctionURL{Cors: &alcove.Cors{AllowOrigins: []string{"*"}, AllowMethods: []string{"*"}, AllowHeaders: []string{"*"}}})
	const streams, signed, begun = 1, 2, 4 // how the URL is, and its function answers
	f.Fuzz(func(t *testing.T, text, answer string, how int, contentType string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		r.RemoteAddr = "127.0.0.1:1"
		r.Host = host
		n.last = invoke.Request{}
		n.answer = says(answer)
		n.url.InvokeMode, n.url.AuthType = "BUFFERED", auth.URLAuthNone
		if how&streams != 0 {
			n.url.InvokeMode = "RESPONSE_STREAM"
			if how&begun != 0 {
				n.answer = begins(contentType, func(s *alcove.Stream) (*alcove.Result, error) {
					_, _ = s.Write([]byte(answer)) // who reads may have had enough
					return &alcove.Result{}, nil
				})
			}
		}
		if how&signed != 0 {
			n.url.AuthType = "AWS_IAM"
		}
		w := httptest.NewRecorder()
		n.api.ServeHTTP(w, r)
		asked := n.last.Payload != nil && strings.Contains(strings.ToLower(answer), "statuscode")
		if w.Code >= 500 && w.Code != 502 && !asked { // a function may say 500 itself
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if p := n.last.Payload; p != nil && !json.Valid(p) {
			t.Fatalf("event %q", p)
		}
		for name, values := range w.Header() {
			for _, v := range values {
				if strings.ContainsAny(name+v, "\r\n\x00") {
					t.Fatalf("header %q: %q", name, v)
				}
			}
		}
	})
}
