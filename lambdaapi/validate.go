package lambdaapi

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alcove-run/alcove"
)

// failures collects the constraints that a request breaks, to answer with all of
// them at once, in the words of AWS's front end.
type failures struct{ list []string }

// maxEcho is how much of a value a message repeats, in bytes.
const maxEcho = 1 << 10

func (f *failures) add(member, value, constraint string) {
	if len(value) > maxEcho {
		value = strings.ToValidUTF8(value[:maxEcho], "") + "…"
	}
	f.list = append(f.list, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", value, member, constraint))
}

func (f *failures) null(member string) {
	f.list = append(f.list, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", member))
}

const oneDetected = "1 validation error detected: "

// keep takes a ValidationException of one failure into the list; it gives back
// any other error.
func (f *failures) keep(err error) error {
	if err == nil {
		return nil
	}
	e := alcove.AsError(err)
	if e.Code != alcove.CodeValidation || !strings.HasPrefix(e.Message, oneDetected) {
		return err
	}
	f.list = append(f.list, strings.TrimPrefix(e.Message, oneDetected))
	return nil
}

// err is nil if nothing failed.
func (f *failures) err() error {
	switch n := len(f.list); n {
	case 0:
		return nil
	case 1:
		return alcove.ClientError(alcove.CodeValidation, "%s", oneDetected+f.list[0])
	default:
		return alcove.ClientError(alcove.CodeValidation, "%d validation errors detected: %s", n, strings.Join(f.list, "; "))
	}
}

// rule is one row of a table of constraints: a member, its value in the request
// at hand, and what the value has to satisfy. Exactly one of text, number and
// list is given; a nil pointer in it is an absent member.
type rule struct {
	member   string // as AWS's messages spell it: vpcConfig.subnetIds
	required bool

	text    **string
	min     int // of a text's length in characters, or a number
	max     int // likewise; 0 is none
	pattern *regexp.Regexp
	enum    []string

	number **int

	list *[]string // each element satisfies enum; min and max bound their number
}

// check compares every row with its constraints.
func check(f *failures, table []rule) {
	for _, r := range table {
		switch {
		case r.text != nil:
			r.checkText(f)
		case r.number != nil:
			r.checkNumber(f)
		case r.list != nil:
			r.checkList(f)
		}
	}
}

func (r *rule) checkText(f *failures) {
	if *r.text == nil {
		if r.required {
			f.null(r.member)
		}
		return
	}
	value := **r.text
	length := utf8.RuneCountInString(value)
	if length < r.min {
		f.add(r.member, value, "Member must have length greater than or equal to "+strconv.Itoa(r.min))
	}
	if r.max > 0 && length > r.max {
		f.add(r.member, value, "Member must have length less than or equal to "+strconv.Itoa(r.max))
	}
	if r.pattern != nil && !r.pattern.MatchString(value) {
		f.add(r.member, value, "Member must satisfy regular expression pattern: "+bareExpression(r.pattern))
	}
	if r.enum != nil && !slices.Contains(r.enum, value) {
		f.add(r.member, value, enumText(r.enum))
	}
}

func (r *rule) checkNumber(f *failures) {
	if *r.number == nil {
		if r.required {
			f.null(r.member)
		}
		return
	}
	value := **r.number
	if value < r.min {
		f.add(r.member, strconv.Itoa(value), "Member must have value greater than or equal to "+strconv.Itoa(r.min))
	}
	if r.max > 0 && value > r.max {
		f.add(r.member, strconv.Itoa(value), "Member must have value less than or equal to "+strconv.Itoa(r.max))
	}
}

func (r *rule) checkList(f *failures) {
	list := *r.list
	if list == nil {
		return
	}
	echo := "[" + strings.Join(list, ", ") + "]"
	if len(list) < r.min {
		f.add(r.member, echo, "Member must have length greater than or equal to "+strconv.Itoa(r.min))
	}
	if r.max > 0 && len(list) > r.max {
		f.add(r.member, echo, "Member must have length less than or equal to "+strconv.Itoa(r.max))
	}
	if r.enum != nil && slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(r.enum, s) }) {
		f.add(r.member, echo, "Member must satisfy constraint: ["+enumText(r.enum)+", Member must not be null]")
	}
}

func enumText(values []string) string {
	return "Member must satisfy enum value set: [" + strings.Join(values, ", ") + "]"
}

// whole compiles a pattern of AWS's model, which always stands for the whole
// value.
func whole(expression string) *regexp.Regexp {
	return regexp.MustCompile("^(?:" + expression + ")$")
}

// bareExpression is what was given to whole.
func bareExpression(p *regexp.Regexp) string {
	return strings.TrimSuffix(strings.TrimPrefix(p.String(), "^(?:"), ")$")
}
