package lambdaapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/auth/policy"
	"github.com/alcove-run/alcove/catalog"
)

// refusing knows who calls and lets nobody do anything.
type refusing struct {
	fakeAuth
	asked []auth.Operation
}

func (r *refusing) Authorize(_ alcove.Caller, o auth.Operation) (*auth.Scope, error) {
	r.asked = append(r.asked, o)
	return nil, alcove.ClientError("AccessDeniedException", "User: x is not authorized")
}

// nothing is a catalog that has nothing of what policies ask about, and panics at
// whatever else is asked of it.
type nothing struct{ Catalog }

func (nothing) Signing(string) (*catalog.SigningConfig, error) { return nil, errors.New("none") }

func (nothing) Policy(alcove.Ref) (catalog.Policy, error) {
	return catalog.Policy{}, errors.New("none")
}

func (nothing) URL(alcove.Ref) (catalog.URLEntry, error) {
	return catalog.URLEntry{}, alcove.NotFound("")
}

func (nothing) LayerPolicy(string, int) (string, string, error) { return "", "", alcove.NotFound("") }

// subjects are what operations are authorised on, when all that a request can
// name is there: function f, qualifier q, layer l in version 3, and so on.
// Operations that are not listed are about the function f.
var subjects = map[string][]string{
	"f:q": {"AddPermission", "RemovePermission", "GetPolicy", "DeleteFunction", "GetFunction", "GetFunctionConfiguration", "Invoke",
		"InvokeWithResponseStream", "DeleteFunctionEventInvokeConfig", "GetFunctionEventInvokeConfig", "PutFunctionEventInvokeConfig",
		"UpdateFunctionEventInvokeConfig", "CreateFunctionUrlConfig", "DeleteFunctionUrlConfig", "GetFunctionUrlConfig", "UpdateFunctionUrlConfig",
		"DeleteProvisionedConcurrencyConfig", "GetProvisionedConcurrencyConfig", "PutProvisionedConcurrencyConfig", "GetRuntimeManagementConfig",
		"PutRuntimeManagementConfig", "DeleteResourcePolicy", "GetResourcePolicy", "PutResourcePolicy"},
	"*": {"CreateCodeSigningConfig", "GetAccountSettings", "ListCodeSigningConfigs", "ListEventSourceMappings", "ListFunctions", "ListLayers"},
	"arn:aws:lambda:us-east-1:000000000000:layer:l": {"ListLayerVersions", "PublishLayerVersion"},
	"arn:aws:lambda:us-east-1:000000000000:layer:l:3": {"AddLayerVersionPermission", "DeleteLayerVersion", "GetLayerVersion",
		"GetLayerVersionByArn", "GetLayerVersionPolicy", "RemoveLayerVersionPermission"},
	"arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-12345678901234567": {"DeleteCodeSigningConfig", "GetCodeSigningConfig",
		"ListFunctionsByCodeSigningConfig", "UpdateCodeSigningConfig"},
}

// TestEveryRouteIsAuthorised sends a request to every route that is served: nothing
// is done before the caller is known to be allowed it, by the action that IAM has
// for it, on what the request names.
func TestEveryRouteIsAuthorised(t *testing.T) {
	want := map[string]string{}
	for subject, operations := range subjects {
		for _, o := range operations {
			want[o] = subject
		}
	}
	arn := place.FunctionARN("f")
	fill := strings.NewReplacer("{FunctionName}", "f", "{Name}", "a", "{LayerName}", "l", "{VersionNumber}", "03", "{StatementId}", "s",
		"{CodeSigningConfigArn}", url.PathEscape(place.SigningARN("csc-12345678901234567")), "{ResourceArn}", url.PathEscape(arn+":q"), "{Resource}", url.PathEscape(arn))
	who := &refusing{}
	api := New(Config{Place: place, Auth: who, Catalog: nothing{}}) // whatever else is reached behind it panics
	for _, r := range table() {
		if r.serve == nil {
			continue
		}
		path := fill.Replace(r.path) + "?Qualifier=q&Arn=" + url.QueryEscape(place.LayerARN("l")+":03") + "&" + r.query
		body := ""
		if r.operation == "CreateFunction" {
			b, err := json.Marshal(map[string]any{"FunctionName": arn, "Role": role, "Code": map[string]any{"ZipFile": []byte("zip")}, "Handler": "h", "Runtime": "python3.13"})
			if err != nil {
				t.Fatal(err)
			}
			body = string(b)
		}
		request := httptest.NewRequest(r.method, path, strings.NewReader(body))
		request.Header.Set("Authorization", root.AccessKeyID)
		request.Header.Set("X-Amz-Tenant-Id", "blue")
		w := httptest.NewRecorder()
		who.asked = nil
		api.ServeHTTP(w, request)
		if w.Code != http.StatusForbidden || w.Body.String() != `{"Message":"User: x is not authorized"}` || len(who.asked) != 1 {
			t.Errorf("%s: %d %s, asked %v", r.operation, w.Code, w.Body, who.asked)
			continue
		}
		o := who.asked[0]
		subject := o.Resource
		if o.Function.Name != "" {
			subject = o.Function.Name
			if o.Function.Qualifier != "" {
				subject += ":" + o.Function.Qualifier
			}
		}
		expect, listed := want[r.operation]
		if !listed {
			expect = "f"
		}
		if subject != expect {
			t.Errorf("%s is authorised on %s, want %s", r.operation, subject, expect)
		}
		action := map[string]string{"Invoke": "lambda:InvokeFunction", "InvokeWithResponseStream": "lambda:InvokeFunction", "GetLayerVersionByArn": "lambda:GetLayerVersion"}[r.operation]
		if action == "" {
			action = "lambda:" + r.operation
		}
		// The old operation runs for no tenant, whatever header comes with it.
		tenant := action == "lambda:InvokeFunction"
		if invokes := tenant || action == "lambda:InvokeAsync"; o.Action != action || o.Invocation != invokes || o.Reported != invokes || (o.Tenant == "blue") != tenant {
			t.Errorf("%s is authorised as %+v", r.operation, o)
		}
	}
}

