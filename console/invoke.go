package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
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
	Took       time.Duration
	// From and Width are its place in a bar of 1000.
	From, Width int
}

// maxAnswerShown bounds what is shown of an answer, in bytes.
const maxAnswerShown = 512 << 10

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
	r := &testResult{Failed: aws.ToString(out.FunctionError), Version: aws.ToString(out.ExecutedVersion), Answer: pretty(out.Payload)}
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

// helps say what each phase is, in the order in which they pass.
var helps = []struct{ metric, name, help string }{
	{"queue", "Wait", "until an environment was ready to take the event: none if one was warm"},
	{"init", "Init", "loading the function, where the caller waited for it"},
	{"handler", "Handler", "from the event to the answer"},
}

// phases reads where an invocation's time went from its Server-Timing header.
//
// Source: https://www.w3.org/TR/server-timing/
func phases(timing string) (out []phase, total time.Duration) {
	took := map[string]time.Duration{}
	for part := range strings.SplitSeq(timing, ",") {
		name, dur, ok := strings.Cut(strings.TrimSpace(part), ";dur=")
		if ms, err := strconv.ParseFloat(dur, 64); ok && err == nil {
			took[name] = time.Duration(ms * float64(time.Millisecond))
			total += took[name]
		}
	}
	if total <= 0 {
		return nil, 0
	}
	from := time.Duration(0)
	for _, h := range helps {
		d, ok := took[h.metric]
		if !ok {
			continue
		}
		left, right := int(1000*from/total), int(1000*(from+d)/total)
		out = append(out, phase{h.name, h.help, d, left, right - left})
		from += d
	}
	return out, total
}

// pretty is JSON with line breaks, or what is no JSON as it is.
func pretty(b []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, b, "", "  ") != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return out.String()
}
