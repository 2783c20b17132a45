package lambdaapi

import (
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"reflect"
	"strings"
)

// generator makes requests of an operation at random, near enough to valid ones
// to come past the first check: the types of members are those of the request's
// struct, values are a valid request's, the ends of ranges, or of another kind.
type generator struct {
	*rand.Rand
	names *strings.Replacer // see realNode.names
}

// edges are texts that something in the API may stumble over.
var edges = []string{"", " ", "x", "$LATEST", "$LATEST.PUBLISHED", "live", "1", "0", "-1", "99999999999999999999", "*", "..", "../../x", "a b", "é\u0000", "\u202e",
	"aws:x", "%2F", "f:1", "f:live", "NAME", "FUNCTION", "FUNCTION:1", "FUNCTION:live", "LAYER", "LAYER:1", "SIGNING", "Enforce", "RESPONSE_STREAM", "JSON", "Text", "Image", "PER_TENANT", "r/one",
	"arn:aws:sqs:us-east-1:000000000000:q", "arn:aws:iam::000000000000:root", "arn:aws:iam::000000000000:role/r", "python3.11", "python3.15", "{}", `{"Version":"2012-10-17"}`}

func (g *generator) text(valid string) string {
	switch g.IntN(8) {
	case 0:
		return g.names.Replace(edges[g.IntN(len(edges))])
	case 1:
		return strings.Repeat("a", 1<<g.IntN(12))
	case 2:
		return valid + edges[g.IntN(len(edges))]
	}
	return valid
}

var numbers = []any{0, 1, 2, 3, -1, 50, 51, 60, 128, 512, 899, 900, 901, 10000, 10001, 10240, 21600, 21601, 1 << 31, 1 << 53, 0.5, 1.5, 1e300}

// value makes a value of a type; valid is one that a valid request has there, or
// nil.
func (g *generator) value(t reflect.Type, valid any, depth int) any {
	switch g.IntN(40) {
	case 0:
		return nil
	case 1:
		return []any{"x", 1, 0.5, true, []any{}, []any{nil}, map[string]any{}, map[string]any{"x": nil}}[g.IntN(8)]
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		object, _ := valid.(map[string]any)
		return g.object(t, object, depth)
	case reflect.Map:
		made := map[string]any{}
		object, _ := valid.(map[string]any)
		for key, v := range object {
			made[g.text(key)] = g.value(t.Elem(), v, depth-1)
		}
		for range g.IntN(3) * (1 + 60*g.IntN(2)) {
			made[g.text("k")+g.text("")] = g.value(t.Elem(), nil, depth-1)
		}
		return made
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			text, _ := valid.(string)
			return g.text(text)
		}
		made := []any{}
		list, _ := valid.([]any)
		for _, v := range list {
			made = append(made, g.value(t.Elem(), v, depth-1))
		}
		for range g.IntN(3) * (1 + 60*g.IntN(2)) {
			made = append(made, g.value(t.Elem(), nil, depth-1))
		}
		return made
	case reflect.Bool:
		return g.IntN(2) == 0
	case reflect.Int, reflect.Float64:
		if valid != nil && g.IntN(3) > 0 {
			return valid
		}
		return numbers[g.IntN(len(numbers))]
	default:
		text, ok := valid.(string)
		if !ok {
			return g.names.Replace(edges[g.IntN(len(edges))])
		}
		return g.text(text)
	}
}

// object makes a JSON object with members of a struct.
func (g *generator) object(t reflect.Type, valid map[string]any, depth int) map[string]any {
	made := map[string]any{}
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Anonymous {
			for key, v := range g.object(field.Type, valid, depth) {
				made[key] = v
			}
			continue
		}
		v, known := valid[field.Name]
		// What a valid request has is left out seldom, what it has not is often.
		if odds := g.IntN(10); depth < 0 || known && odds == 0 || !known && odds > 2 {
			continue
		}
		made[field.Name] = g.value(field.Type, v, depth-1)
	}
	if g.IntN(8) == 0 {
		made[edges[g.IntN(len(edges))]] = "unknown"
	}
	return made
}

// body makes the body of a request.
func (g *generator) body(in reflect.Type, valid string) string {
	var object map[string]any
	_ = json.Unmarshal([]byte(valid), &object) // no object is an empty one
	text, err := json.Marshal(g.object(in, object, 4))
	if err != nil {
		panic(err) // it is made of what JSON has
	}
	return string(text)
}

// header adds headers that say how to invoke; nothing but invocations reads them.
func (g *generator) header(h map[string]string) {
	for _, one := range [][2]string{{"X-Amz-Tenant-Id", "blue"}, {"X-Amz-Invocation-Type", "Event"}, {"X-Amz-Log-Type", "Tail"}, {"X-Amz-Client-Context", "e30="},
		{traceHeader, "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"}, {"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		{"Tracestate", "a=b"}, {idempotencyHeader, "again"}, {explainHeader, "1"}} {
		if g.IntN(4) == 0 {
			h[one[0]] = g.text(one[1])
		}
	}
}

// query makes the query of a request.
func (g *generator) query(in reflect.Type, valid url.Values) url.Values {
	made := url.Values{}
	if in == nil {
		if g.IntN(2) == 0 {
			made.Set("Qualifier", g.text(valid.Get("Qualifier")))
		}
		return made
	}
	for i := range in.NumField() {
		field := in.Field(i)
		if field.Anonymous {
			for key, v := range g.query(field.Type, valid) {
				made[key] = v
			}
			continue
		}
		from, key, _ := strings.Cut(field.Tag.Get("from"), "=")
		if from != "query" {
			continue
		}
		if key == "" {
			key = field.Name
		}
		if !valid.Has(key) && g.IntN(3) > 0 {
			continue
		}
		made[key] = []string{g.text(valid.Get(key))}
		if g.IntN(16) == 0 {
			made[key] = append(made[key], g.text("x"))
		}
	}
	return made
}
