package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
	code, err := q.download(aws.ToString(out.Code.Location))
	if err != nil {
		return err
	}
	if p.Code.Files, err = listFiles(code); err != nil {
		return err
	}
	p.Code.File = q.URL.Query().Get("file")
	if p.Code.File == "" {
		p.Code.File = entryFile(p.Code.Files, aws.ToString(p.Config.Handler))
	}
	if p.Code.File != "" {
		p.Code.Text, err = readText(code, p.Code.File)
		if errors.Is(err, errNotText) {
			p.Code.NotText, err = true, nil
		}
		if err != nil {
			return err
		}
	}
	return q.renderFunction(http.StatusOK, p)
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
	var code []byte
	file := ""
	if q.PostFormValue("source") == "zip" {
		code, err = q.upload("zip")
	} else {
		if q.PostFormValue("sha") != aws.ToString(p.Config.CodeSha256) {
			return &problem{Status: http.StatusConflict, Title: "Somebody else deployed code meanwhile",
				Detail: "Copy your change, reload the page to see what is there now, and make it again; nothing was overwritten."}
		}
		file = q.PostFormValue("file")
		if file == "" {
			return badInput("The file needs a name.")
		}
		if code, err = q.download(aws.ToString(out.Code.Location)); err == nil {
			code, err = replace(code, file, []byte(unixLines(q.PostFormValue("text"))))
		}
	}
	if err != nil {
		return err
	}
	if _, err := q.api().lambda().UpdateFunctionCode(q.Context(), &lambda.UpdateFunctionCodeInput{
		FunctionName: &p.Name, ZipFile: code, RevisionId: p.Config.RevisionId}); err != nil {
		return err
	}
	q.redirect("functions/" + p.Name + "/code?" + url.Values{"done": {"code"}, "file": {file}}.Encode())
	return nil
}

// settingsForm is the page of a function's configuration.
type settingsForm struct {
	Handler, Description, Memory, Timeout, Ephemeral, Env, LogFormat, Revision string
}

func (q *request) showConfiguration() error {
	p, _, err := q.function("configuration")
	if err != nil {
		return err
	}
	c := p.Config
	s := &settingsForm{
		Handler: aws.ToString(c.Handler), Description: aws.ToString(c.Description), Memory: strconv.Itoa(int(aws.ToInt32(c.MemorySize))),
		Timeout: strconv.Itoa(int(aws.ToInt32(c.Timeout))), Ephemeral: "512", Revision: aws.ToString(c.RevisionId),
	}
	if c.EphemeralStorage != nil {
		s.Ephemeral = strconv.Itoa(int(aws.ToInt32(c.EphemeralStorage.Size)))
	}
	if c.Environment != nil {
		s.Env = formatEnv(c.Environment.Variables)
	}
	if c.LoggingConfig != nil {
		s.LogFormat = string(c.LoggingConfig.LogFormat)
	}
	p.Settings = s
	return q.renderFunction(http.StatusOK, p)
}

func (q *request) saveConfiguration() error {
	name := q.PathValue("name")
	s := &settingsForm{
		Handler: strings.TrimSpace(q.PostFormValue("handler")), Description: q.PostFormValue("description"), Memory: q.PostFormValue("memory"),
		Timeout: q.PostFormValue("timeout"), Ephemeral: q.PostFormValue("ephemeral"), Env: q.PostFormValue("env"),
		LogFormat: q.PostFormValue("logformat"), Revision: q.PostFormValue("revision"),
	}
	in, err := s.input(name)
	if err == nil {
		_, err = q.api().lambda().UpdateFunctionConfiguration(q.Context(), in)
	}
	if err != nil {
		p, _, gone := q.function("configuration")
		if gone != nil {
			return gone
		}
		p.Settings, p.Problem = s, explain(err)
		return q.renderFunction(max(p.Problem.Status, http.StatusBadRequest), p)
	}
	q.redirect("functions/" + name + "/configuration?done=settings")
	return nil
}

