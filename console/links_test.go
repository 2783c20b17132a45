package console

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// strange are ids of tenants that stand for something else in links, paths or
// spreadsheets.
var strange = []string{"a b c", "user@example.com", "=1+1", "+A1", "-1", "a/../b", "..", ".", "a=b", "x:y_z"}

var href = regexp.MustCompile(`href="([^"]*)"`)

// links are the addresses that a page leads to, within the page's own.
func links(t *testing.T, path, page string) (out []*url.URL) {
	t.Helper()
	base, err := url.Parse("http://node.example" + Prefix + path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range href.FindAllStringSubmatch(page, -1) {
		u, err := base.Parse(html.UnescapeString(m[1]))
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		out = append(out, u)
	}
	return out
}

// TestLinksLeadWhereTheySay follows the links of lists: to each tenant, to a stream of a
// log, and to the pages around.
func TestLinksLeadWhereTheySay(t *testing.T) {
	const stream = "2026/11/28/[$LATEST]00"
	type object = map[string]any
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		var out any
		switch r.URL.Path {
		case "/alcove/v1/tenants":
			list := []object{}
			for _, id := range strange {
				list = append(list, object{"tenant": id, "environments": 1})
			}
			for range 2 * pageSize {
				list = append(list, object{"tenant": random()})
			}
			out = object{"tenants": list}
		case "/alcove/v1/environments":
			out = object{"environments": []object{{"id": "e", "function": "f", "tenant": r.URL.Query().Get("tenant"), "bound": true, "state": "idle", "logStream": stream}}}
		default:
			anyKey(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	s.signIn(t)
	get := func(path string) ([]*url.URL, string) {
		page := body(t, s.ask("GET", path, nil))
		next := ""
		if m := regexp.MustCompile(`href="\?([^"]*)" rel="next"`).FindStringSubmatch(page); m != nil {
			next = html.UnescapeString(m[1])
		}
		return links(t, path, page), next
	}
	var reached []string
	path, pages := "tenants?search=&sort=environments&function=", 0
	for ; path != "" && pages < 10; pages++ {
		all, next := get(path)
		for _, u := range all {
			if strings.HasSuffix(u.Path, "/tenant") {
				reached = append(reached, u.Query().Get("tenant"))
			}
		}
		if path = ""; next != "" {
			path = "tenants?" + next
		}
	}
	if len(reached) != len(strange)+2*pageSize {
		t.Errorf("%d tenants are on the pages of %d", len(reached), len(strange)+2*pageSize)
	}
	for _, id := range strange {
		if !slices.Contains(reached, id) {
			t.Errorf("no link leads to %q", id)
		}
		found := false
		all, _ := get("tenant?tenant=" + url.QueryEscape(id))
		for _, u := range all {
			if q := u.Query(); q.Get("stream") != "" {
				found = q.Get("stream") == stream && q.Get("tenant") == id && q.Get("function") == "f"
			}
		}
		if !found {
			t.Errorf("no link of %q leads to its stream", id)
		}
	}
}

// TestFormsReachWhomTheyName purges tenants, and sets their policies, whose ids stand for
// something else in a path.
func TestFormsReachWhomTheyName(t *testing.T) {
	var got []string
	s := newSite(t, nil)
	apis := http.NewServeMux()
	for _, route := range []string{"DELETE /alcove/v1/tenants/{tenant}", "PUT /alcove/v1/egress/tenants/{tenant}"} {
		apis.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.PathValue("tenant"))
			_, _ = io.WriteString(w, "{}")
		})
	}
	apis.HandleFunc("/", anyKey)
	s.API = apis
	one := s.signIn(t)
	for _, id := range strange {
		got = nil
		for path, form := range map[string]url.Values{"tenant/purge": {"tenant": {id}, "confirm": {id}}, "egress": {"scope": {"tenant"}, "tenant": {id}, "mode": {"none"}}} {
			form.Set("csrf", one.csrf)
			if r := s.ask("POST", path, form); r.StatusCode != http.StatusSeeOther {
				t.Errorf("%s for %q: %s", path, id, r.Status)
			}
		}
		if !slices.Equal(got, []string{id, id}) {
			t.Errorf("what was for %q reached %q", id, got)
		}
	}
}

// TestATenantsEnvironmentsHavePages has one tenant with as many as a node may have.
func TestATenantsEnvironmentsHavePages(t *testing.T) {
	const count = 2*pageSize + 7
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/alcove/v1/environments" {
			anyKey(w, r)
			return
		}
		list := []map[string]any{}
		for i := range count {
			list = append(list, map[string]any{"id": strconv.Itoa(i), "function": "f", "tenant": "blue", "bound": true, "state": "idle", "logStream": "stream-" + strconv.Itoa(i), "invocations": 1})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"environments": list})
	})
	s.signIn(t)
	seen := 0
	for at, path := 0, "tenant?tenant=blue"; path != ""; at++ {
		page := body(t, s.ask("GET", path, nil))
		if !strings.Contains(page, "<dt>Environments now</dt><dd>"+strconv.Itoa(count)+"</dd>") {
			t.Errorf("%s does not say how many there are", path)
		}
		rows := strings.Count(page, ">its stream</a>")
		if first := "stream-" + strconv.Itoa(at*pageSize) + `"`; rows > pageSize || !strings.Contains(page, first) {
			t.Errorf("%s has %d rows, want %s first", path, rows, first)
		}
		seen += rows
		path = ""
		if m := regexp.MustCompile(`href="\?([^"]*)" rel="next"`).FindStringSubmatch(page); m != nil {
			path = "tenant?" + html.UnescapeString(m[1])
		}
	}
	if seen != count {
		t.Errorf("the pages have %d of %d", seen, count)
	}
}
