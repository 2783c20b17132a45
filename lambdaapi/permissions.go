package lambdaapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"

	"github.com/alcove-run/alcove/internal/lazyregexp"
)

// qualifiedInput names a function, a version or an alias.
type qualifiedInput struct {
	FunctionName *string `from:"path" is:"NamespacedFunctionName"`
	Qualifier    *string `from:"query" is:"Qualifier"`
}

// ref is what is named.
func (in *qualifiedInput) ref(a *API) (alcove.Ref, error) {
	var qualifier string
	set(&qualifier, in.Qualifier)
	return a.ref(*in.FunctionName, qualifier, maxNamespacedName)
}

type addPermissionInput struct {
	qualifiedInput
	StatementId           *string `is:"StatementId,required"`
	Action                *string `is:"Action,required"`
	Principal             *string `is:"Principal,required"`
	SourceArn             *string `is:"Arn"`
	FunctionUrlAuthType   *string `is:"FunctionUrlAuthType"`
	InvokedViaFunctionUrl *bool
	SourceAccount         *string `is:"SourceOwner"`
	EventSourceToken      *string `is:"EventSourceToken"`
	RevisionId            *string
	PrincipalOrgID        *string `is:"PrincipalOrgID"`
}

// statement is one that AddPermission makes, with its members in AWS's order.
type statement struct {
	Sid       string
	Effect    string
	Principal any // "*", or a kind and a name
	Action    string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

func addPermission(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *addPermissionInput) (reply, error) {
	ref, err := in.policyRef(a)
	if err != nil {
		return reply{}, err
	}
	permission := a.permission(*in.StatementId, *in.Principal, *in.Action, in.condition(), in.RevisionId)
	added, err := a.Catalog.AddPermission(ctx, caller, ref, permission)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusCreated, body: struct{ Statement string }{string(added)}}, nil
}

// permission is a statement to be added to a policy, whose resource is not known
// before the policy is.
func (a *API) permission(sid, principal, action string, condition map[string]map[string]string, revision *string) catalog.PermissionInput {
	return catalog.PermissionInput{Sid: sid, RevisionID: textOf(revision), Statement: func(arn string) (json.RawMessage, error) {
		of, err := principalOf(a.Place, principal)
		if err != nil {
			return nil, err
		}
		return plainJSON(statement{sid, "Allow", of, action, arn, condition})
	}}
}

// policyRef is what a policy may belong to.
func (in *qualifiedInput) policyRef(a *API) (alcove.Ref, error) {
	ref, err := in.ref(a)
	if err == nil && ref.Qualifier == alcove.Latest {
		err = alcove.InvalidParameter("We currently do not support adding policies for $LATEST.")
	}
	return ref, err
}

// condition makes the conditions of a statement (recorded from the service).
func (in *addPermissionInput) condition() map[string]map[string]string {
	all := map[string]map[string]string{}
	add := func(operator, key string, value *string) {
		if value == nil {
			return
		}
		if all[operator] == nil {
			all[operator] = map[string]string{}
		}
		all[operator][key] = *value
	}
	add("StringEquals", "lambda:FunctionUrlAuthType", in.FunctionUrlAuthType)
	add("StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID)
	add("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	add("StringEquals", "lambda:EventSourceToken", in.EventSourceToken)
	add("ArnLike", "AWS:SourceArn", in.SourceArn)
	if in.InvokedViaFunctionUrl != nil {
		text := strconv.FormatBool(*in.InvokedViaFunctionUrl)
		add("Bool", "lambda:InvokedViaFunctionUrl", &text)
	}
	return all
}

var (
	accountPattern   = lazyregexp.New(`^\d{12}$`)
	principalPattern = lazyregexp.New(`^arn:aws[a-zA-Z-]*:(iam|sts)::(\d{12}|cloudfront):.+$`)
)

// principalOf writes a principal as policies have it.
func principalOf(p alcove.Place, text string) (any, error) {
	switch {
	case text == "*":
		return text, nil
	case strings.HasSuffix(text, ".amazonaws.com"):
		return map[string]string{"Service": text}, nil
	case accountPattern.MatchString(text):
		return map[string]string{"AWS": "arn:" + p.Partition + ":iam::" + text + ":root"}, nil
	case principalPattern.MatchString(text):
		return map[string]string{"AWS": text}, nil
	}
	return nil, alcove.InvalidParameter("The provided principal was invalid. Please check the principal and try again.")
}

// plainJSON marshals without the escapes that are for HTML.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

type removePermissionInput struct {
	qualifiedInput
	StatementId *string `from:"path" is:"NamespacedStatementId"`
	RevisionId  *string `from:"query"`
}

func removePermission(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *removePermissionInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	var revision string
	set(&revision, in.RevisionId)
	return done(a.Catalog.RemovePermission(ctx, caller, ref, *in.StatementId, revision))
}

// policyOutput is what all operations on whole policies answer.
type policyOutput struct{ Policy, RevisionId string }

func getPolicy(a *API, _ context.Context, _ alcove.Caller, _ *call, in *qualifiedInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	p, err := a.Catalog.Policy(ref)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: policyOutput{p.Document, p.RevisionID}}, nil
}
