package urlapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove/internal/pump"
)

// answer is what a function said for HTTP.
type answer struct {
	status  int
	header  http.Header
	cookies []string
	body    []byte
}

const typeJSON = "application/json"

// shape is an answer in the payload format 2.0, and a stream's prelude.
type shape struct {
	StatusCode      json.RawMessage            `json:"statusCode"`
	Headers         map[string]json.RawMessage `json:"headers"`
	Cookies         []string                   `json:"cookies"`
	Body            json.RawMessage            `json:"body"`
	IsBase64Encoded bool                       `json:"isBase64Encoded"`
}

// readAnswer reads what a function answered. What is no object with a statusCode
// is the body itself, as JSON, or as text if it is a string.
func readAnswer(payload []byte) (answer, error) {
	whole := answer{status: http.StatusOK, header: http.Header{}}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil || !given(members["statusCode"]) {
		var text string
		var body bytes.Buffer
		switch {
		case json.Unmarshal(payload, &text) == nil && len(payload) > 0 && bytes.TrimSpace(payload)[0] == '"':
			body.WriteString(text)
		default:
			if err := json.Compact(&body, payload); err != nil {
				return answer{}, err
			}
		}
		whole.body = body.Bytes()
		return whole, nil
	}
	var s shape
	if err := json.Unmarshal(payload, &s); err != nil {
		return answer{}, err
	}
	a, err := s.head()
	if err != nil {
		return answer{}, err
	}
	a.body, err = s.bytes()
	return a, err
}

// head reads all of an answer but its body.
func (s *shape) head() (answer, error) {
	a := answer{header: http.Header{}, cookies: s.Cookies, status: http.StatusOK}
	if given(s.StatusCode) {
		text := strings.Trim(string(s.StatusCode), `"`)
		n, err := strconv.Atoi(text)
		if err != nil || n < 200 || n > 599 {
			return answer{}, fmt.Errorf("statusCode %.40q is none", s.StatusCode)
		}
		a.status = n
	}
	for name, raw := range s.Headers {
		value, err := scalar(raw)
		if err != nil {
			return answer{}, fmt.Errorf("header %.40q: %w", name, err)
		}
		if name, ok := headerName(name); ok && plainValue(value) {
			a.header.Add(name, value)
		}
	}
	return a, nil
}

func (s *shape) bytes() ([]byte, error) {
	if !given(s.Body) {
		return nil, nil
	}
	var text string
	if err := json.Unmarshal(s.Body, &text); err != nil {
		var body bytes.Buffer // an object, or a number, is its JSON
		if err := json.Compact(&body, s.Body); err != nil {
			return nil, err
		}
		return body.Bytes(), nil
	}
	if s.IsBase64Encoded {
		return base64.StdEncoding.DecodeString(text)
	}
	return []byte(text), nil
}

func given(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// scalar is the text of a string, a number or a boolean.
func scalar(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' {
		return "", errors.New("not a text")
	}
	return string(raw), nil
}

// notTaken are headers that are the server's.
var notTaken = map[string]bool{
	"Connection": true, "Content-Length": true, "Date": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "X-Amzn-Requestid": true, traceHeader: true,
}

// headerName is a name that a function may set, in its canonical form.
func headerName(name string) (string, bool) {
	for i := range len(name) {
		c := name[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return "", false
		}
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	return name, name != "" && !notTaken[name] && !strings.HasPrefix(name, http.TrailerPrefix)
}

// plainValue says whether a value is one of a header: it stays within its line, and
// says nothing to a terminal or a proxy that it should not.
func plainValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// headTo writes everything but the body.
func (a *answer) headTo(w http.ResponseWriter, q *request, defaultType string) {
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	for _, c := range a.cookies {
		if plainValue(c) {
			h.Add("Set-Cookie", c)
		}
	}
	if len(h["Content-Type"]) == 0 && bodyAllowed(a.status) {
		h["Content-Type"] = []string{defaultType}
	}
	cors(h, q)
	w.WriteHeader(a.status)
}

func bodyAllowed(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

func (a *answer) writeTo(w http.ResponseWriter, q *request) {
	if bodyAllowed(a.status) {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	a.headTo(w, q, typeJSON)
	if bodyAllowed(a.status) {
		pump.Whole(w, a.body)
	}
}
