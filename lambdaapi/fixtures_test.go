package lambdaapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
)

// fixture is a file of the SDK's module: a request without its method and path,
// or a response.
type fixture struct {
	name   string // of the operation or the exception
	first  string // "POST /path" or "200"
	header http.Header
	body   []byte
}

// fixtures reads the files of the SDK's module whose names end so.
func fixtures(t *testing.T, dir, suffix string) (list []fixture) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/lambda").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), dir, "*"+suffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d fixtures: %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := fixture{name: strings.TrimSuffix(filepath.Base(file), suffix), header: http.Header{}}
		// A request has an empty line after its first.
		first, rest, _ := bytes.Cut(b, []byte("\n"))
		f.first, rest = string(first), bytes.TrimPrefix(rest, []byte("\n"))
		for {
			line, more, found := bytes.Cut(rest, []byte("\n"))
			if rest = more; len(line) == 0 || !found {
				break
			}
			key, value, _ := strings.Cut(string(line), ": ")
			f.header.Set(key, value)
		}
		f.body = rest
		list = append(list, f)
	}
	return list
}

// notRead are members of requests that operations do not look at, each for its
// reason. What is refused by name is read.
var notRead = map[string]string{
	"ListFunctions MasterRegion":          "is about Lambda@Edge",
	"Invoke X-Amz-Durable-Execution-Name": "is a header",
}

// TestRequestFixtures sees that every request as the SDK writes it comes to its
// operation, and that the operation reads every member.
func TestRequestFixtures(t *testing.T) {
	a := newRealNode(t).api
	for _, f := range fixtures(t, "request_snapshot", ".request.snap") {
		t.Run(f.name, func(t *testing.T) { replayRequest(t, a, f) })
	}
}

func replayRequest(t *testing.T, a *API, f fixture) {
	method, target, _ := strings.Cut(f.first, " ")
	path, rawQuery, _ := strings.Cut(target, "?")
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		t.Fatal(err)
	}
	route, params, err := a.find(method, path, query)
	if err != nil || route.operation != f.name {
		t.Fatalf("it comes to %v, %v", route, err)
	}
	if route.serve == nil {
		return // routed, no more
	}
	defer func() { conformance.count(countRequests, f.name, !t.Failed()) }()
	if route.serve.in == nil {
		return
	}
	in := reflect.New(route.serve.in)
	m := membersOf(route.serve.in)
	if err := decode(f.body, in.Interface()); m.body && err != nil {
		// A blob of a fixture is no zip file, but it is Base64.
		t.Errorf("%s: %v", f.name, err)
	}
	var fails failures
	m.bind(&fails, &call{route: route, params: params, query: query}, in.Elem())
	var sent any
	if len(bytes.TrimSpace(f.body)) > 0 {
		if err := json.Unmarshal(f.body, &sent); err != nil {
			t.Fatal(err)
		}
	} else {
		sent = map[string]any{}
	}
	for _, path := range leaves("", sent) {
		if _, skip := notRead[f.name+" "+path]; !skip && !has(in.Elem(), strings.Split(path, ".")) {
			t.Errorf("%s does not read %s", f.name, path)
		}
	}
	for name := range query {
		if _, skip := notRead[f.name+" "+name]; skip || name == "List" || name == "find" { // those choose the operation
			continue
		}
		if !m.reads(name) {
			t.Errorf("%s does not read the parameter %s", f.name, name)
		}
	}
}

// reads says whether a member comes from that parameter of the query.
func (m *members) reads(parameter string) bool {
	return slices.ContainsFunc(m.list, func(one member) bool { return one.source == fromQuery && one.key == parameter }) ||
		slices.ContainsFunc(m.embeds, func(e embedded) bool { return e.of.reads(parameter) })
}

// leaves gives the paths of all members of a JSON value that are not objects;
// what a list has first stands for the list.
func leaves(prefix string, v any) (list []string) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			list = append(list, leaves(strings.TrimPrefix(prefix+"."+key, "."), v[key])...)
		}
		if len(v) > 0 {
			return list
		}
	case []any:
		if len(v) > 0 {
			return leaves(prefix, v[0])
		}
	}
	if prefix == "" {
		return nil
	}
	return []string{prefix}
}

