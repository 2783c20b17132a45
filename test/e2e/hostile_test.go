package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

// hostile is one request as it goes over the wire.
type hostile struct {
	name           string
	method, target string
	headers        []string // "Name: value"; signed if "x-amz-" or Content-Type
	body           string
	missing        int      // bytes of the body that are never sent
	chunked        bool     // instead of a length
	unsigned       []string // more headers
	raw            string   // instead of all of that
}

// wire is a request signed for key, byte by byte.
func (h hostile) wire(t *testing.T, host string, key aws.Credentials) []byte {
	t.Helper()
	req, err := http.NewRequest(h.method, "http://"+host+h.target, strings.NewReader(h.body))
	if err != nil {
		t.Fatalf("%s: %v", h.name, err)
	}
	for _, line := range h.headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	sum := sha256.Sum256([]byte(h.body))
	if err := v4.NewSigner().SignHTTP(t.Context(), key, req, hex.EncodeToString(sum[:]), "lambda", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", h.method, h.target, host)
	for name, values := range req.Header {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	for _, line := range h.unsigned {
		b.WriteString(line + "\r\n")
	}
	if h.chunked {
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(h.body), h.body)
		return b.Bytes()
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(h.body)+h.missing, h.body)
	return b.Bytes()
}

// send makes the request on a connection of its own, and reads the answer. Status 0 is
// a connection that ends without one.
func (h hostile) send(t *testing.T, n *node, key aws.Credentials) (int, http.Header, string) {
	t.Helper()
	host := strings.TrimPrefix(n.url, "http://")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw := h.raw
	if raw == "" {
		raw = string(h.wire(t, host, key))
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	go func() {
		_, _ = io.WriteString(conn, raw)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: h.method})
	if err != nil {
		if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
			t.Errorf("%s: no answer", h.name)
		}
		return 0, nil, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil && h.raw == "" { // else the rest of the request may not be read at all
		t.Errorf("%s: the answer broke off: %v", h.name, err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// platform is what no answer may tell.
var platform = regexp.MustCompile(`goroutine|panic|\.go:\d|runtime error|(?i)jetstream|nats:|reflect\.|strconv\.`)

// check sees that an answer is a good one, or an error in AWS's shape.
func (h hostile) check(t *testing.T, n *node, key aws.Credentials) (int, string) {
	t.Helper()
	status, header, body := h.send(t, n, key)
	switch {
	case status == 0 || status < 400:
	case status >= 500:
		t.Errorf("%s: %s %.200s is answered with %d %s", h.name, h.method, h.target, status, body)
	case header.Get("X-Amzn-Requestid") == "" && (h.raw != "" || strings.HasPrefix(body, "400 Bad Request")): // no request of HTTP's
	default:
		var e map[string]any
		err := json.Unmarshal([]byte(body), &e)
		text, _ := e["message"].(string)
		if text == "" {
			text, _ = e["Message"].(string)
		}
		if err != nil && h.method != http.MethodHead || text == "" && h.method != http.MethodHead || header.Get("X-Amzn-Errortype") == "" || header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: %s %.200s: %d %v %.300s is no error of AWS's", h.name, h.method, h.target, status, header, body)
		}
	}
	if platform.MatchString(body) || strings.Contains(body, n.data) {
		t.Errorf("%s: %s %.200s: %d tells %.300s", h.name, h.method, h.target, status, body)
	}
	return status, body
}

// routesOf are the operations of the API with a handler, as the program has them.
func routesOf(t *testing.T) (all []hostile) {
	t.Helper()
	text, err := os.ReadFile("../../lambdaapi/routes.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\{"([A-Z]+)", "(/[^"]*)", "([^"]*)", "([A-Za-z]+)", \w+, (?:with|bare)\(`).FindAllStringSubmatch(string(text), -1) {
		target := m[2]
		if m[3] != "" {
			target += "?" + m[3]
		}
		all = append(all, hostile{name: m[4], method: m[1], target: target})
	}
	if len(all) < 60 {
		t.Fatalf("%d routes were found", len(all))
	}
	return all
}

// TestHostileRequests asks every operation with what no client sends.
func TestHostileRequests(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": answers1}, isolated)
	param := regexp.MustCompile(`\{[A-Za-z]+\}`)
	deep := strings.Repeat(`{"Environment":`, 20000)
	names := []string{f, "%00", "..", "%2e%2e%2f", "%2Fetc%2Fpasswd", "%F0%9F%98%80", "%ff%fe", strings.Repeat("a", 3000), "arn:aws:lambda:eu-west-1:111111111111:function:" + f,
		"arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3A" + f + "%3A%24LATEST", "-1", "99999999999999999999", "%0d%0aX-Evil:%201", "%20", f + ":live:1", "%24LATEST", "+", "%25"}
	bodies := []string{"", "null", "[]", `"x"`, "{", `{"FunctionName":1,"MemorySize":"x","Timeout":1e999,"Environment":[],"Layers":{},"Code":3,"Name":{},"Tags":[1],"Content":[],"Description":{"a":1},"Policy":7,"Cors":"x"}`,
		`{"Code":{"ZipFile":"!!!"},"ZipFile":"%%%","Content":{"ZipFile":"a"}}`, "\xff\xfe", deep, `{"MemorySize":9223372036854775808,"Timeout":-9223372036854775809,"ReservedConcurrentExecutions":1.5}`,
		`{"RoutingConfig":{"AdditionalVersionWeights":{"\u0000":1e308,"":-1,"1":null}},"Name":"\ud800","FunctionVersion":"\u0000"}`, `{"a":1}{"b":2}`, "\xef\xbb\xbf{}", `{"Tags":{"` + strings.Repeat("k", 5000) + `":"v"},"Role":"` + strings.Repeat("r", 100000) + `"}`,
		`{"Policy":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":[],\"Principal\":{\"AWS\":{}}}]}"}`}
	for _, route := range routesOf(t) {
		t.Run(route.name, func(t *testing.T) {
			with := func(name string) hostile {
				h := route
				h.target = param.ReplaceAllLiteralString(route.target, name)
				return h
			}
			for _, name := range names {
				h := with(name)
				if name == f && route.method == http.MethodDelete {
					continue
				}
				h.check(t, n, n.key)
			}
			for _, body := range bodies {
				if route.method == http.MethodDelete || route.method == http.MethodGet {
					continue
				}
				h := with("hostile")
				if h.body = body; strings.Contains(body, "ZipFile") || len(body) < 10 {
					h = with(f)
					h.body = body
				}
				h.name = fmt.Sprintf("%s %.20q", h.name, body)
				h.check(t, n, n.key)
			}
			more := func(what string, change func(h *hostile)) {
				h := with("hostile")
				h.name += " " + what
				change(&h)
				h.check(t, n, n.key)
			}
			query := "?"
			if strings.Contains(route.target, "?") {
				query = "&"
			}
			for _, q := range []string{"Qualifier=a&Qualifier=b", "MaxItems=1&MaxItems=x", "MaxItems=-1", "MaxItems=99999999999999999999", "Marker=%00", "Marker=" + strings.Repeat("A", 4000), "Marker=e30%3D", "Qualifier=%ff",
				"RevisionId=%0a", "tagKeys=", "tagKeys=a&tagKeys=a", "=", "&&&", "Qualifier", "FunctionVersion=ALL&FunctionVersion=NONE", "find=x", "List=ALL", "%zz=1", "a;b=c"} {
				h := with("hostile")
				h.target += query + q
				if _, err := url.ParseQuery(q); err != nil {
					// What cannot be signed is refused before that.
					h.raw = h.method + " " + h.target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
				}
				h.name += " " + q
				h.check(t, n, n.key)
			}
			more("form", func(h *hostile) {
				h.headers, h.body = []string{"Content-Type: application/x-www-form-urlencoded"}, "a=b"
			})
			more("xml", func(h *hostile) { h.headers, h.body = []string{"Content-Type: text/xml; charset=utf-7"}, "<a/>" })
			more("gzip", func(h *hostile) { h.headers, h.body = []string{"Content-Encoding: gzip"}, "\x1f\x8b\x08" })
			more("truncated", func(h *hostile) { h.body, h.missing = `{"FunctionName":`, 100 })
			more("chunked", func(h *hostile) { h.body, h.chunked = `{"FunctionName":`, true })
			more("odd headers", func(h *hostile) {
				h.headers = []string{"X-Amz-Log-Type: Tail, None", "X-Amz-Invocation-Type: \u00fc", "X-Amz-Client-Context: ====", "X-Amz-Tenant-Id: " + strings.Repeat("t", 300)}
			})
			more("duplicate headers", func(h *hostile) {
				h.headers = []string{"X-Amz-Invocation-Type: Event", "X-Amz-Invocation-Type: DryRun", "X-Amz-Tenant-Id: a", "X-Amz-Tenant-Id: b"}
			})
			more("no signature", func(h *hostile) {
				h.raw = h.method + " " + h.target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
			})
		})
	}
	for _, raw := range []string{
		"GET /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 2<<20) + "\r\n\r\n", // huge
		"GET /2015-03-31/functions HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 100000) + "\r\n",
		"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /", // smuggling
		"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
		"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n",
		"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
		"POST /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
		"POST /2015-03-31/functions HTTP/1.0\r\n\r\n", "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: x\r\nCookie: a\r\n\r\n", "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "GET //2015-03-31//functions HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nAuthorization: AWS4-HMAC-SHA256 Credential=" + strings.Repeat("/", 5000) + ", SignedHeaders=;;;, Signature=z\r\n\r\n",
		"GET /2015-03-31/functions?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%00&X-Amz-Date=x&X-Amz-Expires=-1&X-Amz-SignedHeaders=&X-Amz-Signature= HTTP/1.1\r\nHost: x\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00", "GET /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		h := hostile{name: fmt.Sprintf("%.80q", raw), method: "GET", raw: raw}
		h.check(t, n, n.key)
	}
	// It works as before.
	n.run(t, f, call{tenant: "a", payload: `{}`}, nil)
}

// TestTenantOfTwoMinds sends requests that name two tenants, or one beside the signature,
// with a key that is bound to one.
func TestTenantOfTwoMinds(t *testing.T) {
	n := on(t, "namespace")
	f := n.deploy(t, python, files{"main.py": "def handler(event, context):\n return 'tenant ' + context.tenant_id"}, isolated)
	blue := n.makeKey(t, name(t), `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}}}`)
	invoke := hostile{method: "POST", target: "/2015-03-31/functions/" + f + "/invocations", body: "{}"}
	for _, c := range []struct {
		name              string
		headers, unsigned []string
		own               bool // answered by its own tenant
	}{
		{"its own", []string{"X-Amz-Tenant-Id: blue"}, nil, true},
		{"another", []string{"X-Amz-Tenant-Id: green"}, nil, false},
		{"none", nil, nil, false},
		{"both", []string{"X-Amz-Tenant-Id: blue", "X-Amz-Tenant-Id: green"}, nil, false},
		{"the other way round", []string{"X-Amz-Tenant-Id: green", "X-Amz-Tenant-Id: blue"}, nil, false},
		{"a list", []string{"X-Amz-Tenant-Id: blue,green"}, nil, false},
		{"another case", []string{"X-Amz-Tenant-Id: BLUE"}, nil, false},
		{"unsigned", nil, []string{"X-Amz-Tenant-Id: blue"}, false},
		{"unsigned beside its own", []string{"X-Amz-Tenant-Id: blue"}, []string{"X-Amz-Tenant-Id: green"}, false},
		{"of another case beside its own", []string{"X-Amz-Tenant-Id: blue"}, []string{"x-AMZ-tenant-ID: green"}, false},
		{"after a space", []string{"X-Amz-Tenant-Id: blue"}, []string{"X-Amz-Tenant-Id : green"}, false},
	} {
		h := invoke
		h.name, h.headers, h.unsigned = c.name, c.headers, c.unsigned
		status, body := h.check(t, n, blue)
		if own := status == 200 && body == `"tenant blue"`; own != c.own || strings.Contains(body, "tenant green") {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
}

// TestManyClientsOfOneName has clients make, change and delete one function at once.
func TestManyClientsOfOneName(t *testing.T) {
	n := on(t, "namespace")
	f := name(t)
	t.Cleanup(func() { n.delete(context.Background(), f) })
	zips := [][]byte{files{"main.py": answers1}.Zip(t), files{"main.py": answers2}.Zip(t)}
	ctx := t.Context()
	ops := []func() error{
		func() error {
			_, err := n.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &f, Runtime: python, Handler: aws.String("main.handler"), Role: aws.String(role), Publish: true, Code: &types.FunctionCode{ZipFile: zips[0]}})
			return err
		},
		func() error {
			_, err := n.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: &f, Runtime: python, Handler: aws.String("main.handler"), Role: aws.String(role), Code: &types.FunctionCode{ZipFile: zips[1]}})
			return err
		},
		func() error {
			_, err := n.lambda.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: &f, ZipFile: zips[1], Publish: true})
			return err
		},
		func() error {
			_, err := n.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &f, MemorySize: aws.Int32(256)})
			return err
		},
		func() error {
			_, err := n.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: &f})
			return err
		},
		func() error {
			_, err := n.lambda.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: &f, Name: aws.String("live"), FunctionVersion: aws.String("1")})
			return err
		},
		func() error {
			_, err := n.lambda.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: &f, StatementId: aws.String("s"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("*")})
			return err
		},
		func() error {
			_, err := n.lambda.CreateFunctionUrlConfig(ctx, &lambda.CreateFunctionUrlConfigInput{FunctionName: &f, AuthType: types.FunctionUrlAuthTypeNone})
			return err
		},
		func() error {
			_, err := n.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &f, Payload: []byte("{}")})
			return err
		},
		func() error {
			_, err := n.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &f, Qualifier: aws.String("1")})
			return err
		},
		func() error {
			_, err := n.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &f})
			return err
		},
	}
	var wg sync.WaitGroup
	for client := range 20 {
		wg.Go(func() {
			for i := range 2 * len(ops) {
				err := ops[(client*7+i*(1+client%5))%len(ops)]()
				e, ok := errors.AsType[smithy.APIError](err)
				if err != nil && (!ok || e.ErrorFault() == smithy.FaultServer || !slices.Contains([]string{notFound, "ResourceConflictException", "TooManyRequestsException"}, e.ErrorCode())) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	wg.Wait()
	// It is one function, or none, and works.
	n.delete(ctx, f)
	if err := ops[0](); err != nil {
		t.Fatal(err)
	}
	n.active(t, f)
	n.run(t, f, call{payload: `{}`}, nil)

	// Of those who change one revision, one does.
	now, err := n.lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &f})
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	for client := range 20 {
		wg.Go(func() {
			_, err := n.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &f, RevisionId: now.RevisionId, Timeout: aws.Int32(int32(client + 3))})
			e, ok := errors.AsType[smithy.APIError](err)
			if err == nil {
				won.Add(1)
			} else if !ok || !slices.Contains([]string{"PreconditionFailedException", "ResourceConflictException"}, e.ErrorCode()) {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d clients changed one revision", won.Load())
	}
}

// TestMarkersOfOthers uses the marker of each list for all others.
func TestMarkersOfOthers(t *testing.T) {
	n := on(t, "namespace")
	var fs []string
	for range 2 {
		f := n.deploy(t, python, files{"main.py": answers1})
		fs = append(fs, f)
		for i := range 2 {
			if _, err := n.lambda.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &f, ZipFile: files{"main.py": fmt.Sprint("x = ", i)}.Zip(t), Publish: true}); err != nil {
				t.Fatal(err)
			}
			n.updated(t, f)
			if _, err := n.lambda.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: &f, Name: aws.String(fmt.Sprint("a", i)), FunctionVersion: aws.String("1")}); err != nil {
				t.Fatal(err)
			}
			if _, err := n.lambda.PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: &f, Content: &types.LayerVersionContentInput{ZipFile: files{"x": "y"}.Zip(t)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	lists := []string{"/2015-03-31/functions?MaxItems=1", "/2018-10-31/layers?MaxItems=1"}
	for _, f := range fs {
		lists = append(lists, "/2015-03-31/functions/"+f+"/versions?MaxItems=1", "/2015-03-31/functions/"+f+"/aliases?MaxItems=1", "/2018-10-31/layers/"+f+"/versions?MaxItems=1")
	}
	markers := map[string]string{}
	for _, list := range lists {
		status, body := hostile{name: list, method: "GET", target: list}.check(t, n, n.key)
		var page struct{ NextMarker string }
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 || page.NextMarker == "" {
			t.Fatalf("%s: %d %s", list, status, body)
		}
		markers[list] = page.NextMarker
	}
	for from, marker := range markers {
		for _, list := range lists {
			h := hostile{name: "marker of " + from, method: "GET", target: list + "&Marker=" + url.QueryEscape(marker)}
			status, body := h.check(t, n, n.key)
			for i, f := range fs {
				if status == 200 && strings.Contains(list, "/"+f+"/") && strings.Contains(body, fs[1-i]) {
					t.Errorf("%s with the marker of %s: %s", list, from, body)
				}
			}
		}
	}
}
