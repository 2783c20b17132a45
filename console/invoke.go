package console

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// testForm is the tab that invokes a function.
type testForm struct {
	Tenant, Payload, Qualifier string
	Result                     *testResult
}

// testResult is what an invocation came to.
type testResult struct {
	Failed    string // the kind of function error, empty if it succeeded
	Answer    string
	Truncated bool
	Log       string
	RequestID string
	Version   string
	// Start is what the invocation found: warm, stock, runtime-stock, sandbox or cold;
	// Reason why it was nothing quicker.
	Start, Reason, Environment string
	Phases                     []phase
	Total                      time.Duration
}

// phase is a part of the time that an invocation took.
type phase struct {
	Name, Help string
	Kind       string // of a start: warm, stock, runtime-stock, sandbox or cold
	Took       time.Duration
	// From and Width are its place in a bar of 100, in percent.
	From, Width float64
}

// Middle is where in the bar its name stands.
func (p phase) Middle() float64 { return p.From + p.Width/2 }

// Says is its name as people read it.
func (p phase) Says() string { return cmp.Or(p.Kind, p.Name) }

// Roomy says whether its name has room in the bar.
func (p phase) Roomy() bool { return p.Width >= 22 }

// invoke runs the function once.
func (q *request) invoke() error {
	form := testForm{Tenant: q.PostFormValue("tenant"), Payload: unixLines(q.PostFormValue("payload")), Qualifier: q.PostFormValue("qualifier")}
	name := q.PathValue("name")
	in := &lambda.InvokeInput{FunctionName: &name, Payload: []byte(form.Payload), LogType: types.LogTypeTail}
	if form.Tenant != "" {
		in.TenantId = &form.Tenant
	}
	if form.Qualifier != "" {
		in.Qualifier = &form.Qualifier
	}
	out, err := q.api().lambda().Invoke(q.Context(), in, func(o *lambda.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.AddHeaderValue("X-Alcove-Explain", "1"))
	})
	p, _, gone := q.function("test")
	if gone != nil {
		return gone
	}
	status := http.StatusOK
	if err != nil {
		p.Problem = explain(err)
		status = max(p.Problem.Status, http.StatusBadRequest)
	} else {
		form.Result = readResult(out)
	}
	p.Test = form
	if q.fragment() {
		return q.renderPart(status, "function", "result", p)
	}
	return q.renderFunction(status, p)
}

func readResult(out *lambda.InvokeOutput) *testResult {
	r := &testResult{Failed: aws.ToString(out.FunctionError), Version: aws.ToString(out.ExecutedVersion), Answer: pretty(out.Payload, maxAnswerShown)}
	if len(r.Answer) > maxAnswerShown {
		r.Answer, r.Truncated = strings.ToValidUTF8(r.Answer[:maxAnswerShown], ""), true
	}
	if tail, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult)); err == nil {
		r.Log = string(tail)
	}
	r.RequestID, _ = awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	h := header(out.ResultMetadata)
	r.Start, r.Reason, r.Environment = h.Get("X-Alcove-Start"), h.Get("X-Alcove-Start-Reason"), h.Get("X-Alcove-Environment")
	r.Phases, r.Total = phases(h.Get("Server-Timing"))
	return r
}

// header is the header of the answer that a client of AWS read.
func header(m middleware.Metadata) http.Header {
	if raw, ok := awsmiddleware.GetRawResponse(m).(*smithyhttp.Response); ok {
		return raw.Header
	}
	return http.Header{}
}

// parts are what an invocation's time is made of, in the order in which they pass.
var parts = []struct{ metric, name, help string }{
	{"queue", "queue", "until there was an environment for it, or one was begun"},
	{"start", "start", "until the environment could take the event"},
	{"init", "init", "loading the runtime and the function"},
	{"handler", "handler", "from the event to the answer"},
}

// starts say what an invocation found, by the kind of its start.
var starts = map[string]string{
	"warm":          "an environment of the tenant's own was there",
	"stock":         "an environment that was initialised ahead became the tenant's",
	"runtime-stock": "a runtime that was started ahead was given the function",
	"sandbox":       "a sandbox that was made ahead was given the function",
	"cold":          "a sandbox was made",
}

// leastWidth is what a part of the bar is wide at least, in percent: one that took
// next to nothing is seen too.
const leastWidth = 1

// phases reads where an invocation's time went from its Server-Timing header.
//
// Source: https://www.w3.org/TR/server-timing/
func phases(timing string) (out []phase, total time.Duration) {
	took, kinds := map[string]time.Duration{}, map[string]string{}
	for part := range strings.SplitSeq(timing, ",") {
		name, parameters, _ := strings.Cut(strings.TrimSpace(part), ";")
		for parameter := range strings.SplitSeq(parameters, ";") {
			switch key, value, _ := strings.Cut(parameter, "="); key {
			case "desc":
				kinds[name] = value
			case "dur":
				if ms, err := strconv.ParseFloat(value, 64); err == nil && ms >= 0 && ms < 1e9 {
					took[name] = time.Duration(ms * float64(time.Millisecond))
					total += took[name]
				}
			}
		}
	}
	if total <= 0 {
		return nil, 0
	}
	sum := 0.0
	for _, p := range parts {
		d, ok := took[p.metric]
		if !ok {
			continue
		}
		one := phase{Name: p.name, Help: p.help, Kind: kinds[p.metric], Took: d, From: sum, Width: max(100*float64(d)/float64(total), leastWidth)}
		if found := starts[one.Kind]; found != "" {
			one.Help = found
		}
		sum += one.Width
		out = append(out, one)
	}
	for i := range out {
		out[i].From, out[i].Width = 100*out[i].From/sum, 100*out[i].Width/sum
	}
	return out, total
}
