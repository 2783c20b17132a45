package console

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// pageSize is how many rows a list shows.
const pageSize = 50

// functionRow is one function in the list.
type functionRow struct {
	Name, Runtime, Description, Modified string
	Memory, Timeout                      int32
	Isolated                             bool
}

func (q *request) functionRow(c *types.FunctionConfiguration) functionRow {
	runtime := string(c.Runtime)
	if c.PackageType == types.PackageTypeImage {
		runtime = "image"
	}
	return functionRow{
		Name: aws.ToString(c.FunctionName), Runtime: runtime, Description: aws.ToString(c.Description), Modified: aws.ToString(c.LastModified),
		Memory: aws.ToInt32(c.MemorySize), Timeout: aws.ToInt32(c.Timeout), Isolated: isolated(c.TenancyConfig),
	}
}

func isolated(c *types.TenancyConfig) bool {
	return c != nil && c.TenantIsolationMode == types.TenantIsolationModePerTenant
}

// functionsPage is the list of functions.
type functionsPage struct {
	Rows         []functionRow
	Search, Next string
	First        bool // not a further page
}

// listFunctions pages as the API does; a search looks at every name.
func (q *request) listFunctions() error {
	v := q.URL.Query()
	page := functionsPage{Search: strings.TrimSpace(v.Get("search")), First: v.Get("after") == ""}
	marker := v.Get("after")
	client := q.api().lambda()
	ctx, cancel := context.WithTimeout(q.Context(), apiTimeout)
	defer cancel()
	for {
		in := &lambda.ListFunctionsInput{MaxItems: aws.Int32(pageSize)}
		if marker != "" {
			in.Marker = &marker
		}
		out, err := client.ListFunctions(ctx, in)
		if err != nil {
			return err
		}
		for i := range out.Functions {
			if row := q.functionRow(&out.Functions[i]); page.Search == "" || strings.Contains(strings.ToLower(row.Name), strings.ToLower(page.Search)) {
				page.Rows = append(page.Rows, row)
			}
		}
		marker = aws.ToString(out.NextMarker)
		if marker == "" || page.Search == "" || len(page.Rows) >= pageSize {
			break
		}
	}
	page.Next = marker
	return q.render(http.StatusOK, "functions", "Functions", "functions", page)
}

// maxNames bounds the names that a page offers to choose from.
const maxNames = 1000

// functionName is what names of functions look like: nothing else of a link is shown in
// a command that people copy.
var functionName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// functionNames are the names of functions, for a page to choose from: only the one
// that it is about if whoever looks may not list them; isolated is one that takes
// tenants, if there is one.
func (q *request) functionNames(ctx context.Context) (names []string, isolated string, err error) {
	names, isolated, err = q.listedNames(ctx)
	if f := q.URL.Query().Get("function"); functionName.MatchString(f) && !slices.Contains(names, f) {
		names = append(names, f)
	}
	slices.Sort(names)
	return names, isolated, err
}

func (q *request) listedNames(ctx context.Context) (names []string, one string, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	pages := lambda.NewListFunctionsPaginator(q.api().lambda(), &lambda.ListFunctionsInput{})
	for pages.HasMorePages() && len(names) < maxNames {
		page, err := pages.NextPage(ctx)
		if denied(err) {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", err
		}
		for _, f := range page.Functions {
			names = append(names, aws.ToString(f.FunctionName))
			if one == "" && isolated(f.TenancyConfig) {
				one = aws.ToString(f.FunctionName)
			}
		}
	}
	return names, one, nil
}

// functionForm is the form that makes a function; its members are what was typed.
type functionForm struct {
	settings
	Name, Runtime, Architecture, Role, Source, Code string
	Isolated                                        bool
	Problem                                         *problem
	Runtimes                                        []string
	Samples                                         map[string]string
}

// runtimeChoices are the runtimes that the form offers; the node answers for the
// rest of AWS's list too.
var runtimeChoices = []string{"python3.13", "python3.12", "nodejs22.x", "nodejs20.x", "provided.al2023"}

