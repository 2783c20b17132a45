package metricsapi

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// protocol is how a request is written, and its answer.
type protocol int

const (
	awsJSON protocol = iota // AWS JSON 1.0
	rpcCBOR                 // Smithy RPC v2, CBOR
	query                   // AWS Query, XML
)

// Names of the service in requests.
const (
	// Target is the prefix of X-Amz-Target.
	Target = "GraniteServiceVersion20100801."
	// Path is the prefix of paths of RPC v2.
	Path      = "/service/GraniteServiceVersion20100801/operation/"
	namespace = "http://monitoring.amazonaws.com/doc/2010-08-01/"
)

// detect says how a request is written, and which operation it names; a Query request
// names it in its body.
func detect(r *http.Request) (p protocol, name string, ok bool) {
	if name, ok := strings.CutPrefix(r.URL.Path, Path); ok {
		return rpcCBOR, name, r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor"
	}
	if name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), Target); ok {
		return awsJSON, name, true
	}
	return query, "", strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

// Bounds of what a request may consist of.
const (
	maxDepth      = 12
	maxElements   = 10_000
	maxParameters = 50_000
)

// parse gives a request's input as JSON, and for Query its operation.
func (p protocol) parse(body []byte, name *string) ([]byte, error) {
	switch p {
	case rpcCBOR:
		if len(body) == 0 {
			return []byte("{}"), nil
		}
		mode, err := cbor.DecOptions{MaxNestedLevels: maxDepth, MaxArrayElements: maxElements, MaxMapPairs: maxElements,
			DefaultMapType: mapType, DupMapKey: cbor.DupMapKeyEnforcedAPF}.DecMode()
		if err != nil { // a constant
			return nil, err
		}
		var tree any
		if err := mode.Unmarshal(body, &tree); err != nil {
			return nil, serialization("The request is not a CBOR map.")
		}
		// NaN and infinite numbers are none in JSON, and none to CloudWatch.
		text, err := json.Marshal(tree)
		if err != nil {
			return nil, invalidValue("A value of the request is no number that CloudWatch takes.")
		}
		return text, nil
	case query:
		form, err := url.ParseQuery(string(body))
		if err != nil || len(form) > maxParameters {
			return nil, serialization("The request is no form.")
		}
		*name = form.Get("Action")
		if v := form.Get("Version"); v != "" && v != "2010-08-01" {
			return nil, unknownOperation(*name)
		}
		delete(form, "Action")
		delete(form, "Version")
		tree, err := unflatten(form)
		if err != nil {
			return nil, err
		}
		return json.Marshal(tree)
	}
	if len(body) == 0 {
		return []byte("{}"), nil
	}
	if !json.Valid(body) {
		return nil, serialization("The request is not JSON.")
	}
	return body, nil
}

// unflatten makes a tree of a form's parameters: A.member.1.B=x is a list A whose first
// element has a member B.
func unflatten(form url.Values) (any, error) {
	root := make(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(form)) {
		parts := strings.Split(key, ".")
		if len(parts) > 2*maxDepth || len(form[key]) != 1 {
			return nil, serialization("The parameter " + key + " is nested too deeply, or given twice.")
		}
		at := root
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				if at[part] != nil {
					return nil, serialization("The parameter " + key + " is a value and has members.")
				}
				next = make(map[string]any)
				at[part] = next
			}
			at = next
		}
		last := parts[len(parts)-1]
		if at[last] != nil {
			return nil, serialization("The parameter " + key + " is a value and has members.")
		}
		at[last] = form.Get(key)
	}
	return lists(root), nil
}

// lists makes a list of every map whose one member is "member", in the order of the
// numbers.
func lists(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	if members, ok := m["member"].(map[string]any); ok && len(m) == 1 {
		type element struct {
			at int
			v  any
		}
		var list []element
		for key, v := range members {
			n, err := strconv.Atoi(key)
			if err != nil {
				n = 1 << 30
			}
			list = append(list, element{n, lists(v)})
		}
		slices.SortFunc(list, func(a, b element) int { return a.at - b.at })
		out := make([]any, len(list))
		for i, e := range list {
			out[i] = e.v
		}
		return out
	}
	for key, v := range m {
		m[key] = lists(v)
	}
	return m
}

// object is an answer: members in their order. Values are texts, numbers, times,
// objects, lists of these, and maps of numbers.
type object []member

type member struct {
	name  string
	value any
}

// render writes an answer; nil is one without a body.
func (p protocol) render(operation, requestID string, out object) (body []byte, contentType string) {
	switch p {
	case rpcCBOR:
		if out == nil {
			return nil, ""
		}
		return encodeCBOR(tree(out, func(t time.Time) any { return cbor.Tag{Number: 1, Content: epoch(t)} })), "application/cbor"
	case query:
		var b strings.Builder
		fmt.Fprintf(&b, `<%sResponse xmlns="%s">`, operation, namespace)
		if out != nil {
			b.WriteString("<" + operation + "Result>")
			writeXML(&b, out)
			b.WriteString("</" + operation + "Result>")
		}
		fmt.Fprintf(&b, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>\n", requestID, operation)
		return []byte(b.String()), "text/xml"
	}
	text, err := json.Marshal(tree(out, func(t time.Time) any { return epoch(t) }))
	if err != nil { // numbers are finite, everything else is text
		panic(err)
	}
	return text, "application/x-amz-json-1.0"
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func encodeCBOR(v any) []byte {
	b, err := cbor.Marshal(v)
	if err != nil { // it is made of maps, lists, texts and numbers
		panic(err)
	}
	return b
}

// tree is a value as maps and lists.
func tree(v any, at func(time.Time) any) any {
	switch v := v.(type) {
	case object:
		m := make(map[string]any, len(v))
		for _, f := range v {
			m[f.name] = tree(f.value, at)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = tree(v[i], at)
		}
		return list
	case time.Time:
		return at(v)
	}
	return v
}

func writeXML(b *strings.Builder, v any) {
	switch v := v.(type) {
	case object:
		for _, f := range v {
			b.WriteString("<" + f.name + ">")
			writeXML(b, f.value)
			b.WriteString("</" + f.name + ">")
		}
	case []any:
		for _, e := range v {
			b.WriteString("<member>")
			writeXML(b, e)
			b.WriteString("</member>")
		}
	case map[string]float64:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b.WriteString("<entry><key>")
			writeXML(b, key)
			b.WriteString("</key><value>")
			writeXML(b, v[key])
			b.WriteString("</value></entry>")
		}
	case time.Time:
		b.WriteString(v.UTC().Format("2006-01-02T15:04:05Z"))
	case float64:
		b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	case string:
		_ = xml.EscapeText(b, []byte(v)) // a Builder does not fail
	default:
		fmt.Fprint(b, v)
	}
}

// renderError writes an error.
func (p protocol) renderError(code, fault, message, requestID string) (body []byte, contentType string) {
	switch p {
	case rpcCBOR:
		return encodeCBOR(map[string]any{"__type": "com.amazonaws.cloudwatch#" + code, "message": message}), "application/cbor"
	case query:
		var b strings.Builder
		fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error>`, namespace)
		writeXML(&b, object{{"Type", fault}, {"Code", queryCode(code)}, {"Message", message}})
		fmt.Fprintf(&b, "</Error><RequestId>%s</RequestId></ErrorResponse>\n", requestID)
		return []byte(b.String()), "text/xml"
	}
	text, err := json.Marshal(map[string]string{"__type": "com.amazonaws.cloudwatch#" + code, "message": message})
	if err != nil { // texts
		panic(err)
	}
	return text, "application/x-amz-json-1.0"
}
