package console

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// versionsPage is the page of a function's versions and aliases.
type versionsPage struct {
	Versions          []versionRow
	Next              string
	Aliases           []aliasRow
	NextAliases       string
	Numbers           []string
	Description       string // of what is to be published, as typed
	Form              aliasForm
	Publishing, Alias bool // which form the page's problem is about
}

type versionRow struct{ Number, Description, Modified, Sha string }

type aliasRow struct {
	Name, Version, Description string
	Weights                    []string
}

// aliasForm is the form of an alias; its members are what was typed.
type aliasForm struct {
	Name, Version, Description string
	Second, Share              string // the version that takes a share of the invocations, and how many in a hundred
	Revision                   string // empty for a new one
}

func (q *request) showVersions() error {
	form := aliasForm{}
	if name := q.URL.Query().Get("alias"); name != "" {
		function := q.PathValue("name")
		a, err := q.api().lambda().GetAlias(q.Context(), &lambda.GetAliasInput{FunctionName: &function, Name: &name})
		if err != nil {
			return err
		}
		form = aliasForm{Name: name, Version: aws.ToString(a.FunctionVersion), Description: aws.ToString(a.Description), Revision: aws.ToString(a.RevisionId)}
		if a.RoutingConfig != nil {
			for number, weight := range a.RoutingConfig.AdditionalVersionWeights { // AWS has one at most
				form.Second, form.Share = number, percent(weight)
			}
		}
	}
	return q.renderVersions(versionsPage{Form: form}, nil)
}

// percent is a weight as people write it.
func percent(weight float64) string {
	return strconv.FormatFloat(math.Round(weight*1e6)/1e4, 'f', -1, 64)
}

// renderVersions answers with the page, and with what went wrong with one of its
// forms.
func (q *request) renderVersions(v versionsPage, problem error) error {
	p, _, err := q.function("versions")
	if err != nil {
		return err
	}
	client, asked := q.api().lambda(), q.URL.Query()
	in := &lambda.ListVersionsByFunctionInput{FunctionName: &p.Name, MaxItems: aws.Int32(pageSize)}
	if m := asked.Get("after"); m != "" {
		in.Marker = &m
	}
	out, err := client.ListVersionsByFunction(q.Context(), in)
	if err != nil {
		return err
	}
	v.Next = aws.ToString(out.NextMarker)
	for _, one := range out.Versions {
		v.Versions = append(v.Versions, versionRow{aws.ToString(one.Version), aws.ToString(one.Description), aws.ToString(one.LastModified), aws.ToString(one.CodeSha256)})
		v.Numbers = append(v.Numbers, aws.ToString(one.Version))
	}
	for _, chosen := range []string{v.Form.Version, v.Form.Second} { // it may be on another page
		if chosen != "" && !slices.Contains(v.Numbers, chosen) {
			v.Numbers = append(v.Numbers, chosen)
		}
	}
	ain := &lambda.ListAliasesInput{FunctionName: &p.Name, MaxItems: aws.Int32(pageSize)}
	if m := asked.Get("afteralias"); m != "" {
		ain.Marker = &m
	}
	aliases, err := client.ListAliases(q.Context(), ain)
	if err != nil {
		return err
	}
	v.NextAliases = aws.ToString(aliases.NextMarker)
	for _, a := range aliases.Aliases {
		row := aliasRow{Name: aws.ToString(a.Name), Version: aws.ToString(a.FunctionVersion), Description: aws.ToString(a.Description)}
		if a.RoutingConfig != nil {
			for number, weight := range a.RoutingConfig.AdditionalVersionWeights {
				row.Weights = append(row.Weights, percent(weight)+" % to "+number)
			}
			slices.Sort(row.Weights)
		}
		v.Aliases = append(v.Aliases, row)
	}
	p.Versions = &v
	status := http.StatusOK
	if problem != nil {
		p.Problem = explain(problem)
		status = max(p.Problem.Status, http.StatusBadRequest)
	}
	return q.renderFunction(status, p)
}

func (q *request) publishVersion() error {
	name, description := q.PathValue("name"), q.PostFormValue("description")
	_, err := q.api().lambda().PublishVersion(q.Context(), &lambda.PublishVersionInput{FunctionName: &name, Description: &description})
	if err != nil {
		return q.renderVersions(versionsPage{Description: description, Publishing: true}, err)
	}
	q.redirect("functions/" + name + "/versions?done=published")
	return nil
}

// saveAlias makes an alias, or changes the one that was looked at.
func (q *request) saveAlias() error {
	name := q.PathValue("name")
	f := aliasForm{Name: strings.TrimSpace(q.PostFormValue("alias")), Version: q.PostFormValue("version"), Description: q.PostFormValue("adesc"),
		Second: q.PostFormValue("second"), Share: strings.TrimSpace(q.PostFormValue("share")), Revision: q.PostFormValue("revision")}
	client, done := q.api().lambda(), "alias"
	routing, err := f.routing()
	switch {
	case q.PostFormValue("what") == "delete":
		done = "unaliased"
		_, err = client.DeleteAlias(q.Context(), &lambda.DeleteAliasInput{FunctionName: &name, Name: &f.Name})
	case err != nil:
	case f.Revision == "":
		_, err = client.CreateAlias(q.Context(), &lambda.CreateAliasInput{FunctionName: &name, Name: &f.Name, FunctionVersion: &f.Version,
			Description: &f.Description, RoutingConfig: routing})
	default:
		_, err = client.UpdateAlias(q.Context(), &lambda.UpdateAliasInput{FunctionName: &name, Name: &f.Name, FunctionVersion: &f.Version,
			Description: &f.Description, RoutingConfig: routing, RevisionId: &f.Revision})
	}
	if err != nil {
		return q.renderVersions(versionsPage{Form: f, Alias: true}, err)
	}
	q.redirect("functions/" + name + "/versions?" + url.Values{"done": {done}}.Encode())
	return nil
}

// routing is the share of the second version; none takes it away.
func (f *aliasForm) routing() (*types.AliasRoutingConfiguration, error) {
	weights := map[string]float64{}
	if f.Second != "" {
		share, err := strconv.ParseFloat(f.Share, 64)
		if err != nil || !(share >= 0 && share <= 100) {
			return nil, badInput("The share of version " + f.Second + " has to be a number from 0 to 100, not “" + f.Share + "”.")
		}
		weights[f.Second] = share / 100
	}
	return &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights}, nil
}
