package insights

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What follows is the language once more, in the plainest way: commands are functions
// of lists of rows, one after the other as they stand. It knows nothing of Parse, of
// slots, and of what a plan leaves out or puts off. Values are nil, string or float64.

type plainRow map[string]any

type plainCommand struct {
	text    string
	run     func([]plainRow) []plainRow
	columns func([]string) []string
	counts  bool // events behind it are those that match
}

type plainExpr struct {
	text string
	of   func(plainRow) any
}

func plainNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil && strings.Trim(v, "0123456789.-") == ""
	}
	return 0, false
}

func plainTrue(v any) bool { n, ok := plainNumber(v); return ok && n != 0 || v == "true" }

func plainBool(b bool) any {
	if b {
		return 1.0
	}
	return 0.0
}

func plainText(v any) string {
	if n, ok := v.(float64); ok {
		return formatNumber(n)
	}
	return fmt.Sprint(v)
}

// plainOrder compares as < does.
func plainOrder(a, b any) (int, bool) {
	s, ok1 := a.(string)
	t, ok2 := b.(string)
	if ok1 && ok2 {
		return cmp.Compare(s, t), true
	}
	x, ok1 := plainNumber(a)
	y, ok2 := plainNumber(b)
	return cmp.Compare(x, y), ok1 && ok2
}

// plainBefore compares as sort does; texts here have no digits within.
func plainBefore(a, b any) int {
	rank := func(v any) int {
		if v == nil {
			return 0
		}
		if _, ok := plainNumber(v); ok {
			return 2
		}
		return 1
	}
	if c := cmp.Compare(rank(a), rank(b)); c != 0 || a == nil {
		return c
	}
	x, ok := plainNumber(a)
	if !ok {
		return strings.Compare(a.(string), b.(string))
	}
	y, _ := plainNumber(b)
	return cmp.Compare(x, y)
}

func drawField(t *rapid.T, scope []string) plainExpr {
	name := rapid.SampledFrom(scope).Draw(t, "field")
	return plainExpr{name, func(r plainRow) any { return r[name] }}
}

func drawValue(t *rapid.T, scope []string, depth int) plainExpr {
	switch kind := rapid.IntRange(0, 6).Draw(t, "kind"); {
	case kind < 3 || depth <= 0:
		return drawField(t, scope)
	case kind == 3:
		n := rapid.IntRange(-3, 12).Draw(t, "number")
		return plainExpr{strconv.Itoa(n), func(plainRow) any { return float64(n) }}
	case kind == 4:
		s := rapid.SampledFrom([]string{"blue", "red", "7", "", "b"}).Draw(t, "text")
		return plainExpr{strconv.Quote(s), func(plainRow) any { return s }}
	case kind == 5:
		a, b := drawValue(t, scope, depth-1), drawValue(t, scope, depth-1)
		op := rapid.SampledFrom([]string{"+", "-", "*"}).Draw(t, "op")
		return plainExpr{"(" + a.text + " " + op + " " + b.text + ")", func(r plainRow) any {
			x, ok1 := plainNumber(a.of(r))
			y, ok2 := plainNumber(b.of(r))
			switch {
			case !ok1 || !ok2:
				return nil
			case op == "+":
				return x + y
			case op == "-":
				return x - y
			}
			return x * y
		}}
	}
	a, b := drawValue(t, scope, depth-1), drawValue(t, scope, depth-1)
	return plainExpr{"coalesce(" + a.text + ", " + b.text + ")", func(r plainRow) any {
		if v := a.of(r); v != nil {
			return v
		}
		return b.of(r)
	}}
}

