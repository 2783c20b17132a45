package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestDeletedWhilePulled deletes a function whose image is being pulled: the pull ends,
// and the image can be pulled again.
func TestDeletedWhilePulled(t *testing.T) {
	reg := newRegistry(t)
	program := goFunction(t)["bootstrap*"]
	uri := reg.push(t, "go:1", image(t, v1.Config{Cmd: []string{"main"}, Env: []string{"PATH=/app"}, WorkingDir: "/app"}, layer(t, "", ociGzip, item{name: "app/main", text: program})))
	n := start(t, "--isolation", "namespace", "--registries", reg.host)
	pulls, ended := make(chan bool), make(chan bool)
	reg.put(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		pulls <- true
		// Half of something is never followed by the rest.
		w.Header().Set("Content-Length", "1000000")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- true
		return true
	})
	ctx := t.Context()
	create := func(f string) {
		t.Helper()
		in := &lambda.CreateFunctionInput{FunctionName: &f, Role: aws.String(role)}
		fromImage(uri)(in)
		if _, err := n.lambda.CreateFunction(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(f string) {
		t.Helper()
		if _, err := n.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &f}); err != nil {
			t.Fatal(err)
		}
	}
	f := name(t)
	create(f)
	<-pulls
	remove(f)
	<-ended
	reg.put(nil)
	create(f)
	n.active(t, f)
	if inv := n.run(t, f, call{payload: `{}`}, nil); len(inv.Payload) == 0 {
		t.Error("no answer")
	}
}
