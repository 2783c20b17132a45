package logsapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlainPatterns(t *testing.T) {
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{"", "anything"}, nil},
		{"  ", []string{"anything"}, nil},
		{"ERROR", []string{"ERROR", "an ERROR here"}, []string{"error", "ERR OR"}},
		{"ERROR timeout", []string{"timeout before ERROR"}, []string{"ERROR", "timeout"}},
		{`"Task timed out"`, []string{"x Task timed out after"}, []string{"Task timed  out", "timed out Task"}},
		{`"a \"b\" \\ c"`, []string{`say a "b" \ c`}, []string{`a b c`}},
		{"?a1 ?b1", []string{"a1", "xb1x"}, []string{"c"}},
		{"-noise", []string{"signal"}, []string{"noise", "some noise"}},
		{`ERROR -"known issue"`, []string{"ERROR new"}, []string{"ERROR known issue", "new"}},
		{"must ?may", []string{"must", "must may"}, []string{"may"}},
		{"%[45][0-9]{2}%", []string{"status 404", "503"}, []string{"200", "4x4"}},
		{"한글 é_1", []string{"é_1 한글"}, []string{"한글"}},
	}
	for _, tt := range tests {
		p, err := compilePattern(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for _, m := range tt.yes {
			if !p.match([]byte(m)) {
				t.Errorf("%s does not match %s", tt.pattern, m)
			}
		}
		for _, m := range tt.no {
			if p.match([]byte(m)) {
				t.Errorf("%s matches %s", tt.pattern, m)
			}
		}
		if _, ok := p.tenants(); ok {
			t.Errorf("%s names tenants", tt.pattern)
		}
	}
}

func TestJSONPatterns(t *testing.T) {
	const doc = `{"tenantId":"blue","record":{"tenantId":"blue","n":7,"f":1.5,"list":[{"a":"x"},2],"none":null,"yes":true,"no":false},
		"detail-type":"d t","odd name":1,"ip":"10.0.0.7","status":503,"text":"a ERROR b","empty":""}`
	yes := []string{
		`{ $.tenantId = "blue" || $.record.tenantId = "blue" }`, `{$.tenantId="blue"}`, `{ $.tenantId = blue }`,
		`{ $.record.n = 7 }`, `{ $.record.n = 7.0 }`, `{ $.record.f = 15e-1 }`, `{ $.record.n > 6 && $.record.n < 8 }`,
		`{ $.record.n >= 7 && $.record.n <= 7 }`, `{ $.record.n != 8 }`, `{ $.tenantId != "red" }`, `{ $.tenantId != 3 }`,
		`{ $.record.list[0].a = "x" }`, `{ $.record.list[1] = 2 }`, `{ $["odd name"] = 1 }`, `{ $.record["n"] = 7 }`,
		`{ $.record.none IS NULL }`, `{ $.record.yes IS TRUE }`, `{ $.record.no is false }`, `{ $.missing NOT EXISTS }`, `{ $.record.list[2] NOT EXISTS }`,
		`{ $.ip = 10.0.* }`, `{ $.status = 5* }`, `{ $.text = "*ERROR*" }`, `{ $.text = %E.*R b$% }`, `{ $.detail-type = "d t" }`,
		`{ $.tenantId = * }`, `{ $.empty = "" }`, `{ $.empty = "*" }`, `{ $.record.yes = true }`,
		`{ ($.tenantId = "red" || $.record.n = 7) && $.status = 503 }`, `{ $.tenantId = "blue" || $.x = 1 && $.y = 2 }`,
		`{ (($.tenantId = "blue")) }`, `  { $.tenantId = "blue" }  `, `{ $.record.none != 1 }`,
	}
	no := []string{
		`{ $.tenantId = "red" }`, `{ $.tenantId = "Blue" }`, `{ $.tenantId = "blu" }`, `{ $.tenantId = "b*d" }`, `{ $.record.n = "7" }`, `{ $.record.n = 8 }`,
		`{ $.record.n > 7 }`, `{ $.tenantId > 1 }`, `{ $.missing = 1 }`, `{ $.missing != 1 }`, `{ $.record = * }`, `{ $.record != 1 }`, `{ $.record.list != 1 }`,
		`{ $.record.none NOT EXISTS }`, `{ $.missing IS NULL }`, `{ $.record.yes IS FALSE }`, `{ $.tenantId.x = 1 }`, `{ $.record[0] = 7 }`, `{ $.record.list.a = "x" }`,
		`{ ($.tenantId = "blue" || $.x = 1) && $.y = 2 }`, `{ $.tenantId = "red" && $.record.n = 7 || $.x = 1 }`, `{ $.status = "503" }`, `{ $.status = "5*" }`,
		`{ $.text = "ERROR*" }`, `{ $.record.list[9] = 2 }`, `{ $ = 1 }`,
	}
	for _, s := range yes {
		check(t, s, doc, true)
	}
	for _, s := range no {
		check(t, s, doc, false)
	}
	for _, m := range []string{"", "plain", `"blue"`, `{"tenantId":"blue"`, `{"tenantId":"blue"} trailing`, `{"tenantId":["blue"]}`, `{"x":"tenantId blue"}`} {
		check(t, `{ $.tenantId = "blue" }`, m, false)
	}
	check(t, `{ $.tenantId = "blue" }`, `{"tenantId":"\u0062lue"}`, true)
	check(t, `{ $.tenantId = "blue" }`, "\n{\"tenantId\":\"blue\"}\n", true)
	check(t, `{ $.a = "<é>" }`, `{"a":"\u003cé>"}`, true)
	check(t, `{ $[0].a = 1 }`, `[{"a":1}]`, true)
}

