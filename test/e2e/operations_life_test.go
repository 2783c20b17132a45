package e2e

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// life leads the lives with a client.
type life struct {
	client
	vars      map[string]string
	succeeded map[string]bool // operations
	unknown   map[string]bool // to the client
}

func (l *life) replace(v any) any {
	switch v := v.(type) {
	case string:
		for _, name := range []string{"layerRev", "resource", "policy", "layer", "alias", "csc2", "csc", "rev2", "rev", "sha", "f", "g", "l"} { // longest first
			if value, ok := l.vars[name]; ok && !strings.Contains(v, "$LATEST") || ok && name == "f" {
				v = strings.ReplaceAll(v, "$"+name, value)
			}
		}
		return v
	case object:
		made := object{}
		for key, one := range v {
			made[key] = l.replace(one)
		}
		return made
	case []string:
		made := make([]string, len(v))
		for i, one := range v {
			made[i] = l.replace(one).(string)
		}
		return made
	}
	return v
}

// at gives what is at a path of an answer.
func at(v any, path string) (any, bool) {
	for key := range strings.SplitSeq(path, ".") {
		switch now := v.(type) {
		case object:
			next, ok := now[key]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i := 0
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(now) {
				return nil, false
			}
			v = now[i]
		default:
			return nil, false
		}
	}
	return v, v != nil && v != ""
}

func (l *life) lead(t *testing.T, s step) {
	t.Helper()
	in := object{}
	if s.in != nil {
		in = l.replace(s.in).(object)
	}
	var a reply
	var lengths []int
	var all []any
	switch {
	case s.wait != "":
		a = l.client.wait(t, s.wait, in)
	case s.pages != "":
		lengths, all, a = l.client.pages(t, s.op, s.pages, in, 1)
	default:
		a = l.client.call(t, s.op, in)
	}
	name := s.op + s.wait
	if a.Unknown != "" {
		l.unknown[name] = true
		t.Skipf("this client does not have %s", a.Unknown)
	}
	text := l.replace(s.text).(string)
	if a.Code != s.code || !strings.Contains(a.Text, text) || s.status != 0 && a.Status != 0 && a.Status != s.status {
		t.Errorf("%s %v: %d %s: %s\nwant %d %s: %s", name, in, a.Status, a.Code, a.Text, s.status, s.code, text)
		return
	}
	if s.code == "" && s.op != "" {
		l.succeeded[s.op] = true
	}
	for path, want := range s.want {
		have, ok := at(a.Out, path)
		want = l.replace(want)
		if want == "-" && ok || want == "*" && !ok || want != "-" && want != "*" && want != "" && !reflect.DeepEqual(have, want) {
			t.Errorf("%s answers %s %v, want %v\n%v", name, path, have, want, a.Out)
		}
	}
	for key, path := range s.save {
		value, ok := at(a.Out, path)
		if text, isText := value.(string); !ok || !isText {
			t.Errorf("%s answers no %s: %v", name, path, a.Out)
		} else {
			l.vars[key] = text
		}
	}
	if s.payload != "" {
		if have, _ := at(a.Out, "Payload"); decodeBlob(t, have) != s.payload {
			t.Errorf("the payload is %q", decodeBlob(t, have))
		}
	}
	if s.pages != "" {
		if len(all) != s.n || lengths != nil && slices.ContainsFunc(lengths, func(n int) bool { return n > 1 }) {
			t.Errorf("%s: %d in pages of %v, want %d", name, len(all), lengths, s.n)
		}
	}
}

// leadAll leads all lives with a client, against a node of its own, with a subtest
// for each step.
func leadAll(t *testing.T, start func(t *testing.T, n *node) client) *life {
	n := startIn(t, t.TempDir(), "--isolation", "namespace")
	l := &life{client: start(t, n), vars: map[string]string{"f": "function", "g": "isolated", "l": "layer"}, succeeded: map[string]bool{}, unknown: map[string]bool{}}
	encode := func(f files) string { return base64.StdEncoding.EncodeToString(f.Zip(t)) }
	zip := encode(files{"main.py": answers1})
	for _, noun := range lives(zip, encode(files{"main.py": answers2}), encode(files{"python/x.py": "x = 1"})) {
		t.Run(noun.noun, func(t *testing.T) {
			refused := false
			for i, s := range noun.steps {
				// A process for each step takes its time: one refusal for each noun.
				_, slow := l.client.(*cli)
				if slow && s.code != "" && refused {
					continue
				}
				refused = refused || s.code != ""
				var skipped bool
				t.Run(s.op+s.wait, func(t *testing.T) {
					defer func() { skipped = t.Skipped() }()
					l.lead(t, s)
				})
				if skipped && i == 0 {
					break // what the others are about was not made
				}
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		for i, s := range missing(zip) {
			if _, slow := l.client.(*cli); slow && i >= 5 {
				break // a process for each; other clients ask all of them
			}
			t.Run(s.op, func(t *testing.T) { l.lead(t, s) })
		}
	})
	return l
}
