package catalog

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/alcove-run/alcove"
)

// MaxPolicy is the longest resource policy, in bytes (Lambda quotas).
const MaxPolicy = 20480

// Policy is a resource policy: who else may do what with a function, a version
// or an alias.
type Policy struct {
	Document string // JSON
	// RevisionID is that of what the policy belongs to; it changes with the
	// policy and with the rest. PolicyRevisionID changes with the policy only.
	RevisionID, PolicyRevisionID string
}

// document is a policy's form. Statements are kept as they came.
type document struct {
	Version   string
	ID        string `json:"Id,omitempty"`
	Statement []json.RawMessage
}

// Policy gives the resource policy of a function or one of its qualifiers, from
// memory. Without one it is a ResourceNotFoundException, as is no function.
func (c *Catalog) Policy(ref alcove.Ref) (Policy, error) {
	e := c.view.Load().functions[ref.Name]
	if e == nil {
		return Policy{}, noResource()
	}
	key, _, err := c.known(e, ref.Qualifier)
	if err != nil {
		return Policy{}, noResource() // as recorded
	}
	q := e.record.Qualified[key]
	if q.Policy == "" {
		return Policy{}, noResource()
	}
	return Policy{Document: q.Policy, RevisionID: e.revisionOf(key), PolicyRevisionID: q.PolicyRevision}, nil
}

func noResource() error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "The resource you requested does not exist.")
}

// PermissionInput is a statement to add to a policy.
type PermissionInput struct {
	Sid string
	// Statement makes the statement for the ARN that the policy belongs to.
	Statement func(arn string) (json.RawMessage, error)
	// RevisionID is empty, or what GetPolicy has to answer.
	RevisionID string
}

// addTo gives the policy of arn with the new statement in it, and the statement;
// now is nil if there is no policy yet.
func (in PermissionInput) addTo(now *document, arn string) (*document, json.RawMessage, error) {
	if now == nil {
		now = &document{Version: "2012-10-17", ID: "default"}
	}
	if now.find(in.Sid) >= 0 {
		return nil, nil, statementTaken(in.Sid)
	}
	added, err := in.Statement(arn)
	if err != nil {
		return nil, nil, err
	}
	now.Statement = append(now.Statement, added)
	return now, added, nil
}

// AddPermission adds a statement to a resource policy and answers it.
func (c *Catalog) AddPermission(ctx context.Context, caller alcove.Caller, ref alcove.Ref, in PermissionInput) (json.RawMessage, error) {
	var added json.RawMessage
	err := c.editPolicy(ctx, caller, ref, "permission added", func(e *entry, key, arn string, now *document) (*document, error) {
		if in.RevisionID != "" && in.RevisionID != e.revisionOf(key) {
			return nil, errPolicyRevision()
		}
		now, statement, err := in.addTo(now, arn)
		added = statement
		return now, err
	})
	return added, err
}

// RemovePermission takes a statement out of a resource policy; the policy goes
// with its last one.
func (c *Catalog) RemovePermission(ctx context.Context, caller alcove.Caller, ref alcove.Ref, sid, revisionID string) error {
	if c.view.Load().functions[ref.Name] == nil {
		return alcove.ClientError(alcove.CodeResourceNotFound, "No policy found for: %s", c.cfg.Place.FunctionARN(ref.Name))
	}
	return c.editPolicy(ctx, caller, ref, "permission removed", func(e *entry, key, _ string, now *document) (*document, error) {
		if now == nil {
			return nil, noPolicy()
		}
		at := now.find(sid)
		if at < 0 {
			return nil, noStatement(sid)
		}
		if revisionID != "" && revisionID != e.revisionOf(key) {
			return nil, errRevision()
		}
		now.Statement = append(now.Statement[:at], now.Statement[at+1:]...)
		if len(now.Statement) == 0 {
			return nil, nil
		}
		return now, nil
	})
}