func drawCondition(t *rapid.T, scope []string, depth int) plainExpr {
	kind := rapid.IntRange(0, 7).Draw(t, "condition")
	if depth <= 0 {
		kind = min(kind, 4)
	}
	switch kind {
	case 0, 1:
		a, b := drawValue(t, scope, 1), drawValue(t, scope, 1)
		op := rapid.SampledFrom([]string{"=", "==", "!=", "<", "<=", ">", ">="}).Draw(t, "op")
		return plainExpr{a.text + " " + op + " " + b.text, func(r plainRow) any {
			c, ok := plainOrder(a.of(r), b.of(r))
			switch op {
			case "=", "==":
				return plainBool(ok && c == 0)
			case "!=":
				return plainBool(!ok || c != 0)
			case "<":
				return plainBool(ok && c < 0)
			case "<=":
				return plainBool(ok && c <= 0)
			case ">":
				return plainBool(ok && c > 0)
			}
			return plainBool(ok && c >= 0)
		}}
	case 2:
		a, part, inverted := drawField(t, scope), rapid.SampledFrom([]string{"b", "ed", "1"}).Draw(t, "part"), rapid.Bool().Draw(t, "not")
		word, quote := " like ", strconv.Quote(part)
		if inverted {
			word = " not like "
		}
		if rapid.Bool().Draw(t, "regexp") {
			quote = "/" + part + "/"
		}
		return plainExpr{a.text + word + quote, func(r plainRow) any {
			v := a.of(r)
			return plainBool((v != nil && strings.Contains(plainText(v), part)) != inverted)
		}}
	case 3:
		a, inverted := drawField(t, scope), rapid.Bool().Draw(t, "not")
		word := " in "
		if inverted {
			word = " not in "
		}
		return plainExpr{a.text + word + `["red", 3, "blue", -1]`, func(r plainRow) any {
			found := false
			for _, o := range []any{"red", 3.0, "blue", -1.0} {
				c, ok := plainOrder(a.of(r), o)
				found = found || ok && c == 0
			}
			return plainBool(found != inverted)
		}}
	case 4:
		a := drawField(t, scope)
		return plainExpr{"ispresent(" + a.text + ")", func(r plainRow) any { return plainBool(a.of(r) != nil) }}
	case 5:
		a := drawCondition(t, scope, depth-1)
		return plainExpr{"not (" + a.text + ")", func(r plainRow) any { return plainBool(!plainTrue(a.of(r))) }}
	}
	a, b := drawCondition(t, scope, depth-1), drawCondition(t, scope, depth-1)
	and := kind == 6
	word := " or "
	if and {
		word = " and "
	}
	return plainExpr{"(" + a.text + word + b.text + ")", func(r plainRow) any {
		x, y := plainTrue(a.of(r)), plainTrue(b.of(r))
		return plainBool(and && x && y || !and && (x || y))
	}}
}

// plainQuery draws a query: some commands on events, stats perhaps, some on what it
// makes, dedup perhaps, and a limit.
func plainQuery(t *rapid.T) []plainCommand {
	scope := []string{"tenantId", "n", "s", "flag", "@logStream", "absent", "record.tenantId"}
	var list []plainCommand
	defined := 0
	some := func(most int) {
		sorted := false
		for range rapid.IntRange(0, most).Draw(t, "commands") {
			switch rapid.IntRange(0, 4).Draw(t, "command") {
			case 0, 1:
				c := drawCondition(t, scope, 2)
				list = append(list, plainCommand{text: "filter " + c.text, counts: true, run: func(rows []plainRow) []plainRow {
					return slices.DeleteFunc(slices.Clone(rows), func(r plainRow) bool { return !plainTrue(c.of(r)) })
				}})
			case 2:
				e, name := drawValue(t, scope, 2), fmt.Sprint("a", defined)
				defined++
				scope = append(scope, name)
				list = append(list, plainCommand{text: "fields " + e.text + " as " + name, counts: true,
					columns: func(c []string) []string { return append(c, name) },
					run: func(rows []plainRow) []plainRow {
						for _, r := range rows {
							r[name] = e.of(r)
						}
						return rows
					}})
			case 3:
				e, desc := drawField(t, append(slices.Clone(scope), "@timestamp")), rapid.Bool().Draw(t, "desc")
				sorted = true
				word := " asc"
				if desc {
					word = " desc"
				}
				list = append(list, plainCommand{text: "sort " + e.text + word, run: func(rows []plainRow) []plainRow {
					slices.SortStableFunc(rows, func(a, b plainRow) int {
						c := plainBefore(e.of(a), e.of(b))
						if desc {
							c = -c
						}
						return c
					})
					return rows
				}})
			case 4:
				n := rapid.IntRange(1, 12).Draw(t, "limit")
				sorted = false
				list = append(list, plainCommand{text: fmt.Sprint("limit ", n), run: func(rows []plainRow) []plainRow { return rows[:min(n, len(rows))] }})
			}
		}
		if sorted { // the order of what stats makes is not told by a sort before it
			list = append(list, plainCommand{text: "limit 8", run: func(rows []plainRow) []plainRow { return rows[:min(8, len(rows))] }})
		}
	}
	some(4)
	if rapid.Bool().Draw(t, "stats") {
		list = append(list, drawStats(t, scope))
		scope = []string{"k", "n", "c", "absent"}
		some(3)
	}
	if rapid.Bool().Draw(t, "dedup") {
		e := drawField(t, scope)
		list = append(list, plainCommand{text: "dedup " + e.text, run: func(rows []plainRow) (out []plainRow) {
			seen := make(map[string]bool)
			for _, r := range rows {
				v := e.of(r)
				if v == nil || !seen[plainText(v)] {
					out = append(out, r)
				}
				if v != nil {
					seen[plainText(v)] = true
				}
			}
			return out
		}})
	}
	return list
}