// samples are handlers to begin with, by the beginning of a runtime's name.
var samples = map[string]string{
	"python": `count = 0


def handler(event, context):
    global count
    count += 1
    print(f"call {count} for {context.tenant_id}")
    return {"tenant": context.tenant_id, "count": count, "event": event}
`,
	"nodejs": `let count = 0;

export const handler = async (event, context) => {
  count += 1;
  console.log("call", count, "for", context.tenantId);
  return { tenant: context.tenantId, count, event };
};
`,
	"provided": `#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while true; do
  head=$(mktemp)
  event=$(curl -sS -D "$head" "$api/next")
  id=$(sed -n 's/\r$//; s/^lambda-runtime-aws-request-id: //Ip' "$head")
  curl -sS "$api/$id/response" -d "{\"event\": $event}"
done
`,
}

// fileNames are the file that typed code is, and its handler, by runtime.
func fileNames(runtime string) (file, handler string) {
	switch {
	case strings.HasPrefix(runtime, "python"):
		return "lambda_function.py", "lambda_function.handler"
	case strings.HasPrefix(runtime, "nodejs"):
		return "index.mjs", "index.handler"
	}
	return "bootstrap", "bootstrap"
}

func (q *request) newFunction() error {
	return q.showNewFunction(http.StatusOK, functionForm{Runtime: "python3.13", settings: settings{Memory: "128", Timeout: "3", Ephemeral: "512", LogFormat: "JSON"},
		Source: "editor", Code: samples["python"], Isolated: true})
}

func (q *request) showNewFunction(status int, f functionForm) error {
	f.Runtimes, f.Samples = runtimeChoices, samples
	return q.render(status, "create", "Create function", "functions", f)
}

// createFunction makes a function of what was typed. Nothing typed is lost if the
// node refuses it.
func (q *request) createFunction() error {
	f := functionForm{
		settings: q.settings(), Name: strings.TrimSpace(q.PostFormValue("name")), Runtime: q.PostFormValue("runtime"),
		Architecture: q.PostFormValue("architecture"), Role: strings.TrimSpace(q.PostFormValue("role")),
		Source: q.PostFormValue("source"), Code: unixLines(q.PostFormValue("code")), Isolated: q.PostFormValue("isolated") != "",
	}
	err := q.withPackage(func() error {
		in, err := f.input(q)
		if err != nil {
			return err
		}
		_, err = q.api().lambda().CreateFunction(q.Context(), in)
		return err
	})
	if err != nil {
		f.Problem = explain(err)
		return q.showNewFunction(max(f.Problem.Status, http.StatusBadRequest), f)
	}
	q.redirect("functions/" + f.Name + "?done=created")
	return nil
}

// input is the request of CreateFunction.
func (f *functionForm) input(q *request) (*lambda.CreateFunctionInput, error) {
	if f.Name == "" {
		return nil, badInput("The function needs a name.")
	}
	v, err := f.read()
	if err != nil {
		return nil, err
	}
	code, handler, err := f.zip(q)
	if err != nil {
		return nil, err
	}
	if f.Handler != "" {
		handler = f.Handler
	}
	role := f.Role
	if role == "" {
		role = "arn:aws:iam::000000000000:role/alcove"
	}
	in := &lambda.CreateFunctionInput{
		FunctionName: &f.Name, Runtime: types.Runtime(f.Runtime), Handler: &handler, Role: &role, Description: &f.Description,
		Code: &types.FunctionCode{ZipFile: code}, MemorySize: v.memory, Timeout: v.timeout,
		EphemeralStorage: v.ephemeral, LoggingConfig: v.logging,
	}
	if f.Architecture != "" {
		in.Architectures = []types.Architecture{types.Architecture(f.Architecture)}
	}
	if len(v.env) > 0 {
		in.Environment = &types.Environment{Variables: v.env}
	}
	if f.Isolated {
		in.TenancyConfig = &types.TenancyConfig{TenantIsolationMode: types.TenantIsolationModePerTenant}
	}
	return in, nil
}

// zip is the deployment package: what was uploaded, or what was typed.
func (f *functionForm) zip(q *request) (code []byte, handler string, err error) {
	file, handler := fileNames(f.Runtime)
	if f.Source == "zip" {
		code, err = q.upload()
		return code, handler, err
	}
	if strings.TrimSpace(f.Code) == "" {
		return nil, "", badInput("The code is empty: type a handler, or choose to upload a zip file.")
	}
	code, err = pack([]packed{{name: file, body: []byte(f.Code), mode: modeOf(file)}})
	return code, handler, err
}

// unixLines undoes what browsers make of the ends of lines in forms.
func unixLines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
