package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// MaxDocument is the longest policy of a key, in characters without white space
// (IAM quotas: a managed policy).
const MaxDocument = 6144

// MalformedError says what is wrong with a document, in AWS's words where they
// are known.
type MalformedError struct{ Text string }

// Error gives the text.
func (e *MalformedError) Error() string { return e.Text }

func malformed(format string, args ...any) *MalformedError {
	return &MalformedError{fmt.Sprintf(format, args...)}
}

// Document is a compiled policy. It is not changed any more and may be used by
// many goroutines.
type Document struct {
	statements []statement
	scoped     bool
}

type statement struct {
	allow        bool
	notAction    bool
	actions      []pattern
	notResource  bool
	resources    []arnPattern
	conditions   []condition
	principals   *principals // nil in the policy of a key
	unevaluated  bool        // of a resource's policy: it cannot be evaluated
	tenantScoped bool        // a condition asks for the tenant
	// needed are the variables that have no default value. Without all of them a
	// statement allows nothing.
	needed []*key
}

// compiler is how a document is read.
type compiler struct {
	variables bool // the document's version has policy variables
	// lenient reads a resource's policy, which may name keys that AWS has and no
	// request here does.
	lenient bool
	needed  []*key // of the statement that is being read
}

const (
	currentVersion = "2012-10-17"
	firstVersion   = "2008-10-17"
)

// Parse compiles the policy of a key. The errors are *[MalformedError].
func Parse(text string) (*Document, error) {
	if n := length(text); n > MaxDocument {
		return nil, malformed("Cannot exceed quota for PolicySize: %d", MaxDocument)
	}
	return (&compiler{}).document(text)
}

// ParseResource compiles the policy of a resource, whose statements name
// principals. What it cannot evaluate of a statement makes it allow nothing, or
// deny all that it is about.
func ParseResource(text string) (*Document, error) {
	return (&compiler{lenient: true}).document(text)
}

// length counts characters that are no white space.
func length(text string) (n int) {
	for _, r := range text {
		if r != ' ' && r != '\t' && r != '\n' && r != '\r' {
			n++
		}
	}
	return n
}

func (c *compiler) document(text string) (*Document, error) {
	if !utf8.ValidString(text) || !json.Valid([]byte(text)) {
		return nil, malformed("The policy is not in the valid JSON format.")
	}
	members, err := object(json.RawMessage(text), "Version", "Id", "Statement")
	if err != nil {
		return nil, err
	}
	version := firstVersion
	if raw, ok := members["Version"]; ok {
		if json.Unmarshal(raw, &version) != nil || version != currentVersion && version != firstVersion {
			return nil, malformed("Policy document must be version %s or greater.", currentVersion)
		}
	}
	c.variables = version == currentVersion
	if raw, ok := members["Id"]; ok {
		if err := json.Unmarshal(raw, new(string)); err != nil {
			return nil, syntax()
		}
	}
	list, err := statements(members["Statement"])
	if err != nil {
		return nil, err
	}
	d := &Document{}
	sids := map[string]bool{}
	for _, raw := range list {
		s, err := c.statement(raw, sids)
		if err != nil {
			return nil, err
		}
		d.scoped = d.scoped || s.tenantScoped
		d.statements = append(d.statements, s)
	}
	return d, nil
}

func syntax() *MalformedError { return malformed("Syntax errors in policy.") }

// object reads a JSON object whose members have these names, each once: a name
// that is read as another, or twice, is a hole in a policy.
func object(raw json.RawMessage, names ...string) (map[string]json.RawMessage, error) {
	members, order, err := pairs(raw)
	if err != nil {
		return nil, err
	}
next:
	for _, name := range order {
		for _, n := range names {
			if n == name {
				continue next
			}
		}
		return nil, syntax()
	}
	return members, nil
}

// pairs reads any JSON object, and gives the names in their order.
func pairs(raw json.RawMessage) (members map[string]json.RawMessage, order []string, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, syntax()
	}
	members = map[string]json.RawMessage{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, nil, syntax()
		}
		if _, twice := members[name]; twice {
			return nil, nil, syntax()
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, nil, syntax()
		}
		members[name] = value
		order = append(order, name)
	}
	return members, order, nil
}

// statements reads a statement, or a list of them.
func statements(raw json.RawMessage) ([]json.RawMessage, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 0 && raw[0] == '{' {
		return []json.RawMessage{raw}, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return nil, syntax()
	}
	return list, nil
}

var (
	sidPattern    = regexp.MustCompile(`^[0-9A-Za-z]*$`)
	actionPattern = regexp.MustCompile(`^(\*|[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+)$`)
)

