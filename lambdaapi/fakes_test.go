package lambdaapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/runtimes"
)

var place = alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"}

var root = alcove.Caller{AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", Account: place.Account, ARN: "arn:aws:iam::000000000000:root", UserID: place.Account}

const role = "arn:aws:iam::000000000000:role/r"

// fakeAuth lets in who signs with root's key, without looking at the signature.
type fakeAuth struct{}

func (fakeAuth) Precheck(r *http.Request) error {
	if !strings.Contains(r.Header.Get("Authorization"), root.AccessKeyID) {
		return alcove.ClientError("UnrecognizedClientException", "The security token included in the request is invalid.")
	}
	return nil
}

func (f fakeAuth) Authenticate(r *http.Request, _ []byte) (alcove.Caller, error) {
	if err := f.Precheck(r); err != nil {
		return alcove.Caller{}, err
	}
	return root, nil
}

// Authorize lets root do everything.
func (fakeAuth) Authorize(caller alcove.Caller, o auth.Operation) (*auth.Scope, error) {
	if caller != root || o.Action == "" || (o.Resource == "") == (o.Function.Name == "") {
		return nil, errors.New("not what is to be authorised")
	}
	return nil, nil
}

func (fakeAuth) Failed(alcove.Caller, auth.Operation, error) {}

// fakeFunction is a function in memory; versions[0] is $LATEST.
type fakeFunction struct {
	alcove.Function
	versions []*alcove.Version
}

// fakeCatalog holds functions in memory, in AWS's life cycle: a change is under
// way until it was looked at once.
type fakeCatalog struct {
	Catalog // nil: what is newer is tested with the real one
	dir     string

	mu        sync.Mutex
	functions map[string]*fakeFunction
	revision  int
}

func (c *fakeCatalog) rev() string { c.revision++; return "rev-" + strconv.Itoa(c.revision) }

func (c *fakeCatalog) Spool(func(io.Writer) error) (*artifact.Package, error) {
	return nil, errors.New("there is no S3 here")
}

func (c *fakeCatalog) store(pkg *artifact.Package) (alcove.Code, error) {
	zip, err := io.ReadAll(pkg.Reader())
	if err != nil {
		return alcove.Code{}, err
	}
	if len(zip) > alcove.MaxZipped {
		return alcove.Code{}, alcove.ClientError(alcove.CodeRequestEntityTooLarge, "Zipped size must be smaller than 52428800 bytes")
	}
	return pkg.Code(), os.WriteFile(filepath.Join(c.dir, pkg.Code().SHA256), zip, 0o600)
}

func (c *fakeCatalog) OpenZip(digest string) (*os.File, error) {
	return os.Open(filepath.Join(c.dir, digest))
}

func (c *fakeCatalog) find(name string) (*fakeFunction, error) {
	f, ok := c.functions[name]
	if !ok {
		return nil, alcove.NotFound(place.FunctionARN(name))
	}
	return f, nil
}

func (c *fakeCatalog) Create(_ context.Context, caller alcove.Caller, in catalog.CreateInput) (*alcove.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if caller != root {
		return nil, errors.New("another caller")
	}
	if _, ok := c.functions[in.Name]; ok {
		return nil, alcove.ClientError(alcove.CodeResourceConflict, "Function already exist: %s", in.Name)
	}
	code, err := c.store(in.Zip)
	if err != nil {
		return nil, err
	}
	v := &alcove.Version{FunctionID: "id-" + in.Name, Name: in.Name, ARN: place.FunctionARN(in.Name), Number: alcove.Latest,
		RevisionID: c.rev(), Config: in.Config, Code: code, State: alcove.StatePending,
		StateReason: "The function is being created.", StateReasonCode: "Creating", LastModified: time.Unix(1, 5e6)}
	f := &fakeFunction{Function: alcove.Function{ID: v.FunctionID, Name: in.Name, Tags: in.Tags}, versions: []*alcove.Version{v}}
	c.functions[in.Name] = f
	if in.Publish {
		return c.publish(f, nil), nil
	}
	return v, nil
}

func (c *fakeCatalog) publish(f *fakeFunction, description *string) *alcove.Version {
	v := *f.versions[0]
	f.LastVersion++
	v.Number, v.RevisionID = strconv.Itoa(f.LastVersion), c.rev()
	set(&v.Config.Description, description)
	f.versions = append(f.versions, &v)
	return &v
}

func (c *fakeCatalog) update(name, revision string, change func(v *alcove.Version) error) (*fakeFunction, *alcove.Version, error) {
	f, err := c.find(name)
	if err != nil {
		return nil, nil, err
	}
	v := *f.versions[0]
	if revision != "" && revision != v.RevisionID {
		return nil, nil, alcove.ClientError(alcove.CodePreconditionFailed, "The Revision Id provided does not match the latest Revision Id. "+
			"Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
	}
	if err := change(&v); err != nil {
		return nil, nil, err
	}
	v.RevisionID, v.State, v.StateReason, v.StateReasonCode = c.rev(), alcove.StateActive, "", ""
	v.Update, v.UpdateReason, v.UpdateReasonCode = alcove.UpdateInProgress, "The function is being created.", "Creating"
	f.versions[0] = &v
	return f, &v, nil
}

func (c *fakeCatalog) UpdateCode(_ context.Context, _ alcove.Caller, name string, in catalog.UpdateCodeInput) (*alcove.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, v, err := c.update(name, in.RevisionID, func(v *alcove.Version) (err error) {
		v.Code, err = c.store(in.Zip)
		return err
	})
	if err == nil && in.Publish {
		return c.publish(f, nil), nil
	}
	return v, err
}

func (c *fakeCatalog) UpdateConfiguration(_ context.Context, _ alcove.Caller, name, revision string, change func(*alcove.Config) error) (*alcove.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, v, err := c.update(name, revision, func(v *alcove.Version) error { return change(&v.Config) })
	return v, err
}

func (c *fakeCatalog) Publish(_ context.Context, _ alcove.Caller, name string, in catalog.PublishInput) (*alcove.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.find(name)
	if err != nil {
		return nil, err
	}
	if has := base64Digest(f.versions[0].Code.SHA256); in.CodeSHA256 != "" && in.CodeSHA256 != has {
		return nil, alcove.InvalidParameter("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). Please try again with the CodeSHA256 in $LATEST.", in.CodeSHA256, has)
	}
	return c.publish(f, in.Description), nil
}

func (c *fakeCatalog) Delete(_ context.Context, _ alcove.Caller, ref alcove.Ref) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.find(ref.Name); err != nil {
		return err
	}
	if ref.Qualifier == alcove.Latest {
		return alcove.InvalidParameter("$LATEST version cannot be deleted without deleting the function.")
	}
	delete(c.functions, ref.Name)
	return nil
}

func (c *fakeCatalog) Describe(ref alcove.Ref) (*alcove.Version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.find(ref.Name)
	if err != nil {
		return nil, err
	}
	for i, v := range f.versions {
		if v.Number != ref.Qualifier && (ref.Qualifier != "" || v.Number != alcove.Latest) {
			continue
		}
		done := *v
		done.State, done.StateReason, done.StateReasonCode = alcove.StateActive, "", ""
		done.Update, done.UpdateReason, done.UpdateReasonCode = alcove.UpdateSuccessful, "", ""
		f.versions[i] = &done
		return v, nil
	}
	return nil, alcove.NotFound(place.FunctionARN(ref.Name) + ":" + ref.Qualifier)
}

func (c *fakeCatalog) Function(name string) (*alcove.Function, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.find(name)
	if err != nil {
		return nil, err
	}
	one := f.Function
	return &one, nil
}

func page(all []*alcove.Version, marker string, max int) ([]*alcove.Version, string, error) {
	from, _ := strconv.Atoi(marker)
	if from < 0 || from > len(all) {
		return nil, "", alcove.InvalidParameter("The marker is not valid.")
	}
	if rest := all[from:]; len(rest) > max {
		return rest[:max], strconv.Itoa(from + max), nil
	}
	return all[from:], "", nil
}

func (c *fakeCatalog) List(marker string, max int, allVersions bool) ([]*alcove.Version, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*alcove.Version
	for _, name := range slices.Sorted(maps.Keys(c.functions)) {
		if versions := c.functions[name].versions; allVersions {
			all = append(all, versions...)
		} else {
			all = append(all, versions[0])
		}
	}
	return page(all, marker, max)
}

func (c *fakeCatalog) ListVersions(name, marker string, max int) ([]*alcove.Version, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.find(name)
	if err != nil {
		return nil, "", err
	}
	return page(f.versions, marker, max)
}

func (c *fakeCatalog) SetReserved(_ context.Context, _ alcove.Caller, name string, reserved *int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.find(name)
	if err != nil {
		return err
	}
	f.Reserved = reserved
	return nil
}

func (c *fakeCatalog) SetTags(_ context.Context, _ alcove.Caller, name string, set map[string]string, remove []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, err := c.find(name)
	if err != nil {
		return err
	}
	tags := maps.Clone(f.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, set)
	for _, key := range remove {
		delete(tags, key)
	}
	f.Tags = tags
	return nil
}

func (c *fakeCatalog) Totals() (int64, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var size int64
	for _, f := range c.functions {
		size += f.versions[0].Code.Size
	}
	return size, len(c.functions)
}

func (c *fakeCatalog) Unreserved() int { return 1000 }

// fakeInvoker answers with what it was asked, unless answer is set.
type fakeInvoker struct {
	catalog *fakeCatalog

	mu     sync.Mutex
	last   invoke.Request
	answer func(invoke.Request) (*alcove.Result, error)
}

func (i *fakeInvoker) Invoke(_ context.Context, _ alcove.Caller, req invoke.Request) (*alcove.Result, error) {
	v, err := i.catalog.Describe(req.Ref)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = req
	i.last.Payload = bytes.Clone(req.Payload)
	if i.answer != nil {
		return i.answer(req)
	}
	if req.DryRun {
		return &alcove.Result{}, nil
	}
	return &alcove.Result{Payload: bytes.Clone(req.Payload), LogTail: []byte("START\nEND\n"),
		Report: alcove.Report{RequestID: "11111111-2222-3333-4444-555555555555", Version: v.Number, Start: alcove.StartWarm, Environment: "env-1", Isolation: "gvisor"}}, nil
}

// fakeEvents keeps what was accepted last, in its invoker.
type fakeEvents struct{ i *fakeInvoker }

func (e fakeEvents) Accept(_ context.Context, _ alcove.Caller, req invoke.Request) (string, string, error) {
	if _, err := e.i.catalog.Describe(req.Ref); err != nil {
		return "", "", err
	}
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	e.i.last = req
	e.i.last.Payload = bytes.Clone(req.Payload)
	return "99999999-2222-3333-4444-555555555555", req.Trace.Header(), nil
}

func (e fakeEvents) Once(ctx context.Context, caller alcove.Caller, req invoke.Request, event bool, key string) (*alcove.Result, bool, error) {
	if event {
		id, trace, err := e.Accept(ctx, caller, req)
		return &alcove.Result{Report: alcove.Report{RequestID: id}, Trace: trace}, key == "again", err
	}
	res, err := e.i.Invoke(ctx, caller, req)
	return res, key == "again", err
}

func (fakeEvents) Delivers(arn string) bool { return !strings.HasSuffix(arn, ":unreachable") }

type fakeRuntimes struct{}

func (fakeRuntimes) Resolve(name string) (runtimes.Runtime, error) {
	switch name {
	case "python3.11":
		return runtimes.Runtime{Name: name, Family: runtimes.Python, Version: "3.11.2"}, nil
	case "nodejs20.x", "provided.al2023":
		return runtimes.Runtime{Name: name, Family: runtimes.FamilyOf(name)}, nil
	case "java21":
		return runtimes.Runtime{}, alcove.InvalidParameter("This node has no Java.")
	}
	return runtimes.Runtime{}, alcove.InvalidParameter("Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [python3.11] or be a valid ARN", name)
}

// node is an API over fakes, on a real listener.
type node struct {
	api     *API
	url     string
	client  *lambda.Client
	catalog *fakeCatalog
	invoker *fakeInvoker
	now     time.Time
	log     *bytes.Buffer
}

func start(t testing.TB) *node {
	t.Helper()
	n := newNode(t)
	srv := httptest.NewServer(counting(n.api))
	t.Cleanup(srv.Close)
	n.url = srv.URL
	n.client = lambda.New(lambda.Options{Region: place.Region, BaseEndpoint: aws.String(srv.URL), HTTPClient: srv.Client(),
		Retryer: aws.NopRetryer{}, Credentials: credentials.NewStaticCredentialsProvider(root.AccessKeyID, "secret", "")})
	return n
}

func newNode(t testing.TB) *node {
	t.Helper()
	catalog := &fakeCatalog{dir: t.TempDir(), functions: map[string]*fakeFunction{}}
	n := &node{catalog: catalog, invoker: &fakeInvoker{catalog: catalog}, now: time.Unix(1_700_000_000, 0), log: &bytes.Buffer{}}
	n.api = New(Config{Place: place, Auth: fakeAuth{}, Catalog: catalog, Invoker: n.invoker, Events: fakeEvents{n.invoker}, Artifacts: catalog, Runtimes: fakeRuntimes{},
		Architecture: "x86_64", Concurrency: 1000, Log: slog.New(slog.NewTextHandler(n.log, nil)), Now: func() time.Time { return n.now }})
	return n
}

// create makes a function and fails the test if it cannot.
func (n *node) create(t testing.TB, name string, change func(*lambda.CreateFunctionInput)) *lambda.CreateFunctionOutput {
	t.Helper()
	out, err := n.client.CreateFunction(context.Background(), createInput(name, change))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// raw sends a request without the SDK and gives status, headers and body.
func (n *node) raw(t testing.TB, method, path string, header http.Header, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, n.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	if r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", root.AccessKeyID)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(fmt.Errorf("unexpected: %w", err))
		}
		return v
	}
}
