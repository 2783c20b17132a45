package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// The evaluator is compared with one that is written from the rules, slowly: it
// reads the document anew for every request and knows no compiled form.

type naiveStatement struct {
	Effect                                   string
	Action, NotAction, Resource, NotResource []string
	Condition                                map[string]map[string][]string
}

// glob is a pattern as a regular expression.
func glob(p string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("(?s)^")
	for _, r := range p {
		switch r {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return regexp.MustCompile(b.String() + "$")
}

func naiveARN(p, arn string) bool {
	if p == "*" {
		return true
	}
	want, is := strings.SplitN(p, ":", 6), strings.SplitN(arn, ":", 6)
	if len(is) != 6 {
		return false
	}
	for i := range want {
		if !glob(want[i]).MatchString(is[i]) {
			return false
		}
	}
	return true
}

func anyOf(list []string, f func(string) bool) bool {
	for _, s := range list {
		if f(s) {
			return true
		}
	}
	return false
}

func (s *naiveStatement) match(r *Request, values map[string]string) bool {
	action := func(p string) bool {
		return glob(strings.ToLower(p)).MatchString(strings.ToLower(r.Action))
	}
	resource := func(p string) bool { return naiveARN(p, r.Resource) }
	if s.Action != nil && !anyOf(s.Action, action) || s.NotAction != nil && anyOf(s.NotAction, action) ||
		s.Resource != nil && !anyOf(s.Resource, resource) || s.NotResource != nil && anyOf(s.NotResource, resource) {
		return false
	}
	for operator, keys := range s.Condition {
		for key, list := range keys {
			value, ok := values[key]
			if operator == "Null" {
				if (list[0] == "true") == ok {
					return false
				}
				continue
			}
			base, ifExists := strings.CutSuffix(operator, "IfExists")
			if !ok && ifExists {
				continue
			}
			not := strings.Contains(base, "Not")
			holds := ok && anyOf(list, func(p string) bool {
				if strings.HasSuffix(base, "Like") {
					return glob(p).MatchString(value)
				}
				return p == value
			})
			if holds == not {
				return false
			}
		}
	}
	return true
}

func naive(t *testing.T, text string, r *Request) Decision {
	var d struct{ Statement []naiveStatement }
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"aws:username": r.Principal.Name}
	if r.Tenant != "" {
		values["lambda:TenantId"] = r.Tenant
	}
	decision := NotAllowed
	for _, s := range d.Statement {
		if s.match(r, values) && s.Effect == "Deny" {
			return Denied
		}
	}
	for _, s := range d.Statement {
		if s.match(r, values) {
			decision = Allowed
		}
	}
	return decision
}

// draw gives some of a list, at least one.
func draw(rnd *rand.Rand, list ...string) []string {
	n := 1 + rnd.IntN(2)
	out := make([]string, n)
	for i := range out {
		out[i] = list[rnd.IntN(len(list))]
	}
	return out
}

func randomDocument(rnd *rand.Rand) string {
	var list []map[string]any
	for range 1 + rnd.IntN(4) {
		s := map[string]any{"Effect": []string{"Allow", "Allow", "Deny"}[rnd.IntN(3)]}
		s[[]string{"Action", "Action", "NotAction"}[rnd.IntN(3)]] = draw(rnd, "*", "lambda:*", "lambda:InvokeFunction", "lambda:?nvoke*", "logs:*", "LAMBDA:get*", "lambda:*Function")
		s[[]string{"Resource", "Resource", "NotResource"}[rnd.IntN(3)]] = draw(rnd, "*", fn+"f", fn+"f:*", fn+"?", fn+"*", "arn:aws:lambda:*:*:function:f*", "arn:*:*:*:*:*", "arn:aws:logs:*:*:*")
		if rnd.IntN(2) == 0 {
			c := map[string]map[string][]string{}
			for range 1 + rnd.IntN(2) {
				operator := draw(rnd, "StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIfExists", "StringNotLikeIfExists", "Null")[0]
				key := draw(rnd, "lambda:TenantId", "aws:username")[0]
				values := draw(rnd, "blue", "ann", "b*", "*", "??ue", "*n*")
				if operator == "Null" {
					values = draw(rnd, "true", "false")[:1]
				}
				if c[operator] == nil {
					c[operator] = map[string][]string{}
				}
				c[operator][key] = values
			}
			s["Condition"] = c
		}
		list = append(list, s)
	}
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": list})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestDecisionsAreTheNaiveOnes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	seen := map[Decision]int{}
	for i := range 5000 {
		text := randomDocument(rnd)
		d := parse(t, text)
		r := request(draw(rnd, "lambda:InvokeFunction", "lambda:GetFunction", "logs:FilterLogEvents")[0],
			draw(rnd, "*", fn+"f", fn+"f:1", fn+"g", "arn:aws:logs:us-east-1:000000000000:log-group:g")[0], tenant(draw(rnd, "", "blue", "bn")[0]))
		want := naive(t, text, r)
		if got := d.Decide(r); got != want {
			t.Fatalf("document %d: %v, want %v\n%s\n%+v", i, got, want, text, r)
		}
		seen[want]++
		// What is allowed for a tenant is found before the tenant is known.
		any := *r
		any.AnyTenant = true
		if want == Allowed && d.Decide(&any) != Allowed {
			t.Fatalf("document %d: allowed for %q, not for any\n%s", i, r.Tenant, text)
		}
	}
	for _, d := range []Decision{NotAllowed, Allowed, Denied} {
		if seen[d] < 500 {
			t.Errorf("%v came out %d times only", d, seen[d])
		}
	}
	t.Log(fmt.Sprint(seen))
}

func FuzzParse(f *testing.F) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(randomDocument(rnd), "blue", fn+"f")
	}
	f.Add(doc(allow(`"Action":"*","Resource":"`+fn+`${aws:username, 'x'}","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"DateLessThan":{"aws:CurrentTime":"2030"}}`)), "b", "*")
	f.Fuzz(func(t *testing.T, text, who, resource string) {
		r := request("lambda:InvokeFunction", resource, tenant(who))
		if d, err := Parse(text); err == nil {
			if d.Decide(r) == Allowed {
				any := *r
				any.AnyTenant = true
				if d.Decide(&any) != Allowed {
					t.Error("allowed for a tenant, and not for any")
				}
			}
			_ = d.Covers(who)
		}
		if d, err := ParseResource(text); err == nil {
			d.Decide(r)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	d := parse(b, doc(allow(`"Action":"lambda:InvokeFunction","Resource":"`+fn+`*","Condition":{"StringEquals":{"lambda:TenantId":"blue"}}`)))
	r := request("lambda:InvokeFunction", fn+"f", tenant("blue"))
	b.ReportAllocs()
	for b.Loop() {
		if d.Decide(r) != Allowed {
			b.Fatal("denied")
		}
	}
}