// has says whether a struct has a value at a path.
func has(v reflect.Value, path []string) bool {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return false
		}
		v = v.Elem()
	}
	if len(path) == 0 {
		return v.IsValid()
	}
	switch v.Kind() {
	case reflect.Struct:
		f := v.FieldByName(path[0])
		return f.IsValid() && !f.IsZero() && has(f, path[1:])
	case reflect.Map:
		f := v.MapIndex(reflect.ValueOf(path[0]))
		return f.IsValid() && has(f, path[1:])
	case reflect.Slice:
		return v.Len() > 0 && (v.Type().Elem().Kind() == reflect.Uint8 || has(v.Index(0), path))
	}
	return false
}

// answers are what operations answer with. Operations without a body are not
// here.
var answers = map[string]any{
	"AddLayerVersionPermission":       struct{ Statement, RevisionId string }{},
	"AddPermission":                   struct{ Statement string }{},
	"CreateAlias":                     aliasConfiguration{},
	"CreateCodeSigningConfig":         signingOutput{},
	"CreateFunction":                  functionConfiguration{},
	"CreateFunctionUrlConfig":         urlCreated{},
	"GetAccountSettings":              accountSettingsOutput{},
	"GetAlias":                        aliasConfiguration{},
	"GetCodeSigningConfig":            signingOutput{},
	"GetFunction":                     getFunctionOutput{},
	"GetFunctionCodeSigningConfig":    functionSigningOutput{},
	"GetFunctionConcurrency":          concurrencyOutput{},
	"GetFunctionConfiguration":        functionConfiguration{},
	"GetFunctionEventInvokeConfig":    eventInvokeOutput{},
	"GetFunctionRecursionConfig":      recursionOutput{},
	"GetFunctionUrlConfig":            urlOutput{},
	"GetLayerVersion":                 layerOutput{},
	"GetLayerVersionByArn":            layerOutput{},
	"GetLayerVersionPolicy":           policyOutput{},
	"GetPolicy":                       policyOutput{},
	"GetResourcePolicy":               policyOutput{},
	"GetRuntimeManagementConfig":      runtimeManagementOutput{},
	"PutProvisionedConcurrencyConfig": provisionedOutput{}, "GetProvisionedConcurrencyConfig": provisionedOutput{},
	"ListProvisionedConcurrencyConfigs": listProvisionedOutput{},
	"ListAliases":                       listAliasesOutput{},
	"ListCodeSigningConfigs":            listSigningOutput{},
	"ListFunctionEventInvokeConfigs":    listEventInvokesOutput{},
	"ListFunctionUrlConfigs":            listURLsOutput{},
	"ListFunctions":                     listFunctionsOutput{},
	"ListFunctionsByCodeSigningConfig":  listSignedOutput{},
	"ListLayerVersions":                 listLayerVersionsOutput{},
	"ListLayers":                        listLayersOutput{},
	"ListTags":                          listTagsOutput{},
	"ListVersionsByFunction":            listVersionsOutput{},
	"PublishLayerVersion":               layerOutput{},
	"PublishVersion":                    functionConfiguration{},
	"PutFunctionCodeSigningConfig":      functionSigningOutput{},
	"PutFunctionConcurrency":            concurrencyOutput{},
	"PutFunctionEventInvokeConfig":      eventInvokeOutput{},
	"PutFunctionRecursionConfig":        recursionOutput{},
	"PutResourcePolicy":                 policyOutput{},
	"PutRuntimeManagementConfig":        runtimeManagementOutput{},
	"UpdateAlias":                       aliasConfiguration{},
	"UpdateCodeSigningConfig":           signingOutput{},
	"UpdateFunctionCode":                functionConfiguration{},
	"UpdateFunctionConfiguration":       functionConfiguration{},
	"UpdateFunctionEventInvokeConfig":   eventInvokeOutput{},
	"UpdateFunctionUrlConfig":           urlOutput{},
}

// notAnswered are members of answers that belong to what this program does not
// have; wherever they are.
var notAnswered = []string{
	"CapacityProviderConfig", "ConfigSha256", "DurableConfig", "FileSystemConfigs", "KMSKeyArn", "MasterArn",
	"SigningJobArn", "SigningProfileVersionArn", "VpcConfig", "Environment.Error", "RuntimeVersionConfig.Error", "ImageConfigResponse.Error",
	"Code.Error", "Code.ResolvedS3Object", "Code.SourceKMSKeyArn", "Content.ResolvedS3Object", "TagsError",
}

