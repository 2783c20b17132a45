package gateway

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/alcove-run/alcove/internal/intake"
)

// named is a handler that answers with its name.
type named string

func (n named) ServeHTTP(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, string(n)) }

func all() Config {
	return Config{Lambda: named("lambda"), Logs: named("logs"), STS: named("sts"), Node: named("node")}
}

func scope(service string) string {
	return "AWS4-HMAC-SHA256 Credential=AKIA/20260304/us-east-1/" + service + "/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
}

const form = "application/x-www-form-urlencoded; charset=utf-8"

var cases = []struct {
	method, path, auth, target, kind string
	want                             string // a handler, or text of the 404
}{
	{"GET", "/2015-03-31/functions", scope("lambda"), "", "", "lambda"},
	{"GET", "/2015-03-31/functions/", "", "", "", "lambda"},
	{"POST", "/2021-11-15/functions/f/response-streaming-invocations", scope("lambda"), "", "", "lambda"},
	{"GET", "/2013-04-01/hostedzone", scope("route53"), "", "", "signed for the service 'route53'"},
	{"GET", "/2015-03-31", "", "", "", "nothing at this path"},
	{"GET", "/2015-0a-31/x", "", "", "", "nothing at this path"},
	{"GET", "/code/abc?signature=1", "", "", "", "lambda"},
	{"GET", "/alcove/v1/envs", scope("lambda"), "", "", "node"},
	{"GET", "/alcove/v2/envs", scope("lambda"), "", "", "signed for the service 'lambda'"},
	{"GET", "/metrics", "", "", "", "nothing at this path"},
	{"POST", "/", scope("logs"), "Logs_20140328.FilterLogEvents", "application/x-amz-json-1.1", "logs"},
	{"POST", "/", "", "Logs_20140328.FilterLogEvents", "application/x-amz-json-1.1", "logs"},
	{"POST", "/", scope("monitoring"), "GraniteServiceVersion20100801.GetMetricData", "application/x-amz-json-1.0", "signed for the service 'monitoring'"},
	{"POST", "/", scope("monitoring"), "", form, "signed for the service 'monitoring'"},
	{"POST", "/", scope("sts"), "", form, "sts"},
	{"POST", "/", "", "", form, "sts"},
	{"POST", "/", scope("sqs"), "AmazonSQS.SendMessage", "application/x-amz-json-1.0", "signed for the service 'sqs'"},
	{"POST", "/", scope("iam"), "", form, "signed for the service 'iam'"},
	{"POST", "/", scope("lambda"), "", "", "signed for the service 'lambda', and is none of its requests"},
	{"GET", "/", "", "", "", "nothing at this path"},
	{"GET", "/bucket/key", scope("s3"), "", "", "signed for the service 's3', which this endpoint does not offer"},
	{"PUT", "/bucket", scope("../<x>"), "", "", "nothing at this path"},
}

func TestRequestsGoWhereTheyBelong(t *testing.T) {
	srv := httptest.NewServer(New(all()))
	defer srv.Close()
	for _, c := range cases {
		r, err := http.NewRequest(c.method, srv.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", c.auth)
		r.Header.Set("X-Amz-Target", c.target)
		r.Header.Set("Content-Type", c.kind)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(c.want, " ") {
			if string(text) != c.want {
				t.Errorf("%s %s went to %s, want %s", c.method, c.path, text, c.want)
			}
			continue
		}
		plain := strings.NewReplacer("&#39;", "'", "\\u0027", "'").Replace(string(text))
		status, code := 404, unknown
		if strings.Contains(plain, "which this endpoint does not offer") {
			status, code = 400, unsupported
		}
		if resp.StatusCode != status || !strings.Contains(plain, c.want) || resp.Header.Get("X-Amzn-Errortype") != code || len(resp.Header.Get("X-Amzn-Requestid")) != 36 {
			t.Errorf("%s %s: %d %v %s", c.method, c.path, resp.StatusCode, resp.Header, text)
		}
		if xml := strings.Contains(c.auth, "/s3/") || strings.Contains(c.auth, "/route53/") || c.kind == form; xml != strings.HasPrefix(string(text), "<Error") {
			t.Errorf("%s %s: answered with %s", c.method, c.path, text)
		}
	}
}

func TestServerRefusesLargeHeaders(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(NewGate(), slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer func() {
		srv.Close()
		<-done
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 2*maxHeader))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %d", resp.StatusCode)
	}
	if srv.ReadHeaderTimeout == 0 || srv.IdleTimeout == 0 || srv.WriteTimeout != 0 {
		t.Errorf("timeouts: %v %v %v", srv.ReadHeaderTimeout, srv.IdleTimeout, srv.WriteTimeout)
	}
}

