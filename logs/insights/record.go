package insights

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxFields bounds the fields of a record, as AWS bounds those that it discovers.
const maxFields = 1000

// Fields gives all fields of an event, each by the name that a query has for it.
// Times are Unix milliseconds.
func Fields(e *Event) []Cell {
	var cells []Cell
	for _, name := range systemNames {
		value := ""
		switch system[name] {
		case ofTimestamp:
			value = strconv.FormatInt(e.At, 10)
		case ofIngestionTime:
			value = strconv.FormatInt(e.Ingested, 10)
		case ofMessage:
			value = e.Message
		case ofLogStream:
			value = e.Stream
		case ofLog:
			value = e.Log
		case ofPtr:
			value = e.Ptr()
		}
		cells = append(cells, Cell{name, value})
	}
	for name := range lambdaFields {
		if s, ok := lambdaField(e.Message, name).Text(); ok {
			cells = append(cells, Cell{name, s})
		}
	}
	flatten(object(e.Message), "", 0, &cells)
	return cells
}

// flatten adds the scalars of a value, by where in it they are.
func flatten(v gjson.Result, name string, depth int, cells *[]Cell) {
	if len(*cells) >= maxFields || depth > maxParts {
		return
	}
	if !v.IsObject() && !v.IsArray() {
		if s, ok := ofJSON(v).Text(); ok && name != "" {
			if strings.HasPrefix(name, "@") {
				name = "@" + name
			}
			*cells = append(*cells, Cell{name, s})
		}
		return
	}
	if name != "" {
		name += "."
	}
	i := 0
	v.ForEach(func(k, member gjson.Result) bool {
		part := k.String()
		if v.IsArray() {
			part = strconv.Itoa(i)
		}
		i++
		flatten(member, name+part, depth+1, cells)
		return len(*cells) < maxFields
	})
}