func check(t *testing.T, s, message string, want bool) {
	t.Helper()
	p, err := compilePattern(s)
	if err != nil {
		t.Errorf("%s: %v", s, err)
		return
	}
	if got := p.match([]byte(message)); got != want {
		t.Errorf("%s of %.60s: %v", s, message, got)
	}
}

func TestBadPatterns(t *testing.T) {
	for s, want := range map[string]string{
		"a:b":                          "Invalid character(s) in term ':'",
		"foo-bar":                      "Invalid character(s) in term '-'",
		"?Status: x":                   "Invalid character(s) in term ':'",
		"[ip, user":                    "Invalid filter pattern: it ends too early",
		"[ip, , user]":                 "Invalid character(s) in term ','",
		"[]":                           "Invalid character(s) in term ']'",
		"[ip, ..., user, ...]":         "Invalid filter pattern: there is more than one ellipsis",
		"[ip = 1 && user = 2]":         "Invalid filter pattern: conditions of one field name both 'ip' and 'user'",
		"[ip ~ 1]":                     "Invalid character(s) in term '~'",
		"[ip > x]":                     "Invalid filter pattern: only numbers can be compared by size",
		"[ip = 1] x":                   "Invalid character(s) in term 'x'",
		"[(ip = 1]":                    "Invalid character(s) in term ']'",
		"[" + strings.Repeat("(", 100): "Invalid filter pattern: too many parentheses",
		"%something!%":                 "Invalid filter pattern: a regular expression cannot have '!'",
		"%(a)%":                        "Invalid filter pattern: a regular expression cannot have '('",
		"%é%":                          "Invalid filter pattern: a regular expression cannot have 'é'",
		"%a% %b% %c%":                  "Invalid filter pattern: there are more than 2 regular expressions",
		"[a=%a%, b=%b%, c=%c%]":        "Invalid filter pattern: there are more than 2 regular expressions",
		"-":                            "Invalid filter pattern: it ends too early",
		`"open`:                        "Invalid filter pattern: a quotation mark is not closed",
		"%open":                        "Invalid filter pattern: a regular expression is not closed with %",
		"%[%":                          "Invalid filter pattern: the regular expression is malformed",
		"{":                            "Invalid filter pattern: it ends too early",
		"{}":                           "Invalid character(s) in term '}'",
		"{ $.a }":                      "Invalid character(s) in term '}'",
		"{ $.a = }":                    "Invalid character(s) in term '}'",
		"{ $.a = 1":                    "Invalid filter pattern: it ends too early",
		"{ $.a = 1 } x":                "Invalid character(s) in term 'x'",
		"{ $.a = 1 && }":               "Invalid character(s) in term '}'",
		"{ ($.a = 1 }":                 "Invalid character(s) in term '}'",
		"{ a = 1 }":                    "Invalid character(s) in term 'a'",
		`{ $."a" = 1 }`:                "Invalid character(s) in term '\"'",
		"{ $.a[x] = 1 }":               "Invalid character(s) in term 'x'",
		"{ $.a > b }":                  "Invalid filter pattern: only numbers can be compared by size",
		"{ $.a IS ODD }":               "Invalid filter pattern: 'IS' is no comparison",
		"{ $.a == 1 }":                 "Invalid character(s) in term '='",
		strings.Repeat("{", 1000):      "Invalid character(s) in term '{'",
		"{" + strings.Repeat("(", 100): "Invalid filter pattern: too many parentheses",
		"%.{0,700}% %.{0,700}%":        "Invalid filter pattern: the regular expressions are too large; repeat less often in them",
		"%" + strings.Repeat(".{0,1000}", 100) + "%":          "Invalid filter pattern: the regular expressions are too large; repeat less often in them",
		"{ $.a = %" + strings.Repeat("[a-z]{900}", 9) + "% }": "Invalid filter pattern: the regular expressions are too large; repeat less often in them",
	} {
		_, err := compilePattern(s)
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", s, err, want)
		}
	}
}

