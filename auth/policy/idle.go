package policy

import (
	"fmt"
	"strings"
)

// Idle says of which statements no request can be, of those that there are: nobody
// is refused for one, but whoever wrote it meant something else. actions are all that
// requests may name; services whose actions are not among them are listed without
// their names, as "s3:". Of ARNs, the region and the account are looked at, and of
// those services alone that have both in each of theirs.
func (d *Document) Idle(actions []string, region, account string) (texts []string) {
	for i := range d.statements {
		s := &d.statements[i]
		if !s.notAction && !s.anyAction(actions) {
			texts = append(texts, fmt.Sprintf("statement %d names no action that this node has", i+1))
		}
		if !s.notResource && !s.anyResource(region, account) {
			texts = append(texts, fmt.Sprintf("statement %d names resources of another region or account: this node's are in %s, of %s", i+1, region, account))
		}
	}
	return texts
}

func (s *statement) anyAction(actions []string) bool {
	for i := range s.actions {
		p := &s.actions[i]
		for _, a := range actions {
			if p.match(a, nil, true) {
				return true
			}
			if service, ok := strings.CutSuffix(a, ":"); ok && p.beginsWith(service) {
				return true
			}
		}
	}
	return false
}

// beginsWith says whether a pattern of actions is one of a service.
func (p *pattern) beginsWith(service string) bool {
	for i, e := range p.elems {
		switch {
		case i == len(service):
			return e.kind == literal && e.char == ':'
		case e.kind == literal && !same(e.char, rune(service[i]), true):
			return false
		}
	}
	return false
}

// regional are services whose ARNs have a region and an account.
var regional = []string{"lambda", "logs", "alcove"}

func (s *statement) anyResource(region, account string) bool {
	for i := range s.resources {
		a := &s.resources[i]
		if a.all {
			return true
		}
		service, there := &a.parts[2], &a.parts[3]
		of := &a.parts[4]
		if service.variables || there.variables || of.variables {
			return true
		}
		known := false
		for _, name := range regional {
			known = known || service.match(name, nil, false)
		}
		if !known || there.match(region, nil, false) && of.match(account, nil, false) {
			return true
		}
	}
	return false
}
