package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/alcove-run/alcove/urlapi"
)

// plain is a request that is invocation and answer, in the plain form in which
// clients send it: POST /2015-03-31/functions/{FunctionName}/invocations.
type plain struct {
	target string // as it was sent
	path   string
	query  string
	host   string
	length int // of the body
	// The header's lines but Host, by their canonical names.
	n      int
	names  [maxPlainLines]string
	values [maxPlainLines]string
}

// recognition is what became of looking at the first bytes of a request.
type recognition int

const (
	foreign    recognition = iota // net/http has to see to it
	incomplete                    // so far it may be a plain one
	recognised
)

const (
	plainPrefix   = "POST /2015-03-31/functions/"
	plainSuffix   = "/invocations"
	plainVersion  = " HTTP/1.1"
	maxPlainLines = 24
	// maxPlain is how long a plain request is at most, with its body.
	maxPlain = 8 << 10
)

// plainNames are the headers that a plain request may have, each once, by the
// names that clients send. Any other may mean something to net/http.
var plainNames = func() map[string]string {
	all := make(map[string]string)
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Authorization", connectionHeader, "Content-Length", "Content-Type", "Host",
		"Traceparent", "Tracestate", "User-Agent", "X-Alcove-Explain", "X-Amz-Client-Context", "X-Amz-Content-Sha256", "X-Amz-Date", kindHeader,
		"X-Amz-Log-Type", "X-Amz-Security-Token", "X-Amz-Tenant-Id", "X-Amz-User-Agent", "X-Amzn-Tenant-Id", "X-Amzn-Trace-Id",
	} {
		all[name], all[strings.ToLower(name)] = name, name
	}
	return all
}()

const (
	connectionHeader = "Connection"
	kindHeader       = "X-Amz-Invocation-Type"
)

// recognise looks whether b begins with the whole of a plain request, reads it into p,
// and says how long it is. It knows exactly what it takes and leaves all else to net/http:
// what it takes has to mean the same to both.
func (p *plain) recognise(b []byte) (size int, what recognition) {
	if n := min(len(b), len(plainPrefix)); string(b[:n]) != plainPrefix[:n] {
		return 0, foreign
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, short(b)
	}
	line, lines, _ := strings.Cut(string(b[:end+2]), "\r\n") // one string, of which the request's are parts
	if !p.line(line) || !p.header(lines) || end+4+p.length > maxPlain {
		return 0, foreign
	}
	if size = end + 4 + p.length; len(b) < size {
		return 0, short(b)
	}
	return size, recognised
}

// short is what is not whole: there may be more, up to a limit.
func short(b []byte) recognition {
	if len(b) >= maxPlain {
		return foreign
	}
	return incomplete
}

// line reads the request's first line.
func (p *plain) line(line string) (ok bool) {
	line, ok = strings.CutSuffix(line, plainVersion)
	if !ok {
		return false
	}
	p.target = line[len("POST "):]
	var asks bool
	p.path, p.query, asks = strings.Cut(p.target, "?")
	name, ok := strings.CutSuffix(line[:len("POST ")+len(p.path)], plainSuffix)
	if !ok || len(name) <= len(plainPrefix) {
		return false
	}
	return plainWord(name[len(plainPrefix):], ":$") && (!asks || plainWord(p.query, "=$"))
}

// plainWord says whether s stands in a URL as it is: letters, digits, hyphens,
// underscores, and others of those given.
func plainWord(s, others string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return s != ""
}

// header reads header lines, each of which ends with CR LF.
func (p *plain) header(lines string) bool {
	p.n, p.host, p.length = 0, "", -1
	for lines != "" {
		line, more, _ := strings.Cut(lines, "\r\n")
		lines = more
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return false
		}
		if name, ok = plainName(name); !ok {
			return false
		}
		if value = strings.Trim(value, " \t"); !plainValue(value) {
			return false
		}
		switch name {
		case "Host":
			if _, isURL := urlapi.ID(value); p.host != "" || isURL || !plainHost(value) {
				return false
			}
			p.host = value
			continue
		case "Content-Length":
			if p.length >= 0 || !p.contentLength(value) {
				return false
			}
		case connectionHeader:
			if !strings.EqualFold(value, "keep-alive") {
				return false
			}
		case kindHeader:
			if value != "RequestResponse" { // events have more to them
				return false
			}
		}
		for _, before := range p.names[:p.n] {
			if before == name {
				return false
			}
		}
		if p.n == maxPlainLines {
			return false
		}
		p.names[p.n], p.values[p.n] = name, value
		p.n++
	}
	p.length = max(p.length, 0)
	return p.host != ""
}

// plainName gives the canonical form of a header's name, if it is a known one. Only
// ASCII letters have another case: for strings.ToLower a Kelvin sign is a K.
func plainName(name string) (canonical string, ok bool) {
	if canonical, ok = plainNames[name]; !ok {
		canonical, ok = plainNames[textproto.CanonicalMIMEHeaderKey(name)]
	}
	return canonical, ok
}

func (p *plain) contentLength(value string) bool {
	if value == "" || len(value) > len("9999") {
		return false
	}
	n := 0
	for i := range len(value) {
		c := value[i]
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	p.length = n
	return true
}

// plainValue says whether a header's value is visible ASCII, blanks and tabs.
func plainValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

// plainHost is a name or an address, with or without a port.
func plainHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '.' && c != ':' {
			return false
		}
	}
	return s != ""
}

// request makes of p what net/http makes of the same bytes. The body is that of the
// buffer that p was read from: it is not read when the handler has returned.
func (p *plain) request(ctx context.Context, body []byte, remote string) *http.Request {
	h := make(http.Header, p.n)
	values := make([]string, p.n)
	for i := range p.n {
		values[i] = p.values[i]
		h[p.names[i]] = values[i : i+1 : i+1]
	}
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: p.path, RawQuery: p.query}, RequestURI: p.target,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Host: p.host, ContentLength: int64(p.length), Body: http.NoBody, RemoteAddr: remote,
	}).WithContext(ctx)
	if p.length > 0 {
		r.Body = &plainBody{body}
	}
	return r
}

// plainBody is a body that is all there.
type plainBody struct{ left []byte }

func (b *plainBody) Read(to []byte) (int, error) {
	n := copy(to, b.left)
	if b.left = b.left[n:]; n == 0 && len(b.left) == 0 && len(to) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *plainBody) Close() error {
	b.left = nil
	return nil
}