func TestTenantsOfPatterns(t *testing.T) {
	var many []string
	for i := range maxTenants + 1 {
		many = append(many, fmt.Sprintf(`$.tenantId = "t%02d"`, i))
	}
	tests := []struct {
		pattern string
		want    []string
		ok      bool
	}{
		{`{ $.tenantId = "blue" || $.record.tenantId = "blue" }`, []string{"blue"}, true},
		{`{ $.tenantId = blue }`, []string{"blue"}, true},
		{`{ $.tenantId = "red" || $.record.tenantId = "blue" }`, []string{"blue", "red"}, true},
		{`{ ($.tenantId = "blue" || $.record.tenantId = "blue") && $.level = "ERROR" }`, []string{"blue"}, true},
		{`{ $.level = "ERROR" && $.tenantId = "blue" }`, []string{"blue"}, true},
		{`{ $.tenantId = "blue" || $.level = "ERROR" }`, nil, false},
		{`{ $.tenantId = "b*" }`, nil, false},
		{`{ $.tenantId = %b% }`, nil, false},
		{`{ $.tenantId = 7 }`, nil, false},
		{`{ $.tenantId != "blue" }`, nil, false},
		{`{ $.other.tenantId = "blue" }`, nil, false},
		{`{ ` + strings.Join(many, " || ") + ` }`, nil, false},
		{`blue`, nil, false},
	}
	for _, tt := range tests {
		p, err := compilePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.tenants()
		if ok != tt.ok || ok && !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, %v", tt.pattern, got, ok)
		}
	}
}

// Whatever pattern and message: no panic, the quick look never hides a match,
// and no message matches a pattern that names tenants without naming one.
func FuzzPattern(f *testing.F) {
	f.Add(`{ $.tenantId = "blue" || $.record.tenantId = "blue" }`, `{"tenantId":"blue"}`)
	f.Add(`{ ($.a[0].b != 1e3 && $.c NOT EXISTS) || $["x y"] = *z* }`, `{"a":[{"b":2}],"x y":"z"}`)
	f.Add(`?"a b" -c %d+%`, `a b d`)
	f.Add(`[ip, user, ..., status=4* || status=%5[0-9]% && status!=599, bytes > 1e3]`, `127.0.0.1 frank [10/Oct/2000] "GET / HTTP/1.0" 404 1534`)
	f.Add(`{ $.a[*].b = 1 || $.['c d'] IS TRUE }`, `{"a":[{"b":1}],"c d":true}`)
	f.Add(`{ $.a = <`+"`"+`> }`, `{"a":"\u003c"}`)
	f.Fuzz(func(t *testing.T, s, message string) {
		if len(s) > maxPattern {
			return
		}
		p, err := compilePattern(s)
		if err != nil {
			if !utf8.ValidString(err.Error()) && utf8.ValidString(s) {
				t.Fatalf("error %q", err)
			}
			return
		}
		got := p.match([]byte(message))
		if p.json == nil {
			return
		}
		var document any
		if json.Unmarshal([]byte(message), &document) != nil {
			if got {
				t.Fatal("matches what is no JSON")
			}
			return
		}
		if _, list := document.([]any); !list {
			if _, object := document.(map[string]any); !object {
				return
			}
		}
		if want := p.json.match(document); got != want {
			t.Fatalf("%s of %s: %v with the quick look, %v without", s, message, got, want)
		}
		ids, ok := p.tenants()
		if !got || !ok {
			return
		}
		for _, path := range [][]step{{{name: "tenantId"}}, {{name: "record"}, {name: "tenantId"}}} {
			if find(document, path, func(v any) bool {
				id, _ := v.(string)
				return slices.Contains(ids, id) || v == true && slices.Contains(ids, "true") || v == false && slices.Contains(ids, "false")
			}) {
				return
			}
		}
		t.Fatalf("%s matches %s without naming any of %q", s, message, ids)
	})
}
