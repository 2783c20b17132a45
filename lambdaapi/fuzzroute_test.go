package lambdaapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/internal/slow"
)

// Every route has a fuzz target of its own, in fuzzroutes_test.go; `make
// fuzz-routes` runs each for its time. A target sends requests of its operation
// to the real handler over the real catalog. Nothing panics, no answer blames the
// platform, every error is in AWS's shape, a request that is refused changes
// nothing, and no request leaves a file that nothing refers to, or one open.

// furnished is a node with something of every noun, so that valid requests
// succeed.
type furnished struct {
	*realNode
	names   *strings.Replacer // puts this node's ARNs in
	changes int               // requests that changed it
	open    int               // descriptors when it was new
}

const (
	// maxChanges is how many changes a node takes before it is replaced, so that
	// what they make stays little.
	maxChanges = 32
	// spareDescriptors are what the store may open while it works.
	spareDescriptors = 24
)

// target is the path and query of a valid request of a route.
func (n *furnished) target(r *route) (names [maxNamed]string, query string) {
	at := 0
	segments, count := split(r.path)
	for _, s := range segments[:count] {
		if strings.HasPrefix(s, "{") {
			names[at] = n.names.Replace(map[string]string{"{FunctionName}": "f", "{Resource}": "FUNCTION", "{ResourceArn}": "FUNCTION", "{Name}": "live", "{LayerName}": "l",
				"{VersionNumber}": "1", "{StatementId}": "s", "{CodeSigningConfigArn}": "SIGNING"}[s])
			if r.operation == "DeleteCodeSigningConfig" {
				names[at] = n.names.Replace("SPARE") // the other is a function's
			}
			at++
		}
	}
	query = map[string]string{"UntagResource": "tagKeys=a", "GetLayerVersionByArn": "find=LayerVersion&Arn=" + url.QueryEscape(n.names.Replace("LAYER:1")),
		"CreateFunctionUrlConfig": "Qualifier=live"}[r.operation]
	if query == "" {
		query = r.query
	}
	if query == "" && strings.HasSuffix(r.path, "/provisioned-concurrency") {
		query = "Qualifier=live"
	}
	return names, query
}

// furnishedNode makes a node with a function of two versions, an alias, a layer
// and all that may belong to them. Who asked for it removes it: a fuzz target
// replaces its node while it runs, when nothing can be left to the end of a test.
func furnishedNode(t testing.TB) *furnished {
	t.Helper()
	dir, err := os.MkdirTemp("", "alcove-fuzz-")
	if err != nil {
		t.Fatal(err)
	}
	made, err := openRealNode(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := &furnished{realNode: made}
	zip := zipOf(t, "index.py", "s3")
	n.api.Objects = objects{{Bucket: "code", Key: "f.zip"}: zip, {Bucket: "code", Key: "f.zip", Version: "2"}: zip}
	n.api.Within = func(r *http.Request) (alcove.Trace, bool) {
		return alcove.ReadTrace("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1", "", ""), len(r.Header[explainHeader]) > 0
	}
	for v, i := reflect.ValueOf(n.api.Config), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("requests would reach nothing where %s should be", v.Type().Field(i).Name)
		}
	}
	n.furnish(t)
	var signing, spare signingOutput
	for _, to := range []*signingOutput{&signing, &spare} {
		if err := json.Unmarshal(n.one(t, "CreateCodeSigningConfig", "", validBodies["CreateCodeSigningConfig"]), to); err != nil {
			t.Fatal(err)
		}
	}
	n.names = strings.NewReplacer("FUNCTION", place.FunctionARN("f"), "LAYER", place.LayerARN("l"), "NAME", "f",
		"SIGNING", signing.CodeSigningConfig.CodeSigningConfigArn, "SPARE", spare.CodeSigningConfig.CodeSigningConfigArn)
	n.settle(t)
	n.one(t, "UpdateFunctionConfiguration", "", `{"Description":"second"}`)
	n.settle(t)
	n.one(t, "PublishVersion", "", "")
	for _, operation := range []string{"PutFunctionEventInvokeConfig", "PutProvisionedConcurrencyConfig", "TagResource"} {
		n.one(t, operation, "", validBodies[operation])
	}
	n.one(t, "PutFunctionCodeSigningConfig", "", n.validBody("PutFunctionCodeSigningConfig"))
	n.one(t, "CreateFunctionUrlConfig", "Qualifier=", validBodies["CreateFunctionUrlConfig"])
	for _, operation := range []string{"AddPermission", "AddLayerVersionPermission"} {
		n.one(t, operation, "", strings.Replace(validBodies[operation], `"t"`, `"s"`, 1))
	}
	n.settle(t)
	n.open = descriptors(t)
	return n
}

