package lambdaapi

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Name *string `is:"Alias,required"`
}

type outer struct {
	FunctionName *string  `from:"path" is:"FunctionName"`
	Keys         []string `from:"query=tagKeys" is:",required"`
	MaxItems     *int     `from:"query" is:"MaxListItems"`
	inner
	Nested        *inner
	Many          []inner
	Weights       map[string]float64 `is:"AdditionalVersionWeights"`
	Architectures []string           `is:"ArchitecturesList"`
	checked       bool
}

func (o *outer) check(f *failures) { o.checked = true }

func readOuter(name, query, body string) (*outer, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		panic(err)
	}
	in := &outer{}
	c := &call{route: &route{path: "/2015-03-31/functions/{FunctionName}/aliases"}, params: params{name}, query: values, body: []byte(body)}
	return in, membersOf(reflect.TypeFor[outer]()).read(c, in)
}

func TestRequestIsReadFromPathQueryAndBody(t *testing.T) {
	in, err := readOuter("f", "tagKeys=a&tagKeys=b&MaxItems=3", `{"FunctionName":"other","MaxItems":0,"Name":"blue","Nested":{"Name":"b"},"Many":[{"Name":"c"}],"Weights":{"1":0.5},"unknown":1}`)
	if err != nil {
		t.Fatal(err)
	}
	if *in.FunctionName != "f" || *in.MaxItems != 3 || strings.Join(in.Keys, ",") != "a,b" || *in.Name != "blue" || *in.Nested.Name != "b" ||
		*in.Many[0].Name != "c" || in.Weights["1"] != 0.5 || !in.checked {
		t.Errorf("%+v", in)
	}
}

func TestAllFailuresAreCounted(t *testing.T) {
	_, err := readOuter("a b", "MaxItems=x", `{"Name":"12","Nested":{},"Many":[{"Name":"ok"},{"Name":"!"}],"Weights":{"$LATEST":2,"1":0.25},"Architectures":["mips"]}`)
	if err == nil {
		t.Fatal("taken")
	}
	text := err.Error()
	for _, want := range []string{
		"ValidationException: 9 validation errors detected: ",
		"Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:",
		"Value null at 'keys' failed to satisfy constraint: Member must not be null",
		"Value 'x' at 'maxItems' failed to satisfy constraint: Member must be an integer",
		"Value '12' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
		"Value null at 'nested.name' failed to satisfy constraint: Member must not be null",
		"Value '!' at 'many.2.member.name' failed",
		"Value '{$LATEST=2.0, 1=0.25}' at 'weights' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 1024, " +
			"Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+]",
		"Value '{$LATEST=2.0, 1=0.25}' at 'weights' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, " +
			"Member must have value greater than or equal to 0.0, Member must not be null]",
		"Value '[mips]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestRequestsNameTheirPaths sees that what a request takes from a path is there.
func TestRequestsNameTheirPaths(t *testing.T) {
	for _, r := range table() {
		if r.serve == nil || r.serve.in == nil {
			continue
		}
		var visit func(m *members)
		visit = func(m *members) {
			for _, e := range m.embeds {
				visit(e.of)
			}
			for _, one := range m.list {
				if one.source == fromPath && !strings.Contains(r.path, "{"+one.key+"}") {
					t.Errorf("%s takes %s from its path", r.operation, one.key)
				}
			}
		}
		visit(membersOf(r.serve.in))
	}
}
