package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// Where leaktest runs is nobody's business to hand it rights: the address at which
// a cloud gives a machine's own is never asked.
func TestLeaktestNeverAsksTheMetadataAddress(t *testing.T) {
	var asked atomic.Int32
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Error(w, "no", http.StatusNotFound)
	}))
	defer metadata.Close()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_DATA_HOME", filepath.Join(t.TempDir(), "none"))
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_EC2_METADATA_DISABLED",
		"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
	for _, region := range []string{"", "us-east-1"} {
		for _, mode := range []string{"", "auto"} { // auto asks where it runs
			t.Setenv("AWS_DEFAULTS_MODE", mode)
			c := leaktestCmd{clientFlags: clientFlags{Endpoint: "http://127.0.0.1:1", Region: region}}
			_, _ = c.anyLambda(t.Context())
			if n := asked.Load(); n > 0 {
				t.Fatalf("region %q, defaults mode %q: asked %d times", region, mode, n)
			}
		}
	}
}