// validBody is a body that succeeds.
func (n *furnished) validBody(operation string) string {
	text := validBodies[operation]
	if operation == "PutFunctionCodeSigningConfig" {
		return n.names.Replace(`{"CodeSigningConfigArn":"SIGNING"}`)
	}
	return text
}

// one sends a request that succeeds.
func (n *furnished) one(t testing.TB, operation, query, text string) []byte {
	t.Helper()
	routes := table()
	r := &routes[slices.IndexFunc(routes, func(r route) bool { return r.operation == operation })]
	if n.names == nil {
		n.names = strings.NewReplacer()
	}
	names, usual := n.target(r)
	if query == "" {
		query = usual
	}
	if query == "Qualifier=" {
		query = ""
	}
	w := n.send(t, r, names, query, strings.NewReader(text), int64(len(text)), nil)
	if w.Code >= 300 {
		t.Fatalf("%s: %d %s\n%s", operation, w.Code, w.Body, n.log)
	}
	return w.Body.Bytes()
}

// send sends a request of a route; nil is one that HTTP cannot carry.
func (n *furnished) send(t testing.TB, r *route, names [maxNamed]string, query string, body io.Reader, size int64, header map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	segments, count := split(r.path)
	at, path := 0, ""
	for _, s := range segments[:count] {
		if strings.HasPrefix(s, "{") {
			s = url.PathEscape(names[at])
			at++
		}
		path += "/" + s
	}
	req, err := http.NewRequest(r.method, "http://127.0.0.1/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.RequestURI, req.URL.RawQuery, req.ContentLength = path+"?"+query, query, size
	req.Header.Set("Authorization", root.AccessKeyID)
	for name, value := range header {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	n.api.ServeHTTP(w, req)
	return w
}

// fuzzRoute is the fuzz target of an operation. A request is what the fuzzer
// makes of it, or if seed is not 0 one that is made at random near it.
func fuzzRoute(f *testing.F, operation string) {
	routes := table()
	r := &routes[slices.IndexFunc(routes, func(r route) bool { return r.operation == operation })]
	n := furnishedNode(f)
	f.Cleanup(func() { n.remove(f) })
	names, query := n.target(r)
	text := n.validBody(operation)
	f.Add(names[0], names[1], names[2], query, text, "", "RequestResponse", uint64(0))
	f.Add("f:live", "1", "s", query+"&Qualifier=live&MaxItems=1&Marker=x&RevisionId=x", text, "blue", "DryRun", uint64(0))
	f.Add("f", "", "", "", text, "", "Event", uint64(0))
	for _, text := range append([]string{text}, moreBodies[operation]...) {
		f.Add(names[0], names[1], names[2], query, text, "", "", uint64(0))
		for seed := range uint64(6) {
			f.Add(names[0], names[1], names[2], query, text, "", "", seed+1)
		}
	}
	f.Fuzz(func(t *testing.T, first, second, third, query, text, tenant, kind string, seed uint64) {
		names, size := [maxNamed]string{first, second, third}, int64(len(text))
		header := map[string]string{"X-Amz-Tenant-Id": tenant, "X-Amz-Invocation-Type": kind}
		if seed != 0 {
			g := &generator{rand.New(rand.NewPCG(seed, 0)), n.names}
			for i := range names {
				if g.IntN(4) == 0 {
					names[i] = g.text(names[i])
				}
			}
			values, _ := url.ParseQuery(query) // what can be read of it
			var in reflect.Type
			if r.serve != nil {
				in = r.serve.in
			}
			made := g.query(in, values)
			if name, value, ok := strings.Cut(r.query, "="); ok {
				made.Set(name, value)
			}
			query = made.Encode()
			if in != nil && membersOf(in).body {
				text = g.body(in, text)
			}
			switch size = int64(len(text)); g.IntN(16) {
			case 0:
				size++ // cut short
			case 1:
				size = -1
			}
			g.header(header)
		}
		n = n.fuzzed(t, r, names, query, text, size, header)
	})
}

// fuzzed sends one request and judges the answer and what is left. It gives the
// node for the next one.
func (n *furnished) fuzzed(t *testing.T, r *route, names [maxNamed]string, query, text string, size int64, header map[string]string) *furnished {
	before := n.state(t)
	w := n.send(t, r, names, query, strings.NewReader(text), size, header)
	said := func() string {
		return r.operation + " " + strings.Join(names[:], " ") + " ?" + query + "\n" + text + "\n" + w.Result().Status + " " + w.Body.String() + "\n" + n.log.String()
	}
	if w.Code >= 500 || w.Header().Get("X-Amzn-Requestid") == "" {
		t.Fatal("the platform is at fault: " + said())
	}
	if open := descriptors(t); open > n.open+spareDescriptors {
		t.Fatalf("%d files are open, %d were: %s", open, n.open, said())
	}
	if w.Code >= 300 {
		var e struct{ Message *string }
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == nil || w.Header().Get("X-Amzn-Errortype") == "" {
			t.Fatal("not the shape of an error: " + said())
		}
		if after := n.state(t); after != before {
			t.Fatalf("what was refused changed something: %s\nbefore %s\nafter %s", said(), before, after)
		}
		if left := n.left(); left != nil {
			t.Fatalf("what was refused left %v: %s", left, said())
		}
		return n
	}
	if r.method == "GET" || strings.HasPrefix(r.operation, "Invoke") {
		if after := n.state(t); after != before {
			t.Fatalf("what only reads changed something: %s\nbefore %s\nafter %s", said(), before, after)
		}
		return n
	}
	n.settle(t)
	if left := n.left(); left != nil {
		t.Fatalf("after what was done there is left %v: %s", left, said())
	}
	if n.changes++; r.method == "DELETE" || n.changes >= maxChanges {
		n.remove(t)
		n = furnishedNode(t)
	}
	return n
}

// remove closes a node and removes what it has.
func (n *furnished) remove(t testing.TB) {
	t.Helper()
	if err := errors.Join(n.close(), os.RemoveAll(n.dir)); err != nil {
		t.Error(err)
	}
}

// settle waits until no update is under way.
func (n *furnished) settle(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		list, _, err := n.catalog.List("", 10000, true)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(list, func(v *alcove.Version) bool {
			return v.State == alcove.StatePending || v.Update == alcove.UpdateInProgress
		}) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("an update does not end")
		}
	}
}

