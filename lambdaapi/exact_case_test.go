package lambdaapi

import (
	"encoding/json"
	"reflect"
	"testing"
)

type caseInner struct{ Name, Other *string }

type caseOuter struct {
	FunctionName *string `from:"path"`
	caseInner
	Nested *caseInner
	Many   []caseInner
	Map    map[string]string
	Raw    json.RawMessage
}

func TestMembersOfAnotherCaseAreUnknown(t *testing.T) {
	m := membersOf(reflect.TypeFor[caseOuter]())
	for in, want := range map[string]string{
		`{"Name":"a","name":"b"}`:                          `{"Name":"a","_ame":"b"}`,
		`{"name":"b"}`:                                     `{"_ame":"b"}`,
		` { "NAME" : "\"name" , "Other":"Name" } `:         ` { "_AME" : "\"name" , "Other":"Name" } `,
		`{"Nested":{"name":1,"Name":[{"name":2}]}}`:        `{"Nested":{"_ame":1,"Name":[{"name":2}]}}`,
		`{"Many":[{"name":1},{"Name":{}}, {"oTHER":"]"}]}`: `{"Many":[{"_ame":1},{"Name":{}}, {"_THER":"]"}]}`,
		`{"Map":{"name":"x","NAME":"y"},"other":true}`:     `{"Map":{"name":"x","NAME":"y"},"_ther":true}`,
		`{"Raw":{"name":[1,{"Name":-2e3}]},"name":null}`:   `{"Raw":{"name":[1,{"Name":-2e3}]},"_ame":null}`,
		`{"functionname":"x","unknown":{"name":"y"}}`:      `{"functionname":"x","unknown":{"name":"y"}}`,
		`{"nested":{"name":1},"Name":"\\","name":0}`:       `{"_ested":{"name":1},"Name":"\\","_ame":0}`,
		`{"Nested":null,"Many":"name","name":[]}`:          `{"Nested":null,"Many":"name","_ame":[]}`,
		`{"\u006eame":1,"\u004eame":2,"\\name":3}`:         `{"_u006eame":1,"\u004eame":2,"\\name":3}`,
		`{"neſted":{}}`:                                    `{"_eſted":{}}`,
		// What is no JSON is left to the decoder.
		`{"name"`: `{"_ame"`, `{"name":`: `{"_ame":`, `{"Name":"`: `{"Name":"`, `[`: `[`, ``: ``, `{"a":{]`: `{"a":{]`, `{,}`: `{,}`, `nul`: `nul`,
	} {
		body := []byte(in)
		m.mask(body)
		if string(body) != want {
			t.Errorf("%s became %s\nwant %s", in, body, want)
		}
	}
}

// FuzzExactCase compares with reading every object into a map first, which takes
// names as they are.
func FuzzExactCase(f *testing.F) {
	for _, seed := range []string{`{"Name":"a","name":"b"}`, `{"Nested":{"NAME":"x","Other":"y"},"Many":[{"name":"c"},{"Name":"d"}],"Map":{"name":"e"}}`, `{"name":"\u0041","Name":null}`, `[{}]`, `{"a":[[{"name":1}]]}`} {
		f.Add([]byte(seed))
	}
	m := membersOf(reflect.TypeFor[caseOuter]())
	f.Fuzz(func(t *testing.T, body []byte) {
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil {
			m.mask(body) // does not fail
			return
		}
		masked := append([]byte{}, body...)
		m.mask(masked)
		var have struct{ Name json.RawMessage }
		if err := json.Unmarshal(masked, &have); err != nil {
			t.Fatalf("%s became %s: %v", body, masked, err)
		}
		if string(have.Name) != string(object["Name"]) {
			t.Fatalf("%s became %s: Name is %s, not %s", body, masked, have.Name, object["Name"])
		}
	})
}
