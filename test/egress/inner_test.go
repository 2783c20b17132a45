package egress

import (
	"strconv"
	"strings"
	"testing"
)

// rawly is a function that sends bytes to the node's end of its link, as they are,
// and gives back what comes.
const rawly = `
import socket
def say(b):
    s = socket.create_connection(('192.0.0.1', 4566), timeout=20)
    s.sendall(b)
    s.shutdown(socket.SHUT_WR)
    got = b''
    try:
        while len(got) < 100000:
            x = s.recv(65536)
            if not x: break
            got += x
    except OSError as e: got += repr(e).encode()
    return got.decode('latin-1')
def handler(event, context): return {k: say(v.encode('latin-1')) for k, v in event.items()}
`

// TestTheNodesEndOfTheLinkIsTheAPIsAlone: whatever a request looks like, without
// the environment's credentials there is nothing to be had there, not with --auth
// none either, and what hides behind a request is one like any other.
func TestTheNodesEndOfTheLinkIsTheAPIsAlone(t *testing.T) {
	n := start(t, "namespace")
	n.function("rawly", rawly, true)
	n.function("hidden", explorer, true)
	const list = "GET /2015-03-31/functions HTTP/1.1\r\n"
	host := "Host: 192.0.0.1:4566\r\n"
	event := map[string]string{
		"plainly":                 list + host + "\r\n",
		"as the machine":          list + "Host: 127.0.0.1" + n.url[strings.LastIndexByte(n.url, ':'):] + "\r\n\r\n",
		"as localhost":            list + "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\r\n",
		"as another environment":  list + host + "X-Alcove-Environment: " + strings.Repeat("a", 32) + "\r\n\r\n",
		"as a function's URL":     "GET / HTTP/1.1\r\nHost: hidden.lambda-url.us-east-1.localhost\r\n\r\n",
		"pages":                   "GET /console/ HTTP/1.1\r\n" + host + "\r\n",
		"pages, two slashes":      "GET //console/floor HTTP/1.1\r\n" + host + "\r\n",
		"pages, encoded":          "GET /%63onsole/floor HTTP/1.1\r\n" + host + "\r\n",
		"pages, roundabout":       "GET /2015-03-31/../console/floor HTTP/1.1\r\n" + host + "\r\n",
		"measures":                "GET /metrics HTTP/1.1\r\n" + host + "\r\n",
		"measures, of a whole":    "GET http://127.0.0.1/metrics HTTP/1.1\r\n" + host + "\r\n",
		"measures, two slashes":   "GET //metrics HTTP/1.1\r\n" + host + "\r\n",
		"measures, roundabout":    "GET /x/../metrics HTTP/1.1\r\n" + host + "\r\n",
		"policies":                "GET /alcove/v1/egress HTTP/1.1\r\n" + host + "\r\n",
		"a tunnel":                "CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + host + "\r\n",
		"of the old kind":         "GET /2015-03-31/functions\r\n\r\n",
		"another protocol":        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"an upgrade":              list + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"two hosts":               list + host + "Host: 127.0.0.1\r\n\r\n",
		"two lengths":             "POST /2015-03-31/functions HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 40\r\n\r\nabc" + list + host + "\r\n",
		"a length and pieces":     "POST /2015-03-31/functions HTTP/1.1\r\n" + host + "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + list + host + "\r\n",
		"pieces of another kind":  "POST /2015-03-31/functions HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + list + host + "\r\n",
		"a folded header":         list + host + "Authorization:\r\n AWS4-HMAC-SHA256\r\n\r\n",
		"a blank before a colon":  list + host + "Content-Length : 5\r\n\r\nhello",
		"a line of its own":       list + "Host: a\rX: b\r\n\r\n",
		"a tenant, and a forgery": "POST /2015-03-31/functions/hidden/invocations HTTP/1.1\r\n" + host + "X-Amz-Tenant-Id: bob\r\nAuthorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00\r\nContent-Length: 2\r\n\r\n{}",
	}
	var got map[string]string
	n.invoke("rawly", "ann", event, &got)
	for what := range event {
		answers := strings.Split(got[what], "HTTP/1.1 ")
		if len(answers) < 2 || answers[0] != "" {
			t.Errorf("%s: %.200q", what, got[what])
			continue
		}
		for _, a := range answers[1:] {
			if status, err := strconv.Atoi(a[:min(3, len(a))]); err != nil || status < 400 && !(status >= 300 && strings.Contains(a, "Location: /")) {
				t.Errorf("%s: %.300q", what, a)
			}
		}
		for _, told := range []string{"# HELP", "<html", "FunctionName", "hidden", `"policies"`} {
			if strings.Contains(got[what], told) {
				t.Errorf("%s is told %q: %.500q", what, told, got[what])
			}
		}
		t.Logf("%s: %.60q and %d more", what, got[what], len(answers)-2)
	}
	if strings.Contains(n.logged("hidden", "bob"), "START") {
		t.Error("another tenant's function has run")
	}
}