// TestResponseFixtures sees that what operations answer is what the SDK reads:
// no member of ours is one that AWS does not have or of another kind, and none of
// AWS's is missing that is not listed above.
func TestResponseFixtures(t *testing.T) {
	bodies := map[string][]byte{}
	for _, f := range fixtures(t, "response_snapshot", ".response.snap") {
		bodies[f.name] = f.body
	}
	for _, r := range table() {
		// Invoke answers with the function's bytes; deleteFunction says why it has no body;
		// event source mappings there are none of.
		if _, ok := answers[r.operation]; !ok && r.serve != nil && !slices.Contains([]string{"Invoke", "InvokeAsync", "DeleteFunction", "ListEventSourceMappings"}, r.operation) && len(bytes.TrimSpace(bodies[r.operation])) > 0 {
			t.Errorf("nothing is known of what %s answers", r.operation)
		}
	}
	for operation, zero := range answers {
		t.Run(operation, func(t *testing.T) {
			compareResponse(t, operation, bodies[operation], zero)
			conformance.count(countResponses, operation, !t.Failed())
		})
	}
}

func compareResponse(t *testing.T, operation string, body []byte, zero any) {
	var want any
	if err := json.Unmarshal(body, &want); err != nil {
		t.Fatal(err)
	}
	// All of ours at once: every pointer set, every list and map with one.
	ours := reflect.New(reflect.TypeOf(zero)).Elem()
	fill(ours, 9)
	b, err := json.Marshal(ours.Interface())
	if err != nil {
		t.Fatal(err)
	}
	var have any
	if err := json.Unmarshal(b, &have); err != nil {
		t.Fatal(err)
	}
	compare(t, operation, "", have, want)
}

func compare(t *testing.T, operation, path string, have, want any) {
	t.Helper()
	missing := func(path string) bool {
		return !slices.ContainsFunc(notAnswered, func(m string) bool { return path == m || strings.HasSuffix(path, "."+m) })
	}
	switch want := want.(type) {
	case map[string]any:
		object, ok := have.(map[string]any)
		if !ok {
			t.Errorf("%s: %s is %T, the SDK's an object", operation, path, have)
			return
		}
		if _, free := want["key0"]; free { // a map, not a structure
			for _, v := range object {
				compare(t, operation, path+".*", v, want["key0"])
			}
			return
		}
		for key, v := range object {
			if _, ok := want[key]; !ok {
				t.Errorf("%s answers %s.%s, which AWS has not", operation, path, key)
				continue
			}
			compare(t, operation, path+"."+key, v, want[key])
		}
		for key := range want {
			if _, ok := object[key]; !ok && missing(path+"."+key) {
				t.Errorf("%s does not answer %s.%s", operation, path, key)
			}
		}
	case []any:
		list, ok := have.([]any)
		if !ok || len(list) == 0 {
			t.Errorf("%s: %s is %T, the SDK's a list", operation, path, have)
			return
		}
		compare(t, operation, path, list[0], want[0])
	default:
		if reflect.TypeOf(have) != reflect.TypeOf(want) {
			t.Errorf("%s: %s is %T, the SDK's %T", operation, path, have, want)
		}
	}
}

// TestErrorFixtures sees that every exception of the model has AWS's status, the
// spelling of its text and a Type member.
func TestErrorFixtures(t *testing.T) {
	a := newRealNode(t).api
	for _, f := range fixtures(t, "response_snapshot", ".error.snap") {
		var want map[string]string
		if err := json.Unmarshal(f.body, &want); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		a.writeError(w, httptest.NewRequest("GET", "/", nil), "id", "Op", alcove.ClientError(f.name, "%s", "__Message__"))
		var have map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &have); err != nil {
			t.Fatal(err)
		}
		// The name is in the header; two exceptions have a member of their own.
		have["__type"], have["Type"] = w.Header().Get("X-Amzn-Errortype"), "__Type__"
		for _, own := range []string{"Reason", "EC2ErrorCode"} {
			if v, ok := want[own]; ok {
				have[own] = v
			}
		}
		same := strconv.Itoa(w.Code) == f.first && maps.Equal(have, want)
		conformance.count(countShapes, f.name, same)
		if !same {
			t.Errorf("%s: %d %v\nwant %s %v", f.name, w.Code, have, f.first, want)
		}
	}
}
