package lambdaapi

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/pool"
	"github.com/alcove-run/alcove/store"
)

// realNode is an API over the real catalog, which keeps its records on disk. It
// runs nothing: invocations answer with what they resolve to.
type realNode struct {
	*lambda.Client
	api     *API
	catalog *catalog.Catalog
	keeper  *keeper
	log     *bytes.Buffer
	dir     string
	close   func() error
}

// done closes a node.
func (n *realNode) done(t testing.TB) {
	t.Helper()
	if err := n.close(); err != nil {
		t.Error(err)
	}
}

// oneImage is a registry with one image.
func oneImage(_ context.Context, image string) (alcove.Code, error) {
	if image != "r/one" {
		return alcove.Code{}, alcove.InvalidParameter("Source image %s does not exist. Provide a valid source image.", image)
	}
	digest := strings.Repeat("1", 64)
	return alcove.Code{SHA256: digest, Image: image, Resolved: image + "@sha256:" + digest}, nil
}

// keeper is a Provisioner that has ready what it is told to, and room for room.
type keeper struct {
	catalog *catalog.Catalog
	room    int
	ready   bool
	failing bool
}

func (k *keeper) Provisioned(v *alcove.Version) pool.ProvisionedStatus {
	n := k.catalog.Provisioned(v)
	if k.ready {
		return pool.ProvisionedStatus{Allocated: n, Available: n}
	}
	return pool.ProvisionedStatus{Allocated: n, Failing: k.failing}
}

func (k *keeper) RoomFor(_ *alcove.Version, n int) bool { return n <= k.room }

// resolving invokes by resolving.
type resolving struct{ catalog *catalog.Catalog }

func (r resolving) Invoke(_ context.Context, _ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
	v, err := r.catalog.Resolve(req.Ref)
	if err != nil {
		return nil, err
	}
	return &alcove.Result{Payload: []byte("{}"), Report: alcove.Report{RequestID: "r", Version: v.Number}}, nil
}

func newRealNode(t testing.TB) *realNode {
	t.Helper()
	n, err := openRealNode(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.done(t) })
	return n
}

// openRealNode makes a node in a directory, for who closes it.
func openRealNode(dir string) (*realNode, error) {
	st, err := store.Open(context.Background(), store.Config{Dir: filepath.Join(dir, "state")})
	if err != nil {
		return nil, err
	}
	art, err := artifact.Open(filepath.Join(dir, "artifact"), nil)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	art.SetReserve(0)
	cat, err := catalog.Open(context.Background(), catalog.Config{Store: st, Artifacts: art, Place: place, Concurrency: 1000,
		SweepDelay: time.Millisecond, Prepare: func(context.Context, *alcove.Version) error { return nil }, Resolve: oneImage})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	log := &bytes.Buffer{}
	k := &keeper{catalog: cat, room: 1 << 30}
	api := New(Config{Place: place, Auth: fakeAuth{}, Catalog: cat, Invoker: resolving{cat}, Events: realEvents{cat: cat}, Artifacts: art, Provisioner: k, Runtimes: fakeRuntimes{},
		Architecture: "x86_64", Concurrency: 1000, Log: slog.New(slog.NewTextHandler(log, nil))})
	return &realNode{api: api, catalog: cat, keeper: k, log: log, dir: dir, close: func() error { return errors.Join(cat.Close(), st.Close()) }}, nil
}

func startReal(t testing.TB) *realNode {
	t.Helper()
	n := newRealNode(t)
	srv := httptest.NewServer(counting(n.api))
	t.Cleanup(srv.Close)
	n.Client = lambda.New(lambda.Options{Region: place.Region, BaseEndpoint: aws.String(srv.URL), HTTPClient: srv.Client(),
		Retryer: aws.NopRetryer{}, Credentials: credentials.NewStaticCredentialsProvider(root.AccessKeyID, "secret", "")})
	return n
}

// zipOf makes a package of one file.
func zipOf(t testing.TB, name, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err == nil {
		_, err = f.Write([]byte(body))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// function makes a function and waits until it is active.
func (n *realNode) function(t testing.TB, name string, change func(*lambda.CreateFunctionInput)) {
	t.Helper()
	in := createInput(name, change)
	in.Code = &types.FunctionCode{ZipFile: zipOf(t, "index.py", name)}
	if _, err := n.CreateFunction(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	n.ready(t, name)
}

// ready waits until a function can be changed.
func (n *realNode) ready(t testing.TB, name string) {
	t.Helper()
	w := lambda.NewFunctionUpdatedV2Waiter(n, func(o *lambda.FunctionUpdatedV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
	})
	if err := w.Wait(t.Context(), &lambda.GetFunctionInput{FunctionName: &name}, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// publish gives $LATEST another description and makes a version of it.
func (n *realNode) publish(t testing.TB, name, description string) string {
	t.Helper()
	if _, err := n.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, Description: &description}); err != nil {
		t.Fatal(err)
	}
	n.ready(t, name)
	v, err := n.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *v.Version
}

// refused sees that an error has AWS's code and text.
func refused(t testing.TB, err error, code, text string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	same := ok && api.ErrorCode() == code && api.ErrorMessage() == text
	conformance.count(countTexts, code+": "+text, same)
	if !same {
		t.Errorf("%v\nwant %s: %s", err, code, text)
	}
}

// realEvents accepts for functions that there are.
type realEvents struct {
	fakeEvents
	cat *catalog.Catalog
}

func (e realEvents) Accept(_ context.Context, _ alcove.Caller, req invoke.Request) (string, string, error) {
	_, err := e.cat.Resolve(req.Ref)
	return "99999999-2222-3333-4444-555555555555", req.Trace.Header(), err
}

func (e realEvents) Once(ctx context.Context, caller alcove.Caller, req invoke.Request, event bool, key string) (*alcove.Result, bool, error) {
	if !event {
		res, err := resolving{e.cat}.Invoke(ctx, caller, req)
		return res, key == "again", err
	}
	id, trace, err := e.Accept(ctx, caller, req)
	return &alcove.Result{Report: alcove.Report{RequestID: id}, Trace: trace}, key == "again", err
}
