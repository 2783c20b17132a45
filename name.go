package alcove

import (
	"regexp"
	"strings"
)

// Place is the account and region that a node answers for.
type Place struct {
	Partition string // "aws"
	Region    string
	Account   string // 12 digits
}

// FunctionARN is the unqualified ARN of a function of this place.
func (p Place) FunctionARN(name string) string {
	return "arn:" + p.Partition + ":lambda:" + p.Region + ":" + p.Account + ":function:" + name
}

// UserARN is the ARN of the IAM user to whom an access key of this place belongs.
func (p Place) UserARN(name string) string {
	return "arn:" + p.Partition + ":iam::" + p.Account + ":user/" + name
}

// RoleARN is the ARN of an execution role of this place.
func (p Place) RoleARN(name string) string {
	return "arn:" + p.Partition + ":iam::" + p.Account + ":role/" + name
}

// LayerARN is the ARN of a layer of this place, without a version.
func (p Place) LayerARN(name string) string {
	return "arn:" + p.Partition + ":lambda:" + p.Region + ":" + p.Account + ":layer:" + name
}

// SigningARN is the ARN of a code signing configuration of this place.
func (p Place) SigningARN(id string) string {
	return "arn:" + p.Partition + ":lambda:" + p.Region + ":" + p.Account + ":code-signing-config:" + id
}

// Ref is a function as a client named it: by name, by partial ARN
// (account:function:name) or by full ARN, each with or without a qualifier.
type Ref struct {
	Name string
	// Qualifier is a version number, $LATEST or an alias; empty if none was given.
	Qualifier string
}

// FunctionNamePattern is AWS's pattern for the FunctionName member of Invoke and
// most other operations (Lambda API reference), quoted in its validation errors.
const FunctionNamePattern = `(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?(-iso([a-z])?)?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`

// QualifierPattern is AWS's pattern for a qualifier.
const QualifierPattern = `\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`

var (
	namePattern      = regexp.MustCompile(`^[a-zA-Z0-9-_]+$`)
	qualifierPattern = regexp.MustCompile(`^(?:` + QualifierPattern + `)$`)
	functionPattern  = regexp.MustCompile(`^(?:` + FunctionNamePattern + `)$`)
)

// ParseRef reads a function as a client named it, with the Qualifier that came
// beside it, if any. A malformed name is a ValidationException; one of another
// account or region is a ResourceNotFoundException, as a client of AWS that asks
// the wrong endpoint gets (for a region with a text of its own, recorded from the
// service); two different qualifiers are an InvalidParameterValueException.
func (p Place) ParseRef(s, qualifier string) (Ref, error) {
	if !functionPattern.MatchString(s) {
		return Ref{}, ClientError(CodeValidation,
			"1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", s, FunctionNamePattern)
	}
	if qualifier != "" && (len(qualifier) > 128 || !qualifierPattern.MatchString(qualifier)) {
		return Ref{}, ClientError(CodeValidation,
			"1 validation error detected: Value '%s' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", qualifier, QualifierPattern)
	}
	ref := Ref{Qualifier: qualifier}
	parts := strings.Split(s, ":")
	here := true
	switch {
	case parts[0] == "arn": // arn:aws:lambda:region:account:function:name[:qualifier]
		if len(parts) < 7 {
			return Ref{}, malformedName(s)
		}
		if parts[3] != p.Region {
			return Ref{}, ClientError(CodeResourceNotFound, "Functions from '%s' are not reachable in this region ('%s')", parts[3], p.Region)
		}
		here = parts[1] == p.Partition && parts[4] == p.Account
		parts = parts[6:]
	case len(parts) >= 3 && parts[1] == "function": // account:function:name[:qualifier]
		here = parts[0] == p.Account
		parts = parts[2:]
	case len(parts) >= 2 && parts[0] == "function": // function:name[:qualifier]
		parts = parts[1:]
	}
	if len(parts) == 0 || len(parts) > 2 {
		return Ref{}, malformedName(s)
	}
	ref.Name = parts[0]
	if len(parts) == 2 {
		if qualifier != "" && qualifier != parts[1] {
			return Ref{}, InvalidParameter("The derived qualifier from the function name does not match the specified qualifier.")
		}
		ref.Qualifier = parts[1]
	}
	if !here || !ValidName(ref.Name) {
		return Ref{}, NotFound(s)
	}
	return ref, nil
}

func malformedName(s string) *Error {
	return ClientError(CodeValidation,
		"1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: %s", s, FunctionNamePattern)
}

// ValidName says whether s is a bare function name.
func ValidName(s string) bool {
	return len(s) <= MaxNameLength && namePattern.MatchString(s)
}
