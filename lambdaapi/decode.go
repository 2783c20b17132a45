package lambdaapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
)

// decode reads a JSON object into a struct of pointers. No body is an empty
// object, unknown members are ignored and null is no value, as AWS has it; a
// value of another type than the member's is a SerializationException.
func decode(body []byte, in any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return notJSON("invalid UTF-8")
	}
	err := json.Unmarshal(body, in)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return alcove.ClientError(codeSerialization, "%s can not be converted to %s", tokenName(wrong.Value), typeName(wrong.Type))
	}
	if _, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return alcove.ClientError(codeSerialization, "STRING_VALUE can not be converted to a Blob: it is not valid Base64")
	}
	return notJSON(err.Error())
}

func notJSON(detail string) error {
	return alcove.ClientError(alcove.CodeInvalidRequestContent, "Could not parse request body into json: %s", detail)
}

// tokenName is what AWS calls a JSON value of a kind that encoding/json names.
func tokenName(kind string) string {
	switch kind {
	case "string":
		return "STRING_VALUE"
	case "bool":
		return "BOOLEAN_VALUE"
	case "array":
		return "START_ARRAY"
	case "object":
		return "START_OBJECT"
	default:
		return "NUMBER_VALUE"
	}
}

func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a String"
	case reflect.Bool:
		return "a Boolean"
	case reflect.Int:
		return "an Integer"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a Blob"
		}
		return "a List"
	case reflect.Map:
		return "a Map"
	default:
		return "a Structure"
	}
}

// blob is bytes that are sent as a Base64 string, and in no other form.
type blob []byte

// UnmarshalJSON implements [json.Unmarshaler].
func (b *blob) UnmarshalJSON(text []byte) error {
	switch text[0] {
	case '"':
	case 'n':
		return nil // null is no value
	default:
		return &json.UnmarshalTypeError{Value: jsonKind(text[0]), Type: reflect.TypeFor[blob]()}
	}
	encoded := text[1 : len(text)-1]
	if bytes.IndexByte(encoded, '\\') >= 0 { // some encoders escape slashes
		var s string
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
		encoded = []byte(s)
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(out, encoded)
	*b = out[:n]
	return err
}

func jsonKind(first byte) string {
	switch first {
	case '[':
		return "array"
	case '{':
		return "object"
	case 't', 'f':
		return "bool"
	default:
		return "number"
	}
}
