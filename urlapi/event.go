package urlapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// event is an event of the payload format 2.0 (Lambda developer guide, "Invoking
// Lambda function URLs").
type event struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext        requestContext    `json:"requestContext"`
	Body                  *string           `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	Authorizer   *authorizer `json:"authorizer,omitempty"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"`
}

type authorizer struct {
	IAM iamIdentity `json:"iam"`
}

type iamIdentity struct {
	AccessKey       string  `json:"accessKey"`
	AccountID       string  `json:"accountId"`
	CallerID        string  `json:"callerId"`
	CognitoIdentity *string `json:"cognitoIdentity"`
	PrincipalOrgID  *string `json:"principalOrgId"`
	UserARN         string  `json:"userArn"`
	UserID          string  `json:"userId"`
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

const (
	defaultRoute = "$default"
	timeForm     = "02/Jan/2006:15:04:05 -0700"
	traceHeader  = "X-Amzn-Trace-Id"
	// maxEvent bounds an event: Base64 makes more of a body.
	maxEvent = alcove.MaxPayload
)

// event makes the event of a request, and its trace header.
func (a *API) event(q *request, caller alcove.Caller, body []byte) (payload []byte, trace alcove.Trace, err error) {
	now := a.Now().UTC()
	path, query := sent(q.Request)
	trace = alcove.ReadTrace(q.Header.Get(traceHeader), q.Header.Get("Traceparent"), q.Header.Get("Tracestate"))
	if !trace.Rooted() {
		trace.ID = alcove.NewTraceID(now)
	}
	host, _ := bareHost(q.Host)
	prefix, _, _ := strings.Cut(host, ".")
	source := ""
	if caller.Source.IsValid() {
		source = caller.Source.String()
	}
	e := event{
		Version: "2.0", RouteKey: defaultRoute, RawPath: path, RawQueryString: query,
		Cookies: cookies(q.Header), Headers: headers(q, source, trace.Header(), len(body)), QueryStringParameters: parameters(query),
		RequestContext: requestContext{
			AccountID: "anonymous", APIID: prefix, DomainName: host, DomainPrefix: prefix,
			HTTP:      httpContext{Method: q.Method, Path: path, Protocol: q.Proto, SourceIP: source, UserAgent: q.UserAgent()},
			RequestID: q.id, RouteKey: defaultRoute, Stage: defaultRoute, Time: now.Format(timeForm), TimeEpoch: now.UnixMilli(),
		},
	}
	if q.url.AuthType != auth.URLAuthNone {
		e.RequestContext.AccountID = caller.Account
		e.RequestContext.Authorizer = &authorizer{IAM: iamIdentity{AccessKey: caller.AccessKeyID, AccountID: caller.Account,
			CallerID: caller.UserID, UserARN: caller.ARN, UserID: caller.UserID}}
	}
	if len(body) > 0 {
		text := string(body)
		if e.IsBase64Encoded = !isText(q.Header.Get("Content-Type"), body); e.IsBase64Encoded {
			text = base64.StdEncoding.EncodeToString(body)
		}
		e.Body = &text
	}
	if payload, err = json.Marshal(e); err != nil {
		return nil, alcove.Trace{}, err
	}
	if len(payload) > maxEvent {
		return nil, alcove.Trace{}, tooLarge()
	}
	return payload, trace, nil
}

// sent gives path and query as they stood in the request line.
func sent(r *http.Request) (path, query string) {
	path = r.URL.EscapedPath()
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ = strings.Cut(r.RequestURI, "?")
	}
	if path == "" {
		path = "/"
	}
	return path, r.URL.RawQuery
}

// cookies are all that the request has, one an item.
func cookies(h http.Header) (list []string) {
	for _, line := range h["Cookie"] {
		for one := range strings.SplitSeq(line, ";") {
			if one = strings.TrimSpace(one); one != "" {
				list = append(list, one)
			}
		}
	}
	return list
}

// notPassed are headers that are about the connection, or said elsewhere in the
// event, or said here anew.
var notPassed = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Cookie": true, "Content-Length": true,
}

// headers are those that the function sees: names in lower case, values of one
// name put together. Where the request came from is said by its connection, not
// by what it says itself. A signature is not the function's to have.
func headers(q *request, source, trace string, length int) map[string]string {
	m := make(map[string]string, len(q.Header)+6)
	for name, values := range q.Header {
		if notPassed[name] || q.url.AuthType != auth.URLAuthNone && name == "Authorization" {
			continue
		}
		m[strings.ToLower(name)] = strings.Join(values, ",")
	}
	proto, port := "http", "80"
	if q.TLS != nil {
		proto, port = "https", "443"
	}
	if _, p := bareHost(q.Host); p != "" {
		port = p
	}
	m["host"], m["x-forwarded-for"], m["x-forwarded-proto"], m["x-forwarded-port"] = q.Host, source, proto, port
	m[strings.ToLower(traceHeader)] = trace
	if length > 0 {
		m["content-length"] = strconv.Itoa(length)
	}
	return m
}

// parameters are those of a query, several of a name put together. What cannot be
// decoded is left out: the raw query has it.
func parameters(raw string) map[string]string {
	if raw == "" {
		return nil
	}
	m := map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || pair == "" {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			continue
		}
		if before, ok := m[name]; ok {
			value = before + "," + value
		}
		m[name] = value
	}
	return m
}

// isText says whether a body goes into an event as it is.
func isText(contentType string, body []byte) bool {
	t := strings.ToLower(contentType)
	return (strings.Contains(t, "text") || strings.Contains(t, "json") || strings.Contains(t, "xml") || strings.Contains(t, "javascript")) && utf8.Valid(body)
}
