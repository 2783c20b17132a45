package console

import (
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/chromedp/chromedp"

	"github.com/alcove-run/alcove/test/testnode"
)

// mixed answers, writes, and fails if it is asked to.
const mixed = `
def handler(event, context):
    print('a record of ' + context.tenant_id)
    if event.get('fail'):
        raise ValueError('asked to')
`

// moving is what of a page is another a moment later, without anybody's doing: ages, the
// memory and the state of an environment that rests, from when a log would be followed, and
// the page's own token.
var moving = regexp.MustCompile(`&since=[^&"]*|\d+(\.\d+)? (s|min|h|days) ago|name="csrf" value="[^"]*"|class="tile \w+"></span> \w+|<td class="n">[\d.]+ [KMG]?B</td>|<dd>[\d.]+ [KMG]?B</dd>`)

// figures are the rows of the tables below a page's charts that have a number other than
// nought: when, and what. What blue's own environment does meanwhile, which no call asks
// for, is left out.
func figures(page string) (all []string) {
	for _, chart := range strings.Split(page, `<figure class="chart card">`)[1:] {
		chart, _, _ = strings.Cut(chart, "</figure>")
		title := chart[strings.Index(chart, "<b>")+3 : strings.Index(chart, "</b>")]
		if title == "Environments" {
			continue
		}
		for _, row := range strings.Split(chart, "<tr>")[2:] {
			if regexp.MustCompile(`<td class="n">[^<]*[1-9]`).MatchString(row) {
				all = append(all, title+": "+regexp.MustCompile(`<[^>]+>`).ReplaceAllString(row, " "))
			}
		}
	}
	return all
}