func (s *settingsForm) input(name string) (*lambda.UpdateFunctionConfigurationInput, error) {
	memory, err := number("Memory", s.Memory)
	if err != nil {
		return nil, err
	}
	timeout, err := number("Timeout", s.Timeout)
	if err != nil {
		return nil, err
	}
	ephemeral, err := number("Ephemeral storage", s.Ephemeral)
	if err != nil {
		return nil, err
	}
	env, err := parseEnv(s.Env)
	if err != nil {
		return nil, err
	}
	in := &lambda.UpdateFunctionConfigurationInput{
		FunctionName: &name, Description: &s.Description, MemorySize: &memory, Timeout: &timeout, RevisionId: &s.Revision,
		EphemeralStorage: &types.EphemeralStorage{Size: &ephemeral}, Environment: &types.Environment{Variables: env},
		LoggingConfig: &types.LoggingConfig{LogFormat: types.LogFormat(s.LogFormat)},
	}
	if s.Handler != "" {
		in.Handler = &s.Handler
	}
	return in, nil
}

// versionsPage is the page of a function's versions and aliases.
type versionsPage struct {
	Versions []versionRow
	Next     string
	Aliases  []aliasRow
	Numbers  []string
}

type versionRow struct{ Number, Description, Modified, Sha string }

type aliasRow struct {
	Name, Version, Description string
	Weights                    []string
}

func (q *request) showVersions() error {
	p, _, err := q.function("versions")
	if err != nil {
		return err
	}
	client := q.api().lambda()
	in := &lambda.ListVersionsByFunctionInput{FunctionName: &p.Name, MaxItems: aws.Int32(pageSize)}
	if m := q.URL.Query().Get("after"); m != "" {
		in.Marker = &m
	}
	out, err := client.ListVersionsByFunction(q.Context(), in)
	if err != nil {
		return err
	}
	v := &versionsPage{Next: aws.ToString(out.NextMarker)}
	for _, one := range out.Versions {
		v.Versions = append(v.Versions, versionRow{aws.ToString(one.Version), aws.ToString(one.Description), aws.ToString(one.LastModified), aws.ToString(one.CodeSha256)})
		v.Numbers = append(v.Numbers, aws.ToString(one.Version))
	}
	aliases, err := client.ListAliases(q.Context(), &lambda.ListAliasesInput{FunctionName: &p.Name})
	if err != nil {
		return err
	}
	for _, a := range aliases.Aliases {
		row := aliasRow{Name: aws.ToString(a.Name), Version: aws.ToString(a.FunctionVersion), Description: aws.ToString(a.Description)}
		if a.RoutingConfig != nil {
			for number, weight := range a.RoutingConfig.AdditionalVersionWeights {
				row.Weights = append(row.Weights, number+": "+strconv.FormatFloat(weight*100, 'f', -1, 64)+" %")
			}
			slices.Sort(row.Weights)
		}
		v.Aliases = append(v.Aliases, row)
	}
	p.Versions = v
	return q.renderFunction(http.StatusOK, p)
}

func (q *request) publishVersion() error {
	name, description := q.PathValue("name"), q.PostFormValue("description")
	if _, err := q.api().lambda().PublishVersion(q.Context(), &lambda.PublishVersionInput{FunctionName: &name, Description: &description}); err != nil {
		return err
	}
	q.redirect("functions/" + name + "/versions?done=published")
	return nil
}

// saveAlias makes an alias, or points it elsewhere.
func (q *request) saveAlias() error {
	name, alias, version := q.PathValue("name"), strings.TrimSpace(q.PostFormValue("alias")), q.PostFormValue("version")
	client := q.api().lambda()
	_, err := client.CreateAlias(q.Context(), &lambda.CreateAliasInput{FunctionName: &name, Name: &alias, FunctionVersion: &version})
	var exists *types.ResourceConflictException
	if errors.As(err, &exists) {
		_, err = client.UpdateAlias(q.Context(), &lambda.UpdateAliasInput{FunctionName: &name, Name: &alias, FunctionVersion: &version})
	}
	if err != nil {
		return err
	}
	q.redirect("functions/" + name + "/versions?done=alias")
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
