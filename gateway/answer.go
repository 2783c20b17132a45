package gateway

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer is the http.ResponseWriter of a plain request. It writes what net/http
// would, byte for byte, but that a body of unannounced length is sent as a whole.
type answer struct {
	c       net.Conn
	out     []byte // what is to be sent
	header  http.Header
	status  int   // zero before WriteHeader
	length  int64 // as the handler announced it, or -1
	typed   bool  // the handler said what the body is
	began   bool  // the header has been rendered to its end
	close   bool  // the connection ends with this answer
	written int64
	body    []byte // of unannounced length, so far
	err     error
}

// copied is the longest piece of a body that is copied behind what is to be sent.
const copied = 16 << 10

func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header, 8)
	}
	return a.header
}

// WriteHeader renders the header as it is now. Plain requests have no informational
// answers.
func (a *answer) WriteHeader(status int) {
	if a.status != 0 || status < 200 {
		return
	}
	a.status, a.length = status, -1
	b := append(a.out, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(append(b, ' '), http.StatusText(status)...)
	b = append(b, "\r\n"...)
	var few [16]string
	names := few[:0]
	for name := range a.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range a.header[name] {
			switch {
			case name == "Content-Length":
				n, err := strconv.ParseInt(value, 10, 64)
				if err != nil || n < 0 || a.bodiless() {
					continue
				}
				a.length = n
			case name == "Content-Type":
				a.typed = true
			case name == connectionHeader && strings.EqualFold(value, "close"):
				a.close = true
			}
			b = append(append(b, name...), ": "...)
			b = append(appendValue(b, value), "\r\n"...)
		}
	}
	a.out = b
}

// appendValue writes a header's value as net/http does: without line breaks, and
// without blanks around it.
func appendValue(b []byte, value string) []byte {
	if strings.ContainsAny(value, "\r\n") {
		value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	return append(b, strings.Trim(value, " \t")...)
}

// bodiless is a status that has no body.
func (a *answer) bodiless() bool {
	return a.status == http.StatusNoContent || a.status == http.StatusNotModified
}

// begin ends the header of an answer whose body begins with first and has length
// bytes.
func (a *answer) begin(first []byte, length int64) {
	a.began = true
	b := append(a.out, "Date: "...)
	b = append(time.Now().UTC().AppendFormat(b, http.TimeFormat), "\r\n"...)
	if !a.bodiless() {
		if a.length < 0 {
			b = append(strconv.AppendInt(append(b, "Content-Length: "...), length, 10), "\r\n"...)
		}
		if !a.typed && len(first) > 0 {
			b = append(append(append(b, "Content-Type: "...), http.DetectContentType(first)...), "\r\n"...)
		}
	}
	a.out = append(b, "\r\n"...)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	switch {
	case a.err != nil:
		return 0, a.err
	case len(p) == 0:
		return 0, nil
	case a.bodiless():
		return 0, http.ErrBodyNotAllowed
	case a.length < 0:
		a.body = append(a.body, p...)
		return len(p), nil
	}
	if a.written += int64(len(p)); a.written > a.length {
		return 0, http.ErrContentLength
	}
	if !a.began {
		a.begin(p, a.length)
	}
	if len(p) <= copied {
		a.out = append(a.out, p...)
		return len(p), nil
	}
	all := net.Buffers{a.out, p}
	_, a.err = all.WriteTo(a.c)
	a.out = a.out[:0]
	if a.err != nil {
		return 0, a.err
	}
	return len(p), nil
}

// end sends what is left, when the handler has returned, and tells whether the
// connection has another answer after this.
func (a *answer) end() bool {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if !a.began {
		a.begin(a.body, int64(len(a.body)))
		a.out = append(a.out, a.body...)
	}
	if a.length >= 0 && a.written != a.length {
		a.close = true
	}
	if a.err == nil && len(a.out) > 0 {
		_, a.err = a.c.Write(a.out)
	}
	return a.err == nil && !a.close
}

// SetWriteDeadline has a ResponseController reach the connection. Of the request
// nothing is left to read.
func (a *answer) SetWriteDeadline(t time.Time) error { return a.c.SetWriteDeadline(t) }

// SetReadDeadline implements what a ResponseController asks for: the body is there.
func (a *answer) SetReadDeadline(time.Time) error { return nil }