// FuzzRequest sends any request line and headers that HTTP has.
func FuzzRequest(f *testing.F) {
	for _, c := range cases {
		f.Add(c.method, c.path, c.auth, c.target, c.kind, "x", "", "")
	}
	config := all()
	config.Metrics, config.Prometheus, config.URLs, config.Console = named("metrics"), named("prometheus"), named("urls"), named("console")
	config.Bodies = intake.New(1 << 20)
	for v, i := reflect.ValueOf(config), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			f.Fatalf("requests would reach nothing where %s should be", v.Type().Field(i).Name)
		}
	}
	g := New(config)
	for _, c := range []struct{ method, path, auth, target, host, accept, want string }{
		{"POST", "/", "", "", "abc.lambda-url.us-east-1.localhost", "", "urls"},
		{"GET", "/", "", "", "x", "text/html", "/console/"},
		{"GET", "/console", "", "", "x", "", "/console/"},
		{"GET", "/console/", "", "", "x", "", "console"},
		{"GET", "/metrics", "", "", "x", "", "prometheus"},
		{"POST", metricsPath + "operation/ListMetrics", "", "", "x", "", "metrics"},
		{"POST", "/", "", metricsTarget + "ListMetrics", "x", "", "metrics"},
		{"POST", "/", scope("monitoring"), "", "x", "", "metrics"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader("hi"))
		r.Host = c.host
		for name, value := range map[string]string{"Authorization": c.auth, "X-Amz-Target": c.target, "Content-Type": form, "Accept": c.accept} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Body.String() != c.want && w.Header().Get("Location") != c.want {
			f.Fatalf("a seed does not go to %s: %+v: %s", c.want, c, w.Body)
		}
		f.Add(c.method, c.path, c.auth, c.target, form, c.host, c.accept, "hi")
	}
	f.Fuzz(func(t *testing.T, method, path, auth, target, kind, host, accept, body string) {
		raw := method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: " + auth + "\r\nX-Amz-Target: " + target + "\r\nContent-Type: " + kind +
			"\r\nAccept: " + accept + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%q: %d", raw, w.Code)
		}
	})
}

// What is announced and does not come leaves room for others, and what has no room
// is told to come again.
func TestBodiesTogether(t *testing.T) {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	c := all()
	c.Bodies = intake.New(1 << 20)
	c.Lambda = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Wait") != "" {
			close(arrived)
			<-goOn
		}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	srv := httptest.NewServer(New(c))
	defer srv.Close()
	send := func(n int, header string) (*http.Response, string) {
		r, err := http.NewRequest("POST", srv.URL+"/2015-03-31/functions", strings.NewReader(strings.Repeat("x", n)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header, "1")
		res, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res, string(text)
	}
	done := make(chan string)
	go func() {
		_, text := send(400<<10, "X-Wait")
		done <- text
	}()
	<-arrived
	if res, text := send(200<<10, "X-Other"); res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || !strings.Contains(text, "Try again") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if res, text := send(100<<10, "X-Other"); res.StatusCode != 200 || text != "102400 <nil>" {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	close(goOn)
	if text := <-done; text != "409600 <nil>" {
		t.Errorf("%s", text)
	}
	if res, _ := send(500<<10, "X-Other"); res.StatusCode != 200 {
		t.Errorf("afterwards %d", res.StatusCode)
	}
}
