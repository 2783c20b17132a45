package console

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// reservedOf is the concurrency that is reserved for a function, empty if none is.
func reservedOf(f *lambda.GetFunctionOutput) string {
	if f.Concurrency == nil || f.Concurrency.ReservedConcurrentExecutions == nil {
		return ""
	}
	return strconv.Itoa(int(aws.ToInt32(f.Concurrency.ReservedConcurrentExecutions)))
}

// saveConcurrency reserves concurrency for a function, or none.
func (q *request) saveConcurrency() error {
	name, text := q.PathValue("name"), strings.TrimSpace(q.PostFormValue("reserved"))
	client := q.api().lambda()
	var err error
	if text == "" {
		_, err = client.DeleteFunctionConcurrency(q.Context(), &lambda.DeleteFunctionConcurrencyInput{FunctionName: &name})
	} else {
		var n int32
		if n, err = number("Reserved concurrency", text); err == nil {
			_, err = client.PutFunctionConcurrency(q.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: &name, ReservedConcurrentExecutions: &n})
		}
	}
	if err != nil {
		p, _, gone := q.function("configuration")
		if gone != nil {
			return gone
		}
		p.Settings = &settingsForm{settings: settingsOf(p.Config), Revision: aws.ToString(p.Config.RevisionId), Reserved: text}
		p.Problem = explain(err)
		return q.renderFunction(max(p.Problem.Status, http.StatusBadRequest), p)
	}
	q.redirect("functions/" + name + "/configuration?done=reserved")
	return nil
}