// TestNamesThatCannotBeRead stand for everything of their kind.
func TestNamesThatCannotBeRead(t *testing.T) {
	who := &refusing{}
	api := New(Config{Place: place, Auth: who})
	for path, want := range map[string]string{
		"/2015-03-31/functions/f%2Fg":                                    "*",
		"/2015-03-31/functions/f:1?Qualifier=2":                          "*",
		"/2015-03-31/functions/f?Qualifier=%2B":                          "*",
		"/2015-03-31/functions/111111111111:function:f":                  "*",
		"/2015-03-31/functions/f:q/versions":                             "f",
		"/2017-03-31/tags/" + url.PathEscape(place.FunctionARN("f:q")):   "f",
		"/2018-10-31/layers/arn:aws:lambda:us-east-1:1:layer:l/versions": place.LayerARN("*"),
		"/2018-10-31/layers/l/versions/x":                                place.LayerARN("*"),
		"/2018-10-31/layers?find=LayerVersion":                           place.LayerARN("*"),
	} {
		request := httptest.NewRequest("GET", path, nil)
		request.Header.Set("Authorization", root.AccessKeyID)
		w := httptest.NewRecorder()
		who.asked = nil
		api.ServeHTTP(w, request)
		if w.Code != http.StatusForbidden || len(who.asked) != 1 || who.asked[0].Function.Name+who.asked[0].Resource != want || who.asked[0].Function.Qualifier != "" {
			t.Errorf("%s: %d, asked %+v, want %s", path, w.Code, who.asked, want)
		}
	}
}

func TestARouteWithoutASubjectIsADefect(t *testing.T) {
	for _, r := range []route{
		{"GET", "/2015-03-31/novelties", "", "ListNovelties", 0, nil},
		{"GET", "/2015-03-31/novelties/{NoveltyName}", "", "GetNovelty", 0, nil},
	} {
		if g, err := grantOf(&r); err == nil {
			t.Errorf("%s is authorised as %+v", r.operation, g)
		}
	}
}