// state is what the catalog holds, as text.
func (n *furnished) state(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	put := func(v any) {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	list, _, err := n.catalog.List("", 10000, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		put(v)
		ref := alcove.Ref{Name: v.Name, Qualifier: v.Number}
		if v.Number == alcove.Latest {
			ref.Qualifier = ""
			function, _ := n.catalog.Function(v.Name) // it may be gone by now, and so say the answers below
			aliases, _, _ := n.catalog.Aliases(v.Name, "", "", 10000)
			urls, _, _ := n.catalog.URLs(v.Name, "", 10000)
			events, _, _ := n.catalog.EventInvokes(v.Name, "", 10000)
			provisioned, _, _ := n.catalog.ProvisionedConfigs(v.Name, "", 10000)
			put([]any{function, aliases, urls, events, provisioned})
		}
		policy, _ := n.catalog.Policy(ref) // most have none
		put(policy)
	}
	latest, _, _ := n.catalog.LatestLayers("", 10000, anyLayer)
	for _, l := range latest {
		versions, _, _ := n.catalog.LayerVersions(l.Name, "", 10000, anyLayer)
		for _, v := range versions {
			policy, revision, _ := n.catalog.LayerPolicy(v.Name, v.Number)
			put([]any{v, policy, revision})
		}
	}
	signings, _, _ := n.catalog.Signings("", 10000)
	put(signings)
	return b.String()
}

// left gives the files of packages that nothing refers to, and temporary ones,
// once what removes them had its time.
func (n *furnished) left() (files []string) {
	for deadline := time.Now().Add(slow.Patience(time.Minute)); ; time.Sleep(time.Millisecond) {
		if files = n.unreferenced(); files == nil || time.Now().After(deadline) {
			return files
		}
	}
}

func (n *furnished) unreferenced() (files []string) {
	wanted := map[string]bool{}
	all, _, _ := n.catalog.List("", 10000, true)
	for _, v := range append(all, n.catalog.All()...) { // what an update replaces runs until it is done
		for _, sha := range v.Packages() {
			wanted[sha] = true
		}
	}
	latest, _, _ := n.catalog.LatestLayers("", 10000, anyLayer)
	for _, l := range latest {
		versions, _, _ := n.catalog.LayerVersions(l.Name, "", 10000, anyLayer)
		for _, v := range versions {
			wanted[v.Code.SHA256] = true
		}
	}
	_ = filepath.WalkDir(filepath.Join(n.dir, "artifact"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		name, parent := d.Name(), filepath.Base(filepath.Dir(path))
		switch {
		case parent == "tmp", len(name) == 64 && !wanted[name]:
			files = append(files, path)
		case len(name) != 64:
			return nil
		}
		if d.IsDir() {
			return filepath.SkipDir // a tree
		}
		return nil
	})
	return files
}

func anyLayer(*catalog.LayerVersion) bool { return true }

func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestEveryRouteHasAFuzzTarget compares fuzzroutes_test.go with the table.
func TestEveryRouteHasAFuzzTarget(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "fuzzroutes_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			call := f.Body.List[0].(*ast.ExprStmt).X.(*ast.CallExpr)
			operation := strings.Trim(call.Args[1].(*ast.BasicLit).Value, `"`)
			if f.Name.Name != "FuzzRoute"+operation {
				t.Errorf("%s is of %s", f.Name.Name, operation)
			}
			targets = append(targets, operation)
		}
	}
	var operations []string
	for _, r := range table() {
		operations = append(operations, r.operation)
	}
	slices.Sort(operations)
	slices.Sort(targets)
	if !slices.Equal(operations, targets) {
		t.Errorf("targets %v\nare not the operations %v", targets, operations)
	}
}

// TestValidRequestsSucceed keeps the fuzz targets near what does something.
func TestValidRequestsSucceed(t *testing.T) {
	n := furnishedNode(t)
	defer func() { n.remove(t) }()
	for _, r := range table() {
		if r.serve == nil || r.operation == "GetResourcePolicy" {
			continue
		}
		t.Run(r.operation, func(t *testing.T) {
			names, query := n.target(&r)
			for _, text := range append([]string{n.validBody(r.operation)}, moreBodies[r.operation]...) {
				w := n.send(t, &r, names, query, strings.NewReader(text), int64(len(text)), nil)
				if w.Code >= 300 {
					t.Errorf("%s: %d %s", text, w.Code, w.Body)
				}
				n.settle(t)
				if left := n.left(); left != nil {
					t.Errorf("%s leaves %v", text, left)
				}
				if r.method != "GET" && r.operation != "Invoke" {
					n.remove(t)
					n = furnishedNode(t)
				}
			}
		})
	}
}