func (c *compiler) statement(raw json.RawMessage, sids map[string]bool) (s statement, err error) {
	c.needed = nil
	defer func() { s.needed = c.needed }()
	m, err := object(raw, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
	if err != nil {
		return s, err
	}
	if err := c.sid(m["Sid"], sids); err != nil {
		return s, err
	}
	var effect string
	if json.Unmarshal(m["Effect"], &effect) != nil || effect != "Allow" && effect != "Deny" {
		return s, syntax()
	}
	s.allow = effect == "Allow"
	if err := c.principal(&s, m); err != nil {
		return s, err
	}
	if err := c.actions(&s, m); err != nil {
		return s, err
	}
	if err := c.resources(&s, m); err != nil {
		return s, err
	}
	if raw, ok := m["Condition"]; ok {
		if err = c.conditions(&s, raw); err != nil && c.lenient {
			s.unevaluated, err = true, nil
		}
	}
	return s, err
}

func (c *compiler) sid(raw json.RawMessage, seen map[string]bool) error {
	if raw == nil {
		return nil
	}
	var sid string
	if json.Unmarshal(raw, &sid) != nil {
		return syntax()
	}
	if c.lenient { // resources' have other letters, too
		return nil
	}
	if !sidPattern.MatchString(sid) {
		return malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
	}
	if sid != "" && seen[sid] {
		return malformed("Statement IDs (SID) in a single policy must be unique.")
	}
	seen[sid] = true
	return nil
}

// either reads one of two members, a text or a list of texts.
func either(m map[string]json.RawMessage, name string, missing string) (list []string, not bool, err error) {
	raw, is := m[name]
	other, isNot := m["Not"+name]
	switch {
	case is && isNot:
		return nil, false, syntax()
	case isNot:
		raw = other
	case !is:
		return nil, false, malformed("%s", missing)
	}
	list, ok := textsOf(raw)
	if !ok {
		return nil, false, syntax()
	}
	if len(list) == 0 {
		return nil, false, malformed("%s", missing)
	}
	return list, isNot, nil
}

// textsOf reads a text, or a list of them.
func textsOf(raw json.RawMessage) ([]string, bool) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	out := make([]string, 0, len(list))
	for _, one := range list {
		var s *string
		if json.Unmarshal(one, &s) != nil || s == nil {
			return nil, false
		}
		out = append(out, *s)
	}
	return out, true
}

func (c *compiler) actions(s *statement, m map[string]json.RawMessage) error {
	list, not, err := either(m, "Action", "Policy statement must contain actions.")
	if err != nil {
		return err
	}
	s.notAction = not
	plain := &compiler{} // actions have no variables
	for _, text := range list {
		if !actionPattern.MatchString(text) {
			return malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
		}
		p, err := plain.pattern(text, true)
		if err != nil {
			return err
		}
		s.actions = append(s.actions, p)
	}
	return nil
}

func (c *compiler) resources(s *statement, m map[string]json.RawMessage) error {
	list, not, err := either(m, "Resource", "Policy statement must contain resources.")
	if err != nil {
		return err
	}
	s.notResource = not
	for _, text := range list {
		a, ok, err := c.arn(text)
		if err != nil {
			return err
		}
		if !ok {
			return malformed("Resource %s must be in ARN format or \"*\".", text)
		}
		s.resources = append(s.resources, a)
	}
	return nil
}

func (c *compiler) conditions(s *statement, raw json.RawMessage) error {
	byOperator, operators, err := pairs(raw)
	if err != nil {
		return err
	}
	for _, operator := range operators {
		byKey, names, err := pairs(byOperator[operator])
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, name := range names {
			if folded := strings.ToLower(name); seen[folded] {
				return syntax()
			} else {
				seen[folded] = true
			}
			values, ok := scalars(byKey[name])
			if !ok {
				return syntax()
			}
			one, err := c.condition(operator, name, values)
			if err != nil {
				return err
			}
			s.tenantScoped = s.tenantScoped || one.key.id == tenantID
			s.conditions = append(s.conditions, one)
		}
	}
	return nil
}

// scalars reads a value of a condition, or a list of at least one: texts, numbers
// and booleans.
func scalars(raw json.RawMessage) ([]string, bool) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	out := make([]string, 0, len(list))
	for _, one := range list {
		one = bytes.TrimSpace(one)
		switch {
		case len(one) == 0, one[0] == '{', one[0] == '[', one[0] == 'n':
			return nil, false
		case one[0] == '"':
			var s string
			if json.Unmarshal(one, &s) != nil {
				return nil, false
			}
			out = append(out, s)
		default:
			out = append(out, string(one))
		}
	}
	return out, len(out) > 0
}
