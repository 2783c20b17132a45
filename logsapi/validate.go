package logsapi

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"

	"github.com/alcove-run/alcove/internal/lazyregexp"
)

// AWS's patterns (botocore, logs 2014-03-28), quoted in its validation errors.
const (
	groupPattern  = `[\.\-_/#A-Za-z0-9]+`
	streamPattern = `[^:*]*`
)

var (
	groupName  = lazyregexp.New(`^` + groupPattern + `$`)
	streamName = lazyregexp.New(`^` + streamPattern + `$`)
)

// checks gathers the constraints that a request does not satisfy.
type checks []string

func (c *checks) fail(value, member, constraint string) {
	*c = append(*c, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: Member must %s", value, member, constraint))
}

// err is the one error that tells them all, as AWS words it.
func (c checks) err() error {
	switch len(c) {
	case 0:
		return nil
	case 1:
		return invalidParameter("1 validation error detected: %s", c[0])
	}
	return invalidParameter("%d validation errors detected: %s", len(c), strings.Join(c, "; "))
}

func (c *checks) length(value, member string, least, most int) bool {
	switch n := len([]rune(value)); {
	case n < least:
		c.fail(value, member, fmt.Sprint("have length greater than or equal to ", least))
	case n > most:
		c.fail(value, member, fmt.Sprint("have length less than or equal to ", most))
	default:
		return true
	}
	return false
}

func (c *checks) group(value, member string) {
	if c.length(value, member, 1, 512) && !groupName.MatchString(value) {
		c.fail(value, member, "satisfy regular expression pattern: "+groupPattern)
	}
}

func (c *checks) stream(value, member string) {
	if c.length(value, member, 1, 512) && !streamName.MatchString(value) {
		c.fail(value, member, "satisfy regular expression pattern: "+streamPattern)
	}
}

// required checks a string that must be there.
func (c *checks) required(value *string, member string, check func(value, member string)) {
	if value == nil {
		c.fail("null", member, "not be null")
		return
	}
	check(*value, member)
}

// optional checks a string that may be there.
func (c *checks) optional(value *string, member string, check func(value, member string)) {
	if value != nil {
		check(*value, member)
	}
}

// limit checks a page size.
func (c *checks) limit(value *int64, member string, most int64) {
	switch {
	case value == nil:
	case *value < 1:
		c.fail(strconv.FormatInt(*value, 10), member, "have value greater than or equal to 1")
	case *value > most:
		c.fail(strconv.FormatInt(*value, 10), member, fmt.Sprint("have value less than or equal to ", most))
	}
}

// moment checks a time in Unix milliseconds.
func (c *checks) moment(value *int64, member string) {
	if value != nil && *value < 0 {
		c.fail(strconv.FormatInt(*value, 10), member, "have value greater than or equal to 0")
	}
}

// maxMoment is the last time that a range may name: everything behind it is as
// good.
const maxMoment = 1 << 52

// timeAt is the time of an optional member, moved on by some milliseconds; zero
// if it is not there.
func timeAt(value *int64, add int64) time.Time {
	if value == nil {
		return time.Time{}
	}
	return time.UnixMilli(min(*value, maxMoment) + add)
}

func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// groupInput is the input of operations on a group, streamInput of those on a
// stream.
type groupInput struct {
	LogGroupName *string `json:"logGroupName"`
}

type streamInput struct {
	LogGroupName  *string `json:"logGroupName"`
	LogStreamName *string `json:"logStreamName"`
}

func (in *groupInput) check() error {
	var c checks
	c.required(in.LogGroupName, "logGroupName", c.group)
	return c.err()
}

func (in *streamInput) check() error {
	var c checks
	c.required(in.LogGroupName, "logGroupName", c.group)
	c.required(in.LogStreamName, "logStreamName", c.stream)
	return c.err()
}

// groupRef is how requests name a group: by name or by name or ARN.
type groupRef struct {
	LogGroupName       *string `json:"logGroupName"`
	LogGroupIdentifier *string `json:"logGroupIdentifier"`
}

// resolve gives the group's name.
func (g groupRef) resolve(p alcove.Place, c *checks) (string, error) {
	if g.LogGroupName != nil && g.LogGroupIdentifier != nil {
		return "", invalidParameter("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	}
	if g.LogGroupIdentifier != nil {
		if !c.length(*g.LogGroupIdentifier, "logGroupIdentifier", 1, 2048) {
			return "", c.err()
		}
		name, here := nameOf(p, *g.LogGroupIdentifier)
		if !here {
			return "", noGroup()
		}
		c.group(name, "logGroupIdentifier")
		return name, c.err()
	}
	c.required(g.LogGroupName, "logGroupName", c.group)
	return orZero(g.LogGroupName), c.err()
}

// nameOf is the name in a group's name or ARN; here says that it is one of ours.
func nameOf(p alcove.Place, identifier string) (name string, here bool) {
	if !strings.HasPrefix(identifier, "arn:") {
		return identifier, true
	}
	name, here = strings.CutPrefix(identifier, groupARN(p, ""))
	return strings.TrimSuffix(name, ":*"), here
}

// groupARN is a group's ARN, without the :* that stands for its streams.
func groupARN(p alcove.Place, name string) string {
	return "arn:" + p.Partition + ":logs:" + p.Region + ":" + p.Account + ":log-group:" + name
}

// What inputs are about, as the Service Authorization Reference for CloudWatch
// Logs has it: a group's ARN with :* behind it, or a stream's. A name that is not
// there, or in a form that will be refused, stands for all.

// subjectOf is the ARN of a group, or of a stream of it.
func subjectOf(p alcove.Place, group string, stream *string) string {
	if !groupName.MatchString(group) {
		group = "*"
	}
	if stream != nil {
		return groupARN(p, group) + ":log-stream:" + *stream
	}
	return groupARN(p, group) + ":*"
}

func (in *groupInput) about(p alcove.Place) string { return subjectOf(p, orZero(in.LogGroupName), nil) }

func (in *streamInput) about(p alcove.Place) string {
	return subjectOf(p, orZero(in.LogGroupName), in.LogStreamName)
}

// about is a group: a name and an identifier together are refused.
func (g groupRef) about(p alcove.Place) string { return subjectOf(p, g.named(p), nil) }

func (g groupRef) named(p alcove.Place) string {
	if g.LogGroupIdentifier == nil {
		return orZero(g.LogGroupName)
	}
	name, here := nameOf(p, *g.LogGroupIdentifier)
	if !here || g.LogGroupName != nil {
		return ""
	}
	return name
}

func (in *getLogEventsInput) about(p alcove.Place) string {
	return subjectOf(p, in.named(p), in.LogStreamName)
}

// about is all groups, as on AWS.
func (in *describeLogGroupsInput) about(p alcove.Place) string { return groupARN(p, "*") + ":*" }

// visible says whose records are answered with; nil is everybody's.
func (c *call) visible() func(alcove.Tenant) bool {
	if c.scope.All() {
		return nil
	}
	return c.scope.Sees
}