// PutPolicy replaces a resource policy by a document, which was checked, and
// answers it. policyRevisionID is empty, or that of the policy that it replaces.
func (c *Catalog) PutPolicy(ctx context.Context, caller alcove.Caller, ref alcove.Ref, text, policyRevisionID string) (Policy, error) {
	err := c.editQualified(ctx, ref, func(_ *entry, r *record, key, _ string) error {
		if policyRevisionID != "" && policyRevisionID != r.Qualified[key].PolicyRevision {
			return errPolicyRevision()
		}
		return r.setPolicy(key, text)
	})
	if err != nil {
		return Policy{}, err
	}
	c.log.Info("policy put", "function", ref.Name, "qualifier", ref.Qualifier, "caller", caller.ARN)
	return c.Policy(ref)
}

// DeletePolicy removes a resource policy.
func (c *Catalog) DeletePolicy(ctx context.Context, caller alcove.Caller, ref alcove.Ref, policyRevisionID string) error {
	err := c.editQualified(ctx, ref, func(_ *entry, r *record, key, _ string) error {
		q := r.Qualified[key]
		if q.Policy == "" {
			return noResource()
		}
		if policyRevisionID != "" && policyRevisionID != q.PolicyRevision {
			return errPolicyRevision()
		}
		return r.setPolicy(key, "")
	})
	if err == nil {
		c.log.Info("policy deleted", "function", ref.Name, "qualifier", ref.Qualifier, "caller", caller.ARN)
	}
	return err
}

// editPolicy changes a resource policy by change, which gets nil if there is
// none and answers nil if none is left.
func (c *Catalog) editPolicy(ctx context.Context, caller alcove.Caller, ref alcove.Ref, done string,
	change func(e *entry, key, arn string, now *document) (*document, error)) error {
	err := c.editQualified(ctx, ref, func(e *entry, r *record, key, arn string) error {
		now, err := readDocument(r.Qualified[key].Policy)
		if err != nil {
			return err
		}
		if now, err = change(e, key, arn, now); err != nil {
			return err
		}
		text, err := now.text()
		if err != nil {
			return err
		}
		return r.setPolicy(key, text)
	})
	if err == nil {
		c.log.Info(done, "function", ref.Name, "qualifier", ref.Qualifier, "caller", caller.ARN)
	}
	return err
}

// editQualified changes what belongs to a qualifier of a function.
func (c *Catalog) editQualified(ctx context.Context, ref alcove.Ref, change func(e *entry, r *record, key, arn string) error) error {
	defer c.lock(ref.Name)()
	return c.edit(ctx, ref.Name, func(e *entry, r *record) error {
		key, arn, err := c.known(e, ref.Qualifier)
		if err != nil {
			return err
		}
		return change(e, r, key, arn)
	})
}

// setPolicy sets a policy or, with an empty text, removes it.
func (r *record) setPolicy(key, text string) error {
	if err := tooLong(text); err != nil {
		return err
	}
	r.setQualified(key, func(q *qualified) {
		q.Policy, q.PolicyRevision = text, ""
		if text != "" {
			q.PolicyRevision = newRevision()
		}
	})
	r.revise(key)
	return nil
}

// find gives the place of the statement with an id, or -1.
func (d *document) find(sid string) int {
	for i, s := range d.Statement {
		var named struct{ Sid string }
		if json.Unmarshal(s, &named) == nil && named.Sid == sid {
			return i
		}
	}
	return -1
}

// readDocument reads a policy that this program wrote; none is nil.
func readDocument(text string) (*document, error) {
	if text == "" {
		return nil, nil
	}
	d := &document{}
	if err := json.Unmarshal([]byte(text), d); err != nil {
		return nil, fault("reading a policy", err)
	}
	return d, nil
}

// text writes a policy; nil is none.
func (d *document) text() (string, error) {
	if d == nil {
		return "", nil
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(d); err != nil {
		return "", err
	}
	text := strings.TrimSuffix(b.String(), "\n")
	return text, tooLong(text)
}

func tooLong(text string) error {
	if len(text) > MaxPolicy {
		return alcove.ClientError("PolicyLengthExceededException", "The final policy size (%d) is bigger than the limit (%d).", len(text), MaxPolicy)
	}
	return nil
}

func statementTaken(sid string) error {
	return alcove.ClientError(alcove.CodeResourceConflict,
		"The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", sid)
}

func noStatement(sid string) error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "Statement %s is not found in resource policy.", sid)
}

func noPolicy() error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "No policy is associated with the given resource.")
}

func errPolicyRevision() error {
	return alcove.ClientError(alcove.CodePreconditionFailed,
		"The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id")
}