// TestPoliciesSeeWhatIsAsked sends requests with all that conditions may ask about.
func TestPoliciesSeeWhatIsAsked(t *testing.T) {
	n := furnishedNode(t)
	defer n.remove(t)
	who := &refusing{}
	n.api.Auth = who
	arn := n.names.Replace
	tags := policy.Asked{Tags: map[string]string{"b": "1", "a": "2"}, TagKeys: []string{"a", "b"}}
	create := tags
	create.Layers, create.SigningConfig = []string{arn("LAYER:1")}, arn("SIGNING")
	for _, c := range []struct {
		operation, query, body string
		want                   policy.Asked
	}{
		{"CreateFunction", "", strings.TrimSuffix(validBodies["CreateFunction"], "}") + arn(`,"Tags":{"b":"1","a":"2"},"Layers":["LAYER:1"],"CodeSigningConfigArn":"SIGNING"}`), create},
		{"UpdateFunctionConfiguration", "", arn(`{"Layers":["LAYER:1"]}`), policy.Asked{Layers: create.Layers}},
		{"UpdateFunctionConfiguration", "", `{"Timeout":3}`, policy.Asked{}},
		{"PutFunctionCodeSigningConfig", "", arn(`{"CodeSigningConfigArn":"SIGNING"}`), policy.Asked{SigningConfig: arn("SIGNING")}},
		{"CreateCodeSigningConfig", "", strings.TrimSuffix(validBodies["CreateCodeSigningConfig"], "}") + `,"Tags":{"b":"1","a":"2"}}`, tags},
		{"TagResource", "", `{"Tags":{"b":"1","a":"2"}}`, tags},
		{"UntagResource", "tagKeys=b&tagKeys=a", "", policy.Asked{TagKeys: []string{"b", "a"}}},
		{"AddPermission", "", `{"StatementId":"u","Action":"lambda:InvokeFunctionUrl","Principal":"sns.amazonaws.com","FunctionUrlAuthType":"NONE"}`,
			policy.Asked{Principal: "sns.amazonaws.com", URLAuthType: "NONE"}},
		{"RemovePermission", "", "", policy.Asked{Principal: "*"}},
		{"CreateFunctionUrlConfig", "", `{"AuthType":"AWS_IAM"}`, policy.Asked{URLAuthType: "AWS_IAM"}},
		{"UpdateFunctionUrlConfig", "", `{"AuthType":"AWS_IAM"}`, policy.Asked{URLAuthType: "AWS_IAM"}},
		{"UpdateFunctionUrlConfig", "", `{"InvokeMode":"BUFFERED"}`, policy.Asked{URLAuthType: "NONE"}},
		{"GetFunctionUrlConfig", "", "", policy.Asked{URLAuthType: "NONE"}},
		{"DeleteFunctionUrlConfig", "", "", policy.Asked{URLAuthType: "NONE"}},
		{"TagResource", "", `{"Tags":`, policy.Asked{}}, // who may not is not told that it is no JSON
	} {
		who.asked = nil
		routes := table()
		r := &routes[slices.IndexFunc(routes, func(r route) bool { return r.operation == c.operation })]
		names, _ := n.target(r)
		w := n.send(t, r, names, c.query, strings.NewReader(c.body), int64(len(c.body)), nil)
		if w.Code != 403 || len(who.asked) != 1 || !reflect.DeepEqual(who.asked[0].Asked, c.want) {
			t.Errorf("%s %s: %d, asked %+v", c.operation, c.body, w.Code, who.asked)
		}
	}
}

// onlyLayers lets everything but layers pass.
type onlyLayers struct {
	fakeAuth
	asked []auth.Operation
}

func (o *onlyLayers) Authorize(_ alcove.Caller, op auth.Operation) (*auth.Scope, error) {
	if op.Action != getLayerAction {
		return nil, nil
	}
	o.asked = append(o.asked, op)
	return nil, alcove.ClientError("AccessDeniedException", "not this layer")
}

// TestLayersAreAuthorised: who may not get a layer may not have a function use it,
// and the layer's own policy is there to be looked at.
func TestLayersAreAuthorised(t *testing.T) {
	n := furnishedNode(t)
	defer n.remove(t)
	who := &onlyLayers{}
	n.api.Auth = who
	arn := n.names.Replace("LAYER:1")
	before := n.state(t)
	for _, c := range []struct {
		operation, body string
		implied         bool
	}{
		{"CreateFunction", strings.TrimSuffix(validBodies["CreateFunction"], "}") + `,"Layers":["` + arn + `"]}`, true},
		{"UpdateFunctionConfiguration", `{"Layers":["` + arn + `"]}`, true},
		{"GetLayerVersion", "", false},
		{"GetLayerVersionByArn", "", false},
	} {
		who.asked = nil
		routes := table()
		r := &routes[slices.IndexFunc(routes, func(r route) bool { return r.operation == c.operation })]
		names, query := n.target(r)
		w := n.send(t, r, names, query, strings.NewReader(c.body), int64(len(c.body)), nil)
		if w.Code != 403 || len(who.asked) != 1 || who.asked[0].Resource != arn || !strings.Contains(who.asked[0].Policy, `"Sid":"s"`) ||
			who.asked[0].Implied != c.implied {
			t.Errorf("%s: %d %s, asked %+v", c.operation, w.Code, w.Body, who.asked)
		}
	}
	if after := n.state(t); after != before {
		t.Errorf("what was refused changed something:\n%s\n%s", before, after)
	}
}
