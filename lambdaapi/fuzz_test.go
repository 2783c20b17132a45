package lambdaapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzRequest sends anything to any route. There is no panic and no answer that
// blames the platform, and every error is in AWS's shape.
func FuzzRequest(f *testing.F) {
	names := strings.NewReplacer("{FunctionName}", "f", "{Resource}", "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af", "{", "", "}", "")
	for _, r := range table() {
		f.Add(r.method, names.Replace(r.path), r.query, body(f, nil), "blue", "RequestResponse", "Tail", "e30=")
	}
	f.Add("GET", "/2015-03-31/functions/f:1", "Qualifier=%24LATEST&MaxItems=9&Marker=2&FunctionVersion=ALL&tagKeys=a", "", "a  b", "Event", "None", "")
	f.Add("PUT", "/2015-03-31/functions/f/configuration", "", `{"LoggingConfig":{"LogFormat":"JSON"},"Environment":{"Variables":{"AB":"c"}},"VpcConfig":{},"TenancyConfig":{}}`, "", "DryRun", "", "")
	f.Add("POST", "/2017-03-31/tags/arn:aws:lambda:us-east-1:000000000000:function:f", "", `{"Tags":{"a":"b"}}`, "", "", "", "")
	n := newRealNode(f)
	f.Fuzz(func(t *testing.T, method, path, query, text, tenant, kind, log, clientContext string) {
		r, err := http.NewRequest(method, "http://127.0.0.1/", bytes.NewReader([]byte(text)))
		if err != nil {
			return
		}
		r.RequestURI = "/" + strings.TrimPrefix(path, "/") + "?" + query
		r.URL.RawQuery = query
		r.Header.Set("Authorization", root.AccessKeyID)
		for name, value := range map[string]string{"X-Amz-Tenant-Id": tenant, "X-Amz-Invocation-Type": kind, "X-Amz-Log-Type": log, "X-Amz-Client-Context": clientContext} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		n.api.ServeHTTP(w, r)
		if w.Code >= 500 || w.Header().Get("X-Amzn-Requestid") == "" {
			t.Fatalf("%s %s: %d %s\n%s", method, r.RequestURI, w.Code, w.Body, n.log)
		}
		if w.Code >= 300 {
			var e struct{ Message *string }
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == nil || w.Header().Get("X-Amzn-Errortype") == "" {
				t.Fatalf("%s %s: %d %s", method, r.RequestURI, w.Code, w.Body)
			}
		}
	})
}

// FuzzCodeURL looks for a URL that gives code away.
func FuzzCodeURL(f *testing.F) {
	n := newNode(f)
	code, err := n.catalog.store([]byte("zip"))
	if err != nil {
		f.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://127.0.0.1/", nil)
	good := n.api.codeURL(r, root, code.SHA256)
	f.Add(strings.TrimPrefix(good, "http://127.0.0.1"))
	f.Add(CodePath + "../" + code.SHA256 + "?caller=a&expires=1&signature=00")
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.NewRequest("GET", "http://127.0.0.1"+target, nil)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		n.api.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s: %d %s", target, w.Code, n.log)
		}
		if w.Code == 200 && r.URL.Path != CodePath+code.SHA256 {
			t.Fatalf("%s gave code away", target)
		}
	})
}
