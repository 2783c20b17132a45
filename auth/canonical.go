package auth

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// appendCanonical writes the canonical form of r to b (AWS, "Create a signed
// AWS API request", step 1), as for every service but S3: the path is encoded
// once more on top of how it was sent.
func appendCanonical(b []byte, r *http.Request, signedHeaders string, digest []byte) ([]byte, error) {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, sentPath(r))
	b = append(b, '\n')
	b, err := appendQuery(b, r.URL.RawQuery)
	if err != nil {
		return b, err
	}
	b = append(b, '\n')
	for name := range strings.SplitSeq(signedHeaders, ";") {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, signedHeaders...)
	b = append(b, '\n')
	return append(b, digest...), nil
}

// sentPath is the path of r as it stood in the request line: net/http decodes it
// and does not always encode it back the same way.
func sentPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	if path := r.URL.EscapedPath(); path != "" {
		return path
	}
	return "/"
}

func appendPath(b []byte, path string) []byte {
	for i := range len(path) {
		if c := path[i]; c == '/' || unreserved(c) {
			b = append(b, c)
		} else {
			b = appendEscaped(b, c)
		}
	}
	return b
}

// appendQuery writes a query with names and values encoded, in the order of
// their encoded forms. What it reads is what url.ParseQuery reads, so that a
// handler sees nothing that was not signed.
func appendQuery(b []byte, raw string) ([]byte, error) {
	if raw == "" {
		return b, nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return b, invalid("The query string is malformed.")
	}
	pairs := make([]string, 0, len(query))
	var pair []byte
	for name, values := range query {
		for _, value := range values {
			pair = appendEncoded(pair[:0], name)
			// '=' sorts after '%' and most letters' codes, so a name and its
			// value are compared one after the other by way of a NUL, which
			// never stands in an encoded text.
			pair = append(pair, 0)
			pair = appendEncoded(pair, value)
			pairs = append(pairs, string(pair))
		}
	}
	slices.Sort(pairs)
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		name, value, _ := strings.Cut(p, "\x00")
		b = append(b, name...)
		b = append(b, '=')
		b = append(b, value...)
	}
	return b, nil
}

// appendHeader writes the values of a signed header, lower-case name given: with
// runs of spaces folded, and commas between them.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	switch name {
	case "host":
		return append(b, r.Host...)
	case "content-length":
		// The server may have taken the header out.
		return strconv.AppendInt(b, max(r.ContentLength, 0), 10)
	}
	for i, value := range r.Header[textproto.CanonicalMIMEHeaderKey(name)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFolded(b, value)
	}
	return b
}

func appendFolded(b []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	if !strings.Contains(value, "  ") {
		return append(b, value...)
	}
	for i := range len(value) {
		if value[i] != ' ' || value[i-1] != ' ' {
			b = append(b, value[i])
		}
	}
	return b
}

func appendEncoded(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; unreserved(c) {
			b = append(b, c)
		} else {
			b = appendEscaped(b, c)
		}
	}
	return b
}

func appendEscaped(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

// unreserved is RFC 3986's set.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}
