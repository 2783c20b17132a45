package insights

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Event is an event of a log.
type Event struct {
	Log          string // the group, as @log says it
	Stream       string
	At, Ingested int64 // Unix milliseconds
	Message      string
	// Ptr gives what @ptr says.
	Ptr func() string
}

// source is where a field comes from.
type source uint8

const (
	notInEvents source = iota
	inJSON
	inLambda // the text of one of Lambda's own records
	ofTimestamp
	ofMessage
	ofLogStream
	ofLog
	ofIngestionTime
	ofPtr
	inStructure // a member of a slot's value
)

var system = map[string]source{"@timestamp": ofTimestamp, "@message": ofMessage, "@logStream": ofLogStream, "@log": ofLog,
	"@ingestionTime": ofIngestionTime, "@ptr": ofPtr}

// systemNames are those that a whole record has, in the order of a listing.
var systemNames = []string{"@ingestionTime", "@log", "@logStream", "@message", "@ptr", "@timestamp"}

// sourceOf is where a field of that name would be. A member of JSON whose own name
// begins with @ has one more before it.
func sourceOf(name string) source {
	if from, ok := system[name]; ok {
		return from
	}
	if _, ok := lambdaFields[name]; ok {
		return inLambda
	}
	if strings.HasPrefix(name, "@") && !strings.HasPrefix(name, "@@") {
		return notInEvents
	}
	return inJSON
}

// row is what goes through the stages of a run: an event, or what stats made.
type row struct {
	run   *Run
	event *Event // nil behind stats, and of a row that was held
	at    int64  // the time of the event that it is, or was
	vals  []Value
	known []bool // whether vals has the slot's value

	// The event's JSON, once it was looked for.
	looked bool
	doc    gjson.Result
}

// get gives the value of a slot.
func (r *row) get(slot int) Value {
	if !r.known[slot] {
		r.known[slot] = true
		r.vals[slot] = r.load(slot)
	}
	return r.vals[slot]
}

func (r *row) set(slot int, v Value) { r.vals[slot], r.known[slot] = v, true }

// load takes a value out of the event.
func (r *row) load(slot int) Value {
	s := &r.run.query.slots[slot]
	if s.source == inStructure {
		v := r.get(s.base)
		r.run.spend(len(v.s))
		return memberOf(v, s.member)
	}
	if r.event == nil {
		return Value{}
	}
	switch s.source {
	case inJSON:
		if !r.mayHold("") {
			return Value{}
		}
		r.run.spend(len(r.event.Message))
		return lookup(r.json(), strings.TrimPrefix(s.name, "@"))
	case inLambda:
		return lambdaField(r.event.Message, s.name)
	case ofTimestamp:
		return momentValue(r.event.At)
	case ofMessage:
		return textValue(r.event.Message)
	case ofLogStream:
		return textValue(r.event.Stream)
	case ofLog:
		return textValue(r.event.Log)
	case ofIngestionTime:
		return momentValue(r.event.Ingested)
	case ofPtr:
		return textValue(r.event.Ptr())
	}
	return Value{}
}

// mayHold says whether the event's JSON may have a text in it: false means no. With a
// backslash in it, it may spell the text in another way.
func (r *row) mayHold(part string) bool {
	m := r.event.Message
	return strings.IndexByte(m, '{') >= 0 && (strings.Contains(m, part) || strings.IndexByte(m, '\\') >= 0)
}

// json gives the event's JSON: the message, or the first object in it.
func (r *row) json() gjson.Result {
	if !r.looked {
		r.looked = true
		r.doc = object(r.event.Message)
	}
	return r.doc
}

const (
	// maxNesting is beyond what a recursive reader should be given unseen.
	maxNesting = 1000
	// maxTries bounds how often the beginning of an object is looked for in text.
	maxTries = 4
)

func object(message string) gjson.Result {
	trimmed := strings.TrimSpace(message)
	if strings.HasPrefix(trimmed, "{") && validJSON(trimmed) {
		return gjson.Parse(trimmed)
	}
	rest := message
	for range maxTries {
		i := strings.IndexByte(rest, '{')
		if i < 0 {
			break
		}
		rest = rest[i:]
		var whole json.RawMessage
		if json.NewDecoder(strings.NewReader(rest)).Decode(&whole) == nil {
			return gjson.ParseBytes(whole)
		}
		rest = rest[1:]
	}
	return gjson.Result{}
}

func validJSON(s string) bool {
	if strings.Count(s, "{")+strings.Count(s, "[") > maxNesting {
		return json.Valid([]byte(s)) // which has a bound of its own
	}
	return gjson.Valid(s)
}

// lookup finds a member by its name, members of members and places of lists behind
// dots. A name may have dots itself.
func lookup(v gjson.Result, name string) Value { return find(v, name, ofJSON) }

