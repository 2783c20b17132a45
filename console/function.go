package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// functionPage is what every page of one function shows.
type functionPage struct {
	Name, Tab, ARN        string
	Config                *types.FunctionConfiguration
	Isolated, Image       bool
	Pending               bool // not ready, or being updated
	State, Update, Reason string

	Test     testForm
	Code     *codePage
	Settings *settingsForm
	Versions *versionsPage
	Queue    *queuePage
	Problem  *problem
}

// function asks the API for the function of the path.
func (q *request) function(tab string) (*functionPage, *lambda.GetFunctionOutput, error) {
	name := q.PathValue("name")
	out, err := q.api().lambda().GetFunction(q.Context(), &lambda.GetFunctionInput{FunctionName: &name})
	if err != nil {
		return nil, nil, err
	}
	c := out.Configuration
	p := &functionPage{
		Name: aws.ToString(c.FunctionName), Tab: tab, ARN: aws.ToString(c.FunctionArn), Config: c, Isolated: isolated(c.TenancyConfig),
		Image: c.PackageType == types.PackageTypeImage, State: string(c.State), Update: string(c.LastUpdateStatus),
	}
	p.Pending = c.State == types.StatePending || c.LastUpdateStatus == types.LastUpdateStatusInProgress
	switch {
	case c.State == types.StateFailed:
		p.Reason = aws.ToString(c.StateReason)
	case c.LastUpdateStatus == types.LastUpdateStatusFailed:
		p.Reason = aws.ToString(c.LastUpdateStatusReason)
	}
	return p, out, nil
}

func (q *request) showFunction() error {
	p, _, err := q.function("test")
	if err != nil {
		return err
	}
	p.Test = testForm{Tenant: q.URL.Query().Get("tenant"), Payload: "{\n  \"hello\": \"world\"\n}"}
	return q.renderFunction(http.StatusOK, p)
}

func (q *request) renderFunction(status int, p *functionPage) error {
	return q.render(status, "function", p.Name, "functions", p)
}

// functionState tells a page's script whether a function is ready.
func (q *request) functionState() error {
	p, _, err := q.function("")
	if err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(q.w).Encode(map[string]any{"pending": p.Pending, "state": p.State, "update": p.Update, "reason": p.Reason})
}

// codePage is the page of a function's code.
type codePage struct {
	Files    []codeFile
	File     string
	Text     string
	NotText  bool
	Sha      string
	ImageURI string
	Size     int64
}

func (q *request) showCode() error {
	p, out, err := q.function("code")
	if err != nil {
		return err
	}
	p.Code = &codePage{Sha: aws.ToString(p.Config.CodeSha256), Size: p.Config.CodeSize}
	if out.Code != nil && aws.ToString(out.Code.ImageUri) != "" {
		p.Code.ImageURI = aws.ToString(out.Code.ImageUri)
		return q.renderFunction(http.StatusOK, p)
	}
	err = q.withPackage(func() error {
		code, err := q.download(aws.ToString(out.Code.Location), p.Config.CodeSize)
		if err != nil {
			return err
		}
		return p.Code.read(code, q.URL.Query().Get("file"), aws.ToString(p.Config.Handler))
	})
	if err != nil {
		return err
	}
	return q.renderFunction(http.StatusOK, p)
}

// read fills in what is shown of a package: its files, and one of them.
func (c *codePage) read(code []byte, file, handler string) (err error) {
	if c.Files, err = listFiles(code); err != nil {
		return err
	}
	if c.File = file; file == "" {
		c.File = entryFile(c.Files, handler)
	}
	if c.File == "" {
		return nil
	}
	c.Text, err = readText(code, c.File)
	if errors.Is(err, errNotText) {
		c.NotText, err = true, nil
	}
	return err
}

// entryFile is the file that a handler is in, else the first.
func entryFile(files []codeFile, handler string) string {
	module := handler
	if i := strings.LastIndexByte(handler, '.'); i > 0 {
		module = handler[:i]
	}
	for _, f := range files {
		for _, end := range []string{"", ".py", ".mjs", ".js", ".cjs"} {
			if f.Name == module+end {
				return f.Name
			}
		}
	}
	if len(files) > 0 {
		return files[0].Name
	}
	return ""
}