func drawStats(t *rapid.T, scope []string) plainCommand {
	key, of := drawValue(t, scope, 1), drawField(t, scope)
	sums := rapid.SampledFrom([]string{"sum", "max", "count"}).Draw(t, "sums")
	return plainCommand{
		text:    fmt.Sprintf("stats %s(%s) as n, count(*) * 2 as c by %s as k", sums, of.text, key.text),
		columns: func([]string) []string { return []string{"k", "n", "c"} },
		run: func(rows []plainRow) (out []plainRow) {
			groups := make(map[string][]plainRow)
			var order []string
			for _, r := range rows {
				id := "missing"
				if v := key.of(r); v != nil {
					id = "=" + plainText(v)
				}
				if groups[id] == nil {
					order = append(order, id)
				}
				groups[id] = append(groups[id], r)
			}
			for _, id := range order {
				made := plainRow{"k": key.of(groups[id][0]), "c": 2 * float64(len(groups[id]))}
				var number, word any
				count := 0.0
				for _, r := range groups[id] {
					v := of.of(r)
					if v != nil {
						count++
					}
					x, ok := plainNumber(v)
					switch s, isText := v.(string); {
					case ok && number == nil:
						number = x
					case ok && sums == "sum":
						number = number.(float64) + x
					case ok:
						number = max(number.(float64), x)
					case isText && sums == "max" && (word == nil || s > word.(string)):
						word = s
					}
				}
				made["n"] = number
				if number == nil {
					made["n"] = word
				}
				if sums == "count" {
					made["n"] = count
				}
				out = append(out, made)
			}
			return out
		},
	}
}

func drawEvents(t *rapid.T) (events []Event, rows []plainRow) {
	for i := range rapid.IntRange(0, 25).Draw(t, "events") {
		r := plainRow{"@logStream": rapid.SampledFrom([]string{"one", "two"}).Draw(t, "stream")}
		members := []string{}
		add := func(name, text string, value any) {
			if rapid.IntRange(0, 3).Draw(t, name+" is there") > 0 {
				members = append(members, fmt.Sprintf("%q:%s", name, text))
				r[name] = value
			}
		}
		tenant := rapid.SampledFrom([]string{"blue", "red", "seven", "7"}).Draw(t, "tenant")
		add("tenantId", strconv.Quote(tenant), tenant)
		n := rapid.IntRange(-3, 12).Draw(t, "n")
		add("n", strconv.Itoa(n), float64(n))
		s := rapid.SampledFrom([]string{"", "7", "x", "blue"}).Draw(t, "s")
		add("s", strconv.Quote(s), s)
		add("flag", "true", 1.0)
		if rapid.Bool().Draw(t, "record") {
			members = append(members, fmt.Sprintf(`"record":{"tenantId":%q,"x":[1]}`, tenant))
			r["record.tenantId"] = tenant
		}
		at := base.UnixMilli() + int64(i)
		r["@timestamp"] = float64(at)
		message := "{" + strings.Join(members, ",") + "}"
		if rapid.IntRange(0, 4).Draw(t, "within") == 0 {
			message = "INFO\t" + message + " and more"
		}
		events = append(events, Event{Stream: r["@logStream"].(string), At: at, Ingested: at, Message: message, Ptr: func() string { return "" }})
		rows = append([]plainRow{r}, rows...) // the newest first
	}
	return events, rows
}

func TestQueriesAsPlainlyRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events, rows := drawEvents(t)
		commands := plainQuery(t)
		columns := []string{}
		var texts []string
		matched, still := len(rows), true
		for _, c := range commands {
			texts = append(texts, c.text)
			rows = c.run(rows)
			still = still && (c.counts || strings.HasPrefix(c.text, "sort "))
			if still {
				matched = len(rows)
			}
			if c.columns != nil {
				columns = c.columns(columns)
			}
		}
		if len(columns) == 0 {
			columns = []string{"tenantId"}
			texts = append([]string{"fields tenantId"}, texts...)
		}
		var want []string
		for _, r := range rows {
			var cells []string
			for _, c := range columns {
				if r[c] != nil {
					cells = append(cells, c+"="+plainText(r[c]))
				}
			}
			want = append(want, strings.Join(cells, "; "))
		}
		query := strings.Join(texts, " | ")
		q, err := Parse(query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		var got []string
		r := q.Start(Options{Now: base}, func(cells []Cell) error {
			var parts []string
			for _, c := range cells {
				if c.Name != "@ptr" {
					parts = append(parts, c.Name+"="+c.Value)
				}
			}
			got = append(got, strings.Join(parts, "; "))
			return nil
		})
		ordered := slices.Clone(events)
		if !q.OldestFirst() {
			slices.Reverse(ordered)
		}
		names, pinned := q.Tenants()
		for i := range ordered {
			before := r.Matched()
			if _, err := r.Add(&ordered[i]); err != nil {
				t.Fatal(err)
			}
			if pinned && r.Matched() > before && !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(ordered[i].Message, `"`+n+`"`) }) {
				t.Errorf("%s: matches %s, which names none of %q", query, ordered[i].Message, names)
			}
		}
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) || r.Matched() != matched {
			t.Errorf("%s\n got %q\nwant %q\nmatched %d, want %d", query, got, want, r.Matched(), matched)
		}
	})
}
