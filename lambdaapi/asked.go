package lambdaapi

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/auth/policy"
)

// Policies may ask about what a request would have: its tags, layers, whom a
// permission is for. Such requests are read before they are authorised, and what
// was read is what the operation gets. One that cannot be read asks for nothing;
// the operation says what is wrong with it to whoever may.

// asking is a request that policies may ask about.
type asking interface{ asked(a *API) policy.Asked }

// readAsked gives what policies may ask about the request of c.
func (a *API) readAsked(c *call) policy.Asked {
	h := c.route.serve
	if h == nil || h.in == nil || !h.asks {
		return policy.Asked{}
	}
	if c.in == nil {
		in := reflect.New(h.in).Interface()
		if h.members.read(c, in) != nil {
			return policy.Asked{}
		}
		c.in = in
	}
	return c.in.(asking).asked(a)
}

func tagsAsked(tags map[string]string) policy.Asked {
	return policy.Asked{Tags: tags, TagKeys: slices.Sorted(maps.Keys(tags))}
}

func textOf(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func (in *createFunctionInput) asked(*API) policy.Asked {
	asked := tagsAsked(in.Tags)
	asked.Layers, asked.SigningConfig = in.Layers, textOf(in.CodeSigningConfigArn)
	return asked
}

func (in *updateFunctionConfigurationInput) asked(*API) policy.Asked {
	return policy.Asked{Layers: in.Layers}
}

func (in *putFunctionSigningInput) asked(*API) policy.Asked {
	return policy.Asked{SigningConfig: *in.CodeSigningConfigArn}
}

func (in *createSigningInput) asked(*API) policy.Asked { return tagsAsked(in.Tags) }

func (in *tagResourceInput) asked(*API) policy.Asked { return tagsAsked(in.Tags) }

func (in *untagResourceInput) asked(*API) policy.Asked { return policy.Asked{TagKeys: in.TagKeys} }

func (in *addPermissionInput) asked(*API) policy.Asked {
	return policy.Asked{Principal: *in.Principal, URLAuthType: textOf(in.FunctionUrlAuthType)}
}

// asked is whom the statement is for that is there.
func (in *removePermissionInput) asked(a *API) policy.Asked {
	ref, err := in.ref(a)
	if err != nil {
		return policy.Asked{}
	}
	p, err := a.Catalog.Policy(ref)
	if err != nil {
		return policy.Asked{}
	}
	var document struct {
		Statement []struct {
			Sid       string
			Principal json.RawMessage
			Condition map[string]map[string]json.RawMessage
		}
	}
	if json.Unmarshal([]byte(p.Document), &document) != nil {
		return policy.Asked{}
	}
	for _, s := range document.Statement {
		if s.Sid == *in.StatementId {
			return policy.Asked{Principal: statementFor(s.Principal), URLAuthType: stringOf(s.Condition["StringEquals"]["lambda:FunctionUrlAuthType"])}
		}
	}
	return policy.Asked{}
}

// statementFor is whom a statement is for, as AddPermission writes it.
func statementFor(raw json.RawMessage) string {
	var of map[string]json.RawMessage
	if json.Unmarshal(raw, &of) != nil {
		return stringOf(raw)
	}
	for _, kind := range []string{"Service", "AWS"} {
		if p := stringOf(of[kind]); p != "" {
			return p
		}
	}
	return ""
}

func stringOf(raw json.RawMessage) (text string) {
	_ = json.Unmarshal(raw, &text) // else it is none
	return text
}

func (in *createURLInput) asked(*API) policy.Asked { return policy.Asked{URLAuthType: *in.AuthType} }

func (in *updateURLInput) asked(a *API) policy.Asked {
	if in.AuthType == nil {
		return in.urlInput.asked(a)
	}
	return policy.Asked{URLAuthType: *in.AuthType}
}

// asked is the type of the URL that there is.
func (in *urlInput) asked(a *API) policy.Asked {
	ref, err := in.ref(a)
	if err != nil {
		return policy.Asked{}
	}
	e, err := a.Catalog.URL(ref)
	if err != nil {
		return policy.Asked{}
	}
	return policy.Asked{URLAuthType: e.URL.AuthType}
}

const getLayerAction = "lambda:GetLayerVersion"

// authorizeLayers sees that a caller may have a function use the layers that its
// request names, as AWS does: who may not get a layer's version may not use it.
func (a *API) authorizeLayers(caller alcove.Caller, c *call, layers []string) error {
	for _, arn := range layers {
		named, here := strings.CutPrefix(arn, a.Place.LayerARN(""))
		if !here {
			continue // it will not be found
		}
		o := auth.Operation{Action: getLayerAction, Resource: arn, Policy: a.layerPolicy(named), Implied: true, Request: c.request, RequestID: c.requestID}
		if _, err := a.Auth.Authorize(caller, o); err != nil {
			return err
		}
	}
	return nil
}

const (
	passRoleAction = "iam:PassRole"
	lambdaService  = "lambda.amazonaws.com"
)

// authorizeRole sees that a caller may give a function the role that its request
// names, as AWS does: the function's code may then do what the role may, which can
// be more than the caller.
//
// Source: IAM user guide, "Grant a user permissions to pass a role to an AWS service".
func (a *API) authorizeRole(caller alcove.Caller, c *call) error {
	var role *string
	switch in := c.in.(type) {
	case *createFunctionInput:
		role = in.Role
	case *updateFunctionConfigurationInput:
		role = in.Role
	}
	if role == nil {
		return nil
	}
	_, err := a.Auth.Authorize(caller, auth.Operation{Action: passRoleAction, Resource: *role, Asked: policy.Asked{PassedTo: lambdaService},
		Implied: true, Request: c.request, RequestID: c.requestID})
	return err
}

// layerPolicy is the policy of a version of a layer, given as name:number; empty
// if it has none, or is not there.
func (a *API) layerPolicy(named string) string {
	name, version, _ := strings.Cut(named, ":")
	number, err := strconv.Atoi(version)
	if err != nil {
		return ""
	}
	document, _, err := a.Catalog.LayerPolicy(name, number)
	if err != nil {
		return ""
	}
	return document
}
