package auth

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
)

// FuzzAuthenticate sends what a client can send. Nothing may get in but the
// request that was signed, and every refusal is the client's fault.
func FuzzAuthenticate(f *testing.F) {
	a := open(f, ModeSigV4)
	none := open(f, ModeNone)
	const target = "http://127.0.0.1:4566/2015-03-31/functions/f/invocations?Qualifier=1"
	good := httptest.NewRequest("POST", target, nil)
	good.Header.Set("X-Amz-Tenant-Id", "blue")
	sign(f, good, "{}", a.signing())
	auth := good.Header.Get("Authorization")
	f.Add("POST", "/2015-03-31/functions/f/invocations?Qualifier=1", "127.0.0.1:4566", auth, good.Header.Get("X-Amz-Date"), "blue", "", "{}")
	f.Add("GET", "/%2e%2e//?a=%zz;b", "[::1]:1", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=a;b,Signature=c", "20260304T120000Z", " a  b", "UNSIGNED-PAYLOAD", "")
	f.Add("GET", "/?X-Amz-Signature=1", "", "", "", "", "", "")
	f.Fuzz(func(t *testing.T, method, target, host, authorization, date, tenant, hash, body string) {
		raw := method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: " + authorization +
			"\r\nX-Amz-Date: " + date + "\r\nX-Amz-Tenant-Id: " + tenant
		if hash != "" {
			raw += "\r\nX-Amz-Content-Sha256: " + hash
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw + "\r\n\r\n")))
		if err != nil {
			return
		}
		io.Copy(io.Discard, r.Body)
		caller, err := a.Authenticate(r, []byte(body))
		check(t, caller, err)
		if err == nil {
			same := method == "POST" && r.Header.Get("X-Amz-Tenant-Id") == "blue" && bytes.Equal([]byte(body), []byte("{}")) &&
				r.Host == "127.0.0.1:4566" && r.URL.Path == "/2015-03-31/functions/f/invocations" && r.URL.Query().Get("Qualifier") == "1"
			if !same {
				t.Fatalf("let in: %q with %q", raw, body)
			}
		}
		caller, err = none.Authenticate(r, []byte(body))
		check(t, caller, err)
	})
}

func check(t *testing.T, caller alcove.Caller, err error) {
	t.Helper()
	if err == nil {
		return
	}
	e, ok := errors.AsType[*alcove.Error](err)
	if !ok || e.Fault != alcove.FaultClient {
		t.Fatalf("not the client's fault: %v", err)
	}
	if caller != (alcove.Caller{}) {
		t.Fatalf("a caller came with %v", err)
	}
}
