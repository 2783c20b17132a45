package catalog

import (
	"encoding/base64"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove"
)

// defaultPage is how much a page holds if nobody says.
const defaultPage = 50

// List gives functions by name, up to max of them after the one that marker
// names: the $LATEST of each, with allVersions its published versions as well,
// which come after it by number. next is empty on the last page. A marker is a
// place in that order, so what is made or deleted between two pages never makes
// another function come twice or not at all.
func (c *Catalog) List(marker string, max int, allVersions bool) (vs []*alcove.Version, next string, err error) {
	after, number, err := parseMarker(marker)
	if err != nil {
		return nil, "", err
	}
	functions := c.view.Load().functions
	names := slices.Sorted(maps.Keys(functions))
	// The function that the last page ended in may have versions left.
	p := page{max: max}
	for _, name := range names[sort.SearchStrings(names, after):] {
		e := functions[name]
		if name != after {
			number = -1
		}
		p.add(e.latest, 0, number)
		if allVersions {
			p.addVersions(e, number)
		}
		if p.full() {
			break
		}
	}
	return p.result()
}

// All gives $LATEST of every function as invocations run it, in no order.
func (c *Catalog) All() []*alcove.Version {
	functions := c.view.Load().functions
	out := make([]*alcove.Version, 0, len(functions))
	for _, e := range functions {
		out = append(out, e.running)
		for number := range e.provisioned {
			if v := e.versions[number].Version; v != nil {
				out = append(out, v)
			}
		}
	}
	return out
}

// ListVersions gives a function's versions, $LATEST first and the published ones
// by number, up to max of them after the one that marker names.
func (c *Catalog) ListVersions(name, marker string, max int) ([]*alcove.Version, string, error) {
	of, number, err := parseMarker(marker)
	if err == nil && marker != "" && of != name {
		err = errMarker()
	}
	if err != nil {
		return nil, "", err
	}
	e, err := c.entryOf(name)
	if err != nil {
		return nil, "", err
	}
	p := page{max: max}
	p.add(e.latest, 0, number)
	p.addVersions(e, number)
	return p.result()
}

// page collects up to max versions, and one more to know that there are more.
type page struct {
	max int
	vs  []*alcove.Version
}

// add takes a version whose place in its function is above after.
func (p *page) add(v *alcove.Version, place, after int) {
	if place > after && !p.full() {
		p.vs = append(p.vs, v)
	}
}

func (p *page) addVersions(e *entry, after int) {
	for _, n := range e.numbers {
		p.add(e.versions[n].Version, placeOf(n), after)
	}
}

func (p *page) size() int {
	if p.max <= 0 {
		return defaultPage
	}
	return p.max
}

func (p *page) full() bool { return len(p.vs) > p.size() }

func (p *page) result() ([]*alcove.Version, string, error) {
	if !p.full() {
		return p.vs, "", nil
	}
	vs := p.vs[:p.size()]
	last := vs[len(vs)-1]
	return vs, makeMarker(last.Name, placeOf(last.Number)), nil
}

// firstPage gives the first max of a list, and the marker of the page after it if
// there is more.
func firstPage[T any](list []T, max int, name func(T) string) ([]T, string, error) {
	if max <= 0 {
		max = defaultPage
	}
	if len(list) <= max {
		return list, "", nil
	}
	return list[:max], makeMarker(name(list[max-1]), 0), nil
}

// placeOf is where a version stands among those of its function.
func placeOf(number string) int {
	n, _ := strconv.Atoi(number) // $LATEST is 0
	return n
}

func makeMarker(name string, place int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(name + "/" + strconv.Itoa(place)))
}

// parseMarker gives the name and place after which a page begins.
func parseMarker(marker string) (name string, place int, err error) {
	if marker == "" {
		return "", -1, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(marker)
	name, text, found := strings.Cut(string(b), "/")
	place, nerr := strconv.Atoi(text)
	if err != nil || !found || nerr != nil || place < 0 || makeMarker(name, place) != marker {
		return "", 0, errMarker()
	}
	return name, place, nil
}

func errMarker() error { return alcove.InvalidParameter("The marker is not valid.") }
