package lambdaapi

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An operation's request is a struct, with a field for each member of AWS's
// request by AWS's name; a nil pointer is an absent member. Tags say the rest:
//
//	from:"path"               the member is a segment of the path, not of the body
//	from:"query"              or a parameter of the query, from:"query=name" if it
//	                          is spelled otherwise there
//	is:"Shape"                it satisfies the constraint of that name
//	is:"Shape,required"       and must be there; is:",required" is only that
//
// A request is decoded, bound and compared with all constraints before its
// operation sees it. What a table cannot say, a method check(*failures) does.

// member is one field of a request.
type member struct {
	index    int
	name     string // as messages spell it
	key      string // in the path or the query
	source   source
	is       *constraint
	required bool
	inside   *members // of a structure, or of a list's structures
}

type source int

const (
	fromBody source = iota
	fromPath
	fromQuery
)

// members are the fields of a struct; embedded structs are flattened with the
// reflect index of their own.
type members struct {
	list   []member
	embeds []embedded
	body   bool // some member comes from the body
}

type embedded struct {
	index int
	of    *members
}

// membersOf reads the tags of a struct. A wrong tag is a defect of the program
// and found when the table of routes is made.
func membersOf(t reflect.Type) *members {
	m := &members{}
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Anonymous {
			inner := membersOf(field.Type)
			m.embeds = append(m.embeds, embedded{i, inner})
			m.body = m.body || inner.body
			continue
		}
		one := member{index: i, name: messageName(field.Name), key: field.Name}
		from, key, _ := strings.Cut(field.Tag.Get("from"), "=")
		switch from {
		case "":
			m.body = true
		case "path":
			one.source = fromPath
		case "query":
			one.source = fromQuery
		default:
			panic(fmt.Sprintf("lambdaapi: %s.%s comes from %q", t, field.Name, from))
		}
		if key != "" {
			one.key = key
		}
		shape, rest, _ := strings.Cut(field.Tag.Get("is"), ",")
		one.required = rest == "required"
		if shape != "" {
			c, ok := constraints[shape]
			if !ok {
				panic(fmt.Sprintf("lambdaapi: %s.%s is a %q, which no constraint is named", t, field.Name, shape))
			}
			one.is = &c
		}
		if inner := structure(field.Type); inner != nil {
			one.inside = membersOf(inner)
		}
		m.list = append(m.list, one)
	}
	return m
}

// structure is the struct that a pointer points to or a slice holds.
func structure(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Elem().Kind() == reflect.Struct {
			return t.Elem()
		}
	}
	return nil
}

// messageName is a member's name as AWS's messages spell it.
func messageName(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(first)) + name[size:]
}

// read makes a request of c, or says all that is wrong with it.
func (m *members) read(c *call, in any) error {
	if m.body {
		m.mask(c.body)
		if err := decode(c.body, in); err != nil {
			return err
		}
	}
	var f failures
	v := reflect.ValueOf(in).Elem()
	m.bind(&f, c, v)
	m.check(&f, "", v)
	if more, ok := in.(interface{ check(*failures) }); ok {
		more.check(&f)
	}
	return f.err()
}

// bind sets the members that come from the path and the query, whatever a body
// had under their names.
func (m *members) bind(f *failures, c *call, v reflect.Value) {
	for _, e := range m.embeds {
		e.of.bind(f, c, v.Field(e.index))
	}
	for _, one := range m.list {
		field := v.Field(one.index)
		switch one.source {
		case fromBody:
			continue
		case fromPath:
			one.set(f, field, []string{c.param(one.key)})
			continue
		}
		field.SetZero()
		if values, ok := c.query[one.key]; ok {
			one.set(f, field, values)
		}
	}
}

// set gives a member what a path or a query has for it.
func (one *member) set(f *failures, field reflect.Value, values []string) {
	switch field.Interface().(type) {
	case *string:
		field.Set(reflect.ValueOf(&values[0]))
	case []string:
		field.Set(reflect.ValueOf(values))
	case *int:
		n, err := strconv.Atoi(values[0])
		if err != nil {
			f.add(one.name, values[0], "Member must be an integer")
			return
		}
		field.Set(reflect.ValueOf(&n))
	default:
		panic(fmt.Sprintf("lambdaapi: %s cannot come from a path or a query as %s", one.name, field.Type()))
	}
}

// check compares the members of v with their constraints. prefix is the path to
// v, with a dot at its end.
func (m *members) check(f *failures, prefix string, v reflect.Value) {
	for _, e := range m.embeds {
		e.of.check(f, prefix, v.Field(e.index))
	}
	for _, one := range m.list {
		field := v.Field(one.index)
		name := prefix + one.name
		if field.Kind() != reflect.Bool && field.IsZero() {
			if one.required {
				f.null(name)
			}
			continue
		}
		one.check(f, name, field)
	}
}

func (one *member) check(f *failures, name string, field reflect.Value) {
	if one.inside != nil {
		if field.Kind() == reflect.Pointer {
			one.inside.check(f, name+".", field.Elem())
			return
		}
		for i := range field.Len() {
			one.inside.check(f, name+"."+strconv.Itoa(i+1)+".member.", field.Index(i))
		}
	}
	if one.is == nil {
		return
	}
	switch value := field.Interface().(type) {
	case *string:
		one.is.text(f, name, *value)
	case *int:
		one.is.number(f, name, *value)
	case []string:
		one.is.texts(f, name, value)
	case map[string]float64:
		one.is.weights(f, name, value)
	default:
		panic(fmt.Sprintf("lambdaapi: nothing is known to constrain %s by", field.Type()))
	}
}

// param is the segment of the path that the route calls name.
func (c *call) param(name string) string {
	segments, n := split(c.route.path)
	at := 0
	for _, s := range segments[:n] {
		if !strings.HasPrefix(s, "{") {
			continue
		}
		if s[1:len(s)-1] == name {
			return c.params[at]
		}
		at++
	}
	panic("lambdaapi: " + c.route.operation + " has no " + name + " in its path")
}
