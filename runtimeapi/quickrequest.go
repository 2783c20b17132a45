package runtimeapi

import (
	"bytes"
	"strings"
)

// quickRequest is a request of the few that make up invocations, or the ping of
// our own runtimes before them, in the plain form in which runtimes send it.
type quickRequest struct {
	route        quickRoute
	id           string // in the path
	invocationID string // headers, empty if not there
	errorType    string
	contentType  string
	xrayCause    string
	length       int // of the body, all of which the header announces
}

type quickRoute int

const (
	quickNext quickRoute = iota
	quickResponse
	quickError
	quickPing
)

// recognition is what became of looking at the first bytes of a connection.
type recognition int

const (
	unknown    recognition = iota // net/http has to see to it
	incomplete                    // so far it may be one
	recognised
)

const (
	nextLine     = "GET " + invocationPrefix + "next HTTP/1.1\r\n"
	pingLine     = "GET " + pingPath + " HTTP/1.1\r\n"
	answerPrefix = "POST " + invocationPrefix
	version      = " HTTP/1.1"
	maxQuickBody = smallBody
)

// recognise looks whether b begins with the whole header of a quickRequest, and
// says how long that is. It knows exactly what it takes and leaves all else to
// net/http: what it takes has to mean the same to both.
func recognise(b []byte) (req quickRequest, size int, r recognition) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if couldBegin(b, nextLine) || couldBegin(b, pingLine) || couldBegin(b, answerPrefix) {
			return req, 0, incomplete
		}
		return req, 0, unknown
	}
	header := string(b[:end+2]) // one string, of which the request's are parts
	rest, ok := strings.CutPrefix(header, nextLine)
	if !ok {
		if rest, ok = strings.CutPrefix(header, pingLine); ok {
			req.route = quickPing
		} else if rest, ok = req.answerLine(header); !ok {
			return req, 0, unknown
		}
	}
	if !req.headers(rest) {
		return req, 0, unknown
	}
	return req, end + 4, recognised
}

// couldBegin says whether b, which may be shorter or longer than text, agrees
// with it as far as both go.
func couldBegin(b []byte, text string) bool {
	n := min(len(b), len(text))
	return string(b[:n]) == text[:n]
}

// answerLine reads "POST …/{id}/response HTTP/1.1", or /error.
func (q *quickRequest) answerLine(header string) (rest string, ok bool) {
	line, rest, _ := strings.Cut(header, "\r\n")
	line, ok = strings.CutPrefix(line, answerPrefix)
	if !ok {
		return "", false
	}
	if line, ok = strings.CutSuffix(line, version); !ok {
		return "", false
	}
	id, verb, ok := strings.Cut(line, "/")
	switch {
	case !ok || !plainID(id):
		return "", false
	case verb == "response":
		q.route = quickResponse
	case verb == "error":
		q.route = quickError
	default:
		return "", false
	}
	q.id = id
	return rest, true
}

// plainID says whether an id stands in a path as it is.
func plainID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return id != ""
}

// headers reads header lines, each of which ends with CR LF. Only names that are
// listed here are known, each at most once.
func (q *quickRequest) headers(lines string) bool {
	q.length = -1
	var host, ignored bool
	for lines != "" {
		line, more, _ := strings.Cut(lines, "\r\n")
		lines = more
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return false
		}
		value = strings.Trim(value, " \t")
		if !plainValue(value) {
			return false
		}
		var to *string
		switch strings.ToLower(name) {
		case "host":
			if host || !plainHost(value) {
				return false
			}
			host = true
			continue
		case "content-length":
			if q.length >= 0 || !q.contentLength(value) {
				return false
			}
			continue
		case "connection":
			if ignored || !strings.EqualFold(value, "keep-alive") {
				return false
			}
			ignored = true
			continue
		case "accept", "accept-encoding", "user-agent":
			continue
		case "content-type":
			to = &q.contentType
		case "lambda-runtime-invocation-id":
			to = &q.invocationID
		case "lambda-runtime-function-error-type":
			to = &q.errorType
		case "lambda-runtime-function-xray-error-cause":
			to = &q.xrayCause
		default:
			return false
		}
		if *to != "" || value == "" {
			return false
		}
		*to = value
	}
	if q.route == quickNext || q.route == quickPing {
		return host && q.length <= 0
	}
	return host && q.length >= 0
}

func (q *quickRequest) contentLength(value string) bool {
	n := 0
	if value == "" || len(value) > 6 {
		return false
	}
	for i := range len(value) {
		c := value[i]
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	q.length = n
	return n <= maxQuickBody
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