// find is lookup with what is made of the member that was found.
func find(v gjson.Result, name string, as func(gjson.Result) Value) (found Value) {
	switch {
	case v.IsObject():
		v.ForEach(func(k, member gjson.Result) bool {
			key := k.String()
			if key == name {
				found = as(member)
			} else if len(name) > len(key) && name[len(key)] == '.' && strings.HasPrefix(name, key) {
				found = find(member, name[len(key)+1:], as)
			}
			return found.kind == missing
		})
	case v.IsArray():
		n := digits(name)
		place, err := strconv.Atoi(name[:n])
		if err != nil || len(name) > n && name[n] != '.' {
			return Value{}
		}
		i := 0
		v.ForEach(func(_, member gjson.Result) bool {
			if i == place {
				if len(name) == n {
					found = as(member)
				} else {
					found = find(member, name[n+1:], as)
				}
			}
			i++
			return i <= place
		})
	}
	return found
}

// ofJSON is a scalar as a value; null, objects and lists are none.
func ofJSON(v gjson.Result) Value {
	switch v.Type {
	case gjson.String:
		return textValue(v.Str)
	case gjson.Number:
		if n, ok := parseNumber(v.Raw); ok {
			return Value{kind: number, n: n, s: v.Raw}
		}
		return textValue(v.Raw)
	case gjson.True:
		return truthValue(true)
	case gjson.False:
		return truthValue(false)
	}
	return Value{}
}

// lambdaFields are the fields that AWS discovers in Lambda's text records: where in a
// REPORT line they are, and what its unit is in theirs.
var lambdaFields = map[string]struct {
	label string
	unit  float64
}{
	"@type": {}, "@requestId": {}, "@duration": {"Duration: ", 1}, "@billedDuration": {"Billed Duration: ", 1}, "@initDuration": {"Init Duration: ", 1},
	"@memorySize": {"Memory Size: ", 1e6}, "@maxMemoryUsed": {"Max Memory Used: ", 1e6},
	"@xrayTraceId": {"XRAY TraceId: ", 0}, "@xraySegmentId": {"SegmentId: ", 0},
}

// lambdaField finds a field in the text of a record, or of a line that a runtime wrote
// with its request id.
func lambdaField(message, name string) Value {
	word, rest, ok := strings.Cut(message, " RequestId: ")
	ok = ok && (word == "START" || word == "END" || word == "REPORT")
	switch f := lambdaFields[name]; {
	case name == "@type" && ok:
		return textValue(word)
	case name == "@requestId" && ok:
		end := strings.IndexAny(rest, " \t\n")
		if end < 0 {
			end = len(rest)
		}
		return textValue(rest[:end])
	case name == "@requestId":
		return requestID(message)
	case ok && word == "REPORT" && f.label != "":
		for part := range strings.SplitSeq(rest, "\t") {
			value, is := strings.CutPrefix(strings.TrimSuffix(part, "\n"), f.label)
			if !is {
				continue
			}
			if f.unit == 0 {
				return textValue(strings.TrimSpace(value))
			}
			amount, _, _ := strings.Cut(value, " ")
			if n, ok := parseNumber(amount); ok {
				return Value{kind: number, n: n * f.unit, s: asJava(n * f.unit)}
			}
		}
	}
	return Value{}
}

// requestID finds the id in a line of the form that runtimes give text: words between
// tabs, of which the second or the third is the id.
func requestID(message string) Value {
	n := 0
	for part := range strings.SplitSeq(message, "\t") {
		if n > 0 && len(part) == 36 && part[8] == '-' && part[13] == '-' && part[18] == '-' && part[23] == '-' {
			return textValue(part)
		}
		if n++; n > 2 {
			break
		}
	}
	return Value{}
}

// asJava writes a number as AWS shows those that it discovers, as Java does: 15.0,
// 1.28E8.
func asJava(n float64) string {
	if n >= 1e7 || n != 0 && n < 1e-3 {
		s := strings.ToUpper(strconv.FormatFloat(n, 'e', -1, 64))
		mantissa, exponent, _ := strings.Cut(s, "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		e, _ := strconv.Atoi(exponent)
		return mantissa + "E" + strconv.Itoa(e)
	}
	s := strconv.FormatFloat(n, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// Options are a run's.
type Options struct {
	Now          time.Time // what now() is
	Since, Until time.Time // the range that is asked
	// Rows bounds the rows of the answer; zero means DefaultRows.
	Rows int
	// Memory bounds what is held meanwhile, in bytes; zero means DefaultMemory.
	Memory int
	// Pause, if not nil, is called now and then while one event takes long. Its error
	// ends the run.
	Pause func() error
}

// Defaults of [Options].
const (
	DefaultRows   = 10_000
	DefaultMemory = 32 << 20
)
