package lambdaapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

// resourceInput names what a whole policy belongs to, by its full ARN.
type resourceInput struct {
	ResourceArn *string `from:"path" is:"PolicyResourceArn"`
}

func (in *resourceInput) ref(a *API) (alcove.Ref, error) {
	ref, err := a.Place.ParseRef(*in.ResourceArn, "")
	if err == nil && ref.Qualifier == alcove.Latest {
		err = alcove.InvalidParameter("We currently do not support adding policies for $LATEST.")
	}
	return ref, err
}

type putResourcePolicyInput struct {
	resourceInput
	Policy     *string `is:",required"`
	RevisionId *string
}

func putResourcePolicy(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *putResourcePolicyInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	text, err := checkPolicy(*in.Policy, *in.ResourceArn)
	if err != nil {
		return reply{}, err
	}
	var revision string
	set(&revision, in.RevisionId)
	p, err := a.Catalog.PutPolicy(ctx, caller, ref, text, revision)
	return policyReply(p, err)
}

func getResourcePolicy(a *API, _ context.Context, _ alcove.Caller, _ *call, in *resourceInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	return policyReply(a.Catalog.Policy(ref))
}

func policyReply(p catalog.Policy, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: policyOutput{p.Document, p.PolicyRevisionID}}, nil
}

type deleteResourcePolicyInput struct {
	resourceInput
	RevisionId *string `from:"query"`
}

func deleteResourcePolicy(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *deleteResourcePolicyInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	var revision string
	set(&revision, in.RevisionId)
	return done(a.Catalog.DeletePolicy(ctx, caller, ref, revision))
}

// policyStatement is what every statement of a resource policy has to have
// (IAM User Guide, "Grammar of the IAM JSON policy language").
type policyStatement struct {
	Sid          string
	Effect       string
	Principal    json.RawMessage
	NotPrincipal json.RawMessage
	Action       json.RawMessage
	NotAction    json.RawMessage
	Resource     json.RawMessage
	NotResource  json.RawMessage
	Condition    map[string]map[string]json.RawMessage
}

// checkPolicy refuses what is no policy of a resource; it gives the document
// without needless white space. A single statement becomes a list of one.
func checkPolicy(text, arn string) (string, error) {
	refused := func(why string) (string, error) {
		return "", alcove.InvalidParameter("The provided policy is not valid: %s.", why)
	}
	if len(text) > 4*catalog.MaxPolicy { // a limit for its white space
		return "", alcove.ClientError("PolicyLengthExceededException", "The final policy size (%d) is bigger than the limit (%d).", len(text), catalog.MaxPolicy)
	}
	var p struct {
		Version   string
		ID        string `json:"Id"`
		Statement json.RawMessage
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || !utf8.ValidString(text) || d.More() {
		return refused("it has to be one JSON object with the members Version, Id and Statement")
	}
	if p.Version != "2012-10-17" && p.Version != "2008-10-17" {
		return refused("Version has to be 2012-10-17 or 2008-10-17")
	}
	if one := bytes.TrimSpace(p.Statement); len(one) > 0 && one[0] == '{' {
		p.Statement = append(append([]byte("["), one...), ']')
	}
	var list []json.RawMessage
	if err := json.Unmarshal(p.Statement, &list); err != nil || len(list) == 0 {
		return refused("Statement has to be a list of at least one statement")
	}
	seen := map[string]bool{}
	for _, raw := range list {
		var s policyStatement
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			return refused("a statement has members Sid, Effect, Principal, Action, Resource and Condition")
		}
		if why := s.wrong(arn); why != "" {
			return refused(why)
		}
		if s.Sid != "" && seen[s.Sid] {
			return refused("the statement id " + s.Sid + " is there twice")
		}
		seen[s.Sid] = true
	}
	out, err := plainJSON(struct {
		Version   string
		ID        string `json:"Id,omitempty"`
		Statement []json.RawMessage
	}{p.Version, p.ID, list})
	return string(out), err
}

// wrong says what a statement lacks, or nothing.
func (s *policyStatement) wrong(arn string) string {
	var resource []string
	switch {
	case s.Effect != "Allow" && s.Effect != "Deny":
		return "Effect has to be Allow or Deny"
	case (len(s.Principal) == 0) == (len(s.NotPrincipal) == 0):
		return "a statement has a Principal"
	case (texts(s.Action) == nil) == (texts(s.NotAction) == nil):
		return "a statement has an Action, a text or a list of texts"
	case len(s.NotResource) > 0:
		return "a statement has a Resource"
	}
	if resource = texts(s.Resource); resource == nil {
		return "a statement has a Resource"
	}
	for _, r := range resource {
		if r != arn {
			return "the Resource of every statement has to be " + arn
		}
	}
	return ""
}

// texts reads a text or a list of at least one.
func texts(raw json.RawMessage) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		return list
	}
	return nil
}