// saveCode deploys a file that was edited, or a zip file. What somebody else
// deployed meanwhile is not overwritten.
func (q *request) saveCode() error {
	p, out, err := q.function("code")
	if err != nil {
		return err
	}
	file := ""
	err = q.withPackage(func() error {
		var code []byte
		if q.PostFormValue("source") == "zip" {
			code, err = q.upload()
		} else {
			file = q.PostFormValue("file")
			code, err = q.edited(p, aws.ToString(out.Code.Location))
		}
		if err != nil {
			return err
		}
		_, err = q.api().lambda().UpdateFunctionCode(q.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &p.Name, ZipFile: code, RevisionId: p.Config.RevisionId})
		return err
	})
	if err != nil {
		return err
	}
	q.redirect("functions/" + p.Name + "/code?" + url.Values{"done": {"code"}, "file": {file}}.Encode())
	return nil
}

// edited is the package of a function with the file of the form in it.
func (q *request) edited(p *functionPage, location string) ([]byte, error) {
	file := q.PostFormValue("file")
	switch {
	case q.PostFormValue("sha") != aws.ToString(p.Config.CodeSha256):
		return nil, &problem{Status: http.StatusConflict, Title: "Somebody else deployed code meanwhile",
			Detail: "Copy your change, reload the page to see what is there now, and make it again; nothing was overwritten."}
	case file == "":
		return nil, badInput("The file needs a name.")
	}
	code, err := q.download(location, p.Config.CodeSize)
	if err != nil {
		return nil, err
	}
	return replace(code, file, []byte(unixLines(q.PostFormValue("text"))))
}

// settingsForm is the page of a function's configuration.
type settingsForm struct {
	settings
	Revision string
	Reserved string // concurrency, empty if nothing is reserved; see concurrency.go
}

func (q *request) showConfiguration() error {
	p, out, err := q.function("configuration")
	if err != nil {
		return err
	}
	p.Settings = &settingsForm{settings: settingsOf(p.Config), Revision: aws.ToString(p.Config.RevisionId), Reserved: reservedOf(out)}
	return q.renderFunction(http.StatusOK, p)
}

// saveConfiguration changes a function, unless somebody else changed it meanwhile.
// Nothing typed is lost if the node refuses it.
func (q *request) saveConfiguration() error {
	name := q.PathValue("name")
	s := &settingsForm{settings: q.settings(), Revision: q.PostFormValue("revision")}
	v, err := s.read()
	if err == nil {
		in := &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, Description: &s.Description, MemorySize: v.memory, Timeout: v.timeout,
			RevisionId: &s.Revision, EphemeralStorage: v.ephemeral, Environment: &types.Environment{Variables: v.env}, LoggingConfig: v.logging}
		if s.Handler != "" {
			in.Handler = &s.Handler
		}
		_, err = q.api().lambda().UpdateFunctionConfiguration(q.Context(), in)
	}
	if err != nil {
		p, out, gone := q.function("configuration")
		if gone != nil {
			return gone
		}
		s.Reserved = reservedOf(out)
		p.Settings, p.Problem = s, explain(err)
		return q.renderFunction(max(p.Problem.Status, http.StatusBadRequest), p)
	}
	q.redirect("functions/" + name + "/configuration?done=settings")
	return nil
}

// deleteFunction deletes the function whose name was typed again.
func (q *request) deleteFunction() error {
	name := q.PathValue("name")
	if strings.TrimSpace(q.PostFormValue("confirm")) != name {
		return badInput("Type the function's name to delete it; nothing was deleted.")
	}
	if _, err := q.api().lambda().DeleteFunction(q.Context(), &lambda.DeleteFunctionInput{FunctionName: &name}); err != nil {
		return err
	}
	q.redirect("functions?done=deleted")
	return nil
}
