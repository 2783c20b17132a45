// Package promapi answers GET /metrics in the text format of Prometheus, version
// 0.0.4: what the node counted since it was started, and what it looks like now.
//
// It owns the names of these metrics (names.go), which docs/metrics.md describes, and
// no state. On the loopback interface anybody may ask; from elsewhere, or through a
// proxy, it takes the token below the data directory or a signed request.
package promapi

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// Config is what a handler is made from.
type Config struct {
	// Collect fills a page.
	Collect func(*Page)
	// Token is what Authorization: Bearer has to have.
	Token        string
	Authenticate func(r *http.Request, body []byte) (alcove.Caller, error)
	Authorize    func(caller alcove.Caller, o auth.Operation) (*auth.Scope, error)
	Log          *slog.Logger
}

// Action is what a signed request is authorised as.
const Action = "alcove:GetMetrics"

// New makes the handler.
func New(c Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "This path is for GET.", http.StatusMethodNotAllowed)
			return
		}
		if err := c.allow(r); err != nil {
			e := alcove.AsError(err)
			status := http.StatusUnauthorized
			if e.Code == auth.CodeAccessDenied {
				status = http.StatusForbidden
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="alcove"`)
			http.Error(w, e.Message, status)
			return
		}
		p := newPage()
		c.Collect(p)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(p.text()) // the reader may have gone
	})
}

// allow says whether a request may read.
func (c Config) allow(r *http.Request) error {
	authorization := r.Header.Get("Authorization")
	if token, ok := strings.CutPrefix(authorization, "Bearer "); ok {
		if c.Token == "" || subtle.ConstantTimeCompare([]byte(token), []byte(c.Token)) != 1 {
			return alcove.ClientError("UnrecognizedClientException", "The token is not this node's.")
		}
		return nil
	}
	if authorization == "" {
		if local(r) {
			return nil
		}
		return alcove.ClientError("MissingAuthenticationTokenException",
			"From other machines /metrics needs a token: set 'authorization: {credentials_file: …}' in Prometheus to a copy of the file metrics-token below the node's data directory.")
	}
	caller, err := c.Authenticate(r, nil)
	if err != nil {
		return err
	}
	_, err = c.Authorize(caller, auth.Operation{Action: Action, Resource: "*", Whole: true, Request: r, RequestID: uuid.NewString()})
	return err
}

// local says whether a request comes from this machine, to a name of this machine
// (a page elsewhere may have a name of its own point here), and not through a proxy.
func local(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	return loopback(r.RemoteAddr) && loopback(r.Host) && r.Header.Get("Origin") == ""
}

func loopback(address string) bool {
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Page gathers samples. Those of a name stand together, in the order of names.go.
type Page struct{ samples map[string]*bytes.Buffer } // has a buffer for each of Names

// Add adds a sample of a metric of names.go; labels are names and values in turns.
func (p *Page) Add(name string, value float64, labels ...string) { p.add(name, "", value, labels) }

// Histogram adds the samples of one: how many values are in each bucket of which
// these are the upper bounds, and beyond the last, and their sum.
func (p *Page) Histogram(name string, bounds []float64, counts []int64, sum float64, labels ...string) {
	var all int64
	for i, n := range counts {
		all += n
		bound := "+Inf"
		if i < len(bounds) {
			bound = strconv.FormatFloat(bounds[i], 'g', -1, 64)
		}
		p.add(name, "_bucket", float64(all), append(labels[:len(labels):len(labels)], "le", bound))
	}
	p.add(name, "_sum", sum, labels)
	p.add(name, "_count", float64(all), labels)
}

func newPage() *Page {
	p := &Page{samples: make(map[string]*bytes.Buffer)}
	for _, n := range Names() {
		p.samples[n.Name] = new(bytes.Buffer)
	}
	return p
}

func (p *Page) add(name, suffix string, value float64, labels []string) {
	b := p.samples[name]
	if b == nil {
		panic("promapi: nothing describes " + name)
	}
	b.WriteString(name + suffix)
	for i := 0; i < len(labels); i += 2 {
		if i == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, `%s="%s"`, labels[i], escape(labels[i+1]))
	}
	if len(labels) > 0 {
		b.WriteByte('}')
	}
	b.WriteByte(' ')
	b.WriteString(strconv.FormatFloat(value, 'g', -1, 64))
	b.WriteByte('\n')
}

// escape is a label's value as the format wants it.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(s, "\uFFFD"))
}

func (p *Page) text() []byte {
	var b bytes.Buffer
	for _, n := range Names() {
		samples := p.samples[n.Name]
		if samples.Len() == 0 {
			continue
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", n.Name, n.Help, n.Name, n.Kind)
		b.Write(samples.Bytes())
	}
	return b.Bytes()
}