// TestWhatOthersDoChangesNothing looks at every page with a key that is bound to blue, has
// another tenant do all kinds of things, of which the node's owner sees the counts go up,
// and looks again: no count, sum, measurement, row or byte of a download may be another.
func TestWhatOthersDoChangesNothing(t *testing.T) {
	t.Parallel()
	n := start(t)
	f := n.Deploy(t, testnode.Python, testnode.Files{"main.py": mixed}, testnode.Isolated)
	call := func(tenant string, event bool, payload string) {
		t.Helper()
		in := &lambda.InvokeInput{FunctionName: &f, TenantId: &tenant, Payload: []byte(payload)}
		if event {
			in.InvocationType = types.InvocationTypeEvent
		}
		if _, err := n.Lambda.Invoke(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	call("blue", false, "{}")
	call("blue", false, `{"fail": true}`)
	key := n.MakeKey(t, "blue", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}},
		{"Effect":"Allow","Action":["alcove:*","cloudwatch:*","lambda:Get*","lambda:List*"],"Resource":"*"}]}`)
	owner, bound := browse(t, n), browse(t, n)
	owner.signIn(n.Key.AccessKeyID, n.Key.SecretAccessKey)
	bound.signIn(key.AccessKeyID, key.SecretAccessKey)
	cookies := map[*tab]string{owner: owner.cookies(), bound: bound.cookies()}
	get := func(who *tab, path string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL+"/console/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", cookies[who])
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return html.UnescapeString(string(b))
	}
	// counted waits until all that was called is in the ledger and in the metrics.
	counted := func(who *tab, invocations, received string) {
		t.Helper()
		testnode.Eventually(t, "all is counted", func() bool {
			return strings.Contains(get(who, "usage"), "<dt>Invocations</dt><dd>"+invocations+"</dd>") && slices.ContainsFunc(figures(get(who, "metrics?function="+f)), func(s string) bool {
				return strings.HasPrefix(s, "Events:") && strings.Contains(s, received)
			}) == (received != "")
		})
	}
	pages := []string{"tenants", "tenants?sort=p99", "tenants?sort=throttles&function=" + f, "tenants?sort=environments", "tenant?tenant=blue", "tenant?tenant=green", "usage", "usage?by=function", "usage?by=day",
		"usage?by=tenant&tenant=green", "usage.csv", "usage.csv?by=function", "usage.csv?by=day", "functions/" + f, "functions/" + f + "/queue", "functions", "logs?function=" + f, "logs?tenant=green&function=" + f,
		"egress?function=" + f, "access", "access/audit"}
	charts := []string{"metrics", "metrics?function=" + f, "metrics?tenant=blue&function=" + f, "metrics?tenant=green&function=" + f, "tenant?tenant=blue", "tenant?tenant=green", "usage?by=day"}
	type view struct {
		pages map[string]string
		rows  map[string][]string
		tiles string
	}
	look := func() view {
		t.Helper()
		v := view{map[string]string{}, map[string][]string{}, ""}
		for _, path := range pages {
			text := get(bound, path)
			if strings.HasPrefix(path, "tenant?") { // whose charts are drawn of this minute; their rows are compared
				text = regexp.MustCompile(`(?s)<figure class="chart card">.*?</figure>`).ReplaceAllString(text, "")
			}
			v.pages[path] = moving.ReplaceAllString(text, "…")
		}
		for _, path := range charts {
			v.rows[path] = figures(get(bound, path))
		}
		bound.open("floor")
		bound.do(chromedp.WaitVisible("#floor .tile"))
		bound.do(chromedp.Evaluate(`[...document.querySelectorAll('#floor .group')].map(g => g.title + ' ' + g.querySelectorAll('.tile').length).join() + ', in all ' +
			[...document.querySelectorAll('[data-count]')].reduce((n, e) => n + Number(e.textContent), 0)`, &v.tiles))
		return v
	}

	counted(bound, "2", "")
	before := look()
	if len(before.rows["metrics?tenant=blue&function="+f]) < 2 || len(before.rows["metrics?tenant=green&function="+f]) != 0 || before.tiles != "blue 1, in all 1" {
		t.Errorf("at first there is %q, %q", before.rows, before.tiles)
	}

	for _, tenant := range []string{"green", "red"} {
		for range 3 {
			call(tenant, false, "{}")
		}
		call(tenant, false, `{"fail": true}`)
		call(tenant, true, "{}")
	}
	counted(owner, "12", "2")
	// Refused, and waiting, which are counted too.
	if _, err := n.Lambda.PutFunctionConcurrency(t.Context(), &lambda.PutFunctionConcurrencyInput{FunctionName: &f, ReservedConcurrentExecutions: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	_, err := n.Lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &f, TenantId: aws.String("green")}, func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} })
	if err == nil {
		t.Error("a function without concurrency ran")
	}
	call("green", true, "{}")
	testnode.Eventually(t, "an event waits, and a call was throttled", func() bool {
		return strings.Contains(get(owner, "functions/"+f+"/queue"), ">green<") && slices.ContainsFunc(figures(get(owner, "metrics?tenant=green&function="+f)), func(s string) bool {
			return strings.HasPrefix(s, "Invocations:") && strings.HasSuffix(strings.TrimSpace(s), "1")
		})
	})
	if _, err := n.Lambda.DeleteFunctionConcurrency(t.Context(), &lambda.DeleteFunctionConcurrencyInput{FunctionName: &f}); err != nil {
		t.Fatal(err)
	}
	after := look()
	if after.tiles != before.tiles {
		t.Errorf("the floor had %q, and has %q", before.tiles, after.tiles)
	}
	for _, path := range charts {
		if !slices.Equal(before.rows[path], after.rows[path]) {
			t.Errorf("the charts of %s had\n%s\nand have\n%s", path, strings.Join(before.rows[path], "\n"), strings.Join(after.rows[path], "\n"))
		}
	}
	for _, path := range pages {
		if a, b := strings.Split(before.pages[path], "\n"), strings.Split(after.pages[path], "\n"); !slices.Equal(a, b) {
			at := 0
			for at < min(len(a), len(b)) && a[at] == b[at] {
				at++
			}
			t.Errorf("%s differs from line %d on:\n%s\nand now:\n%s", path, at+1, strings.Join(a[at:min(at+3, len(a))], "\n"), strings.Join(b[at:min(at+3, len(b))], "\n"))
		}
	}
	bound.Errors() // what it may not see at all
	owner.Errors()
}
