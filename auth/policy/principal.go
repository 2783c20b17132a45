package policy

import (
	"encoding/json"
	"strings"
)

// principals are those that a statement of a resource's policy is about.
type principals struct {
	not      bool
	everyone bool
	arns     []string
	accounts []string
}

// standing is how a principal is named.
type standing int

const (
	notNamed     standing = iota
	accountNamed          // its account is: that lets the account's own policies decide
	named
)

func (c *compiler) principal(s *statement, m map[string]json.RawMessage) error {
	raw, is := m["Principal"]
	other, not := m["NotPrincipal"]
	if !c.lenient {
		if is || not {
			return malformed("Policy document should not specify a principal.")
		}
		return nil
	}
	if is == not {
		return syntax()
	}
	if not {
		raw = other
	}
	p := &principals{not: not}
	s.principals = p
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if text != "*" {
			return syntax()
		}
		p.everyone = true
		return nil
	}
	kinds, order, err := pairs(raw)
	if err != nil {
		return err
	}
	for _, kind := range order {
		list, ok := textsOf(kinds[kind])
		if !ok {
			return syntax()
		}
		if kind != "AWS" {
			continue // services and federations make no requests here
		}
		for _, one := range list {
			p.add(one)
		}
	}
	return nil
}

func (p *principals) add(text string) {
	parts := strings.SplitN(text, ":", arnParts)
	switch {
	case text == "*":
		p.everyone = true
	case len(parts) == arnParts && parts[2] == "iam" && parts[5] == "root":
		p.accounts = append(p.accounts, parts[4])
	case len(parts) == 1:
		p.accounts = append(p.accounts, text)
	default:
		p.arns = append(p.arns, text)
	}
}

// of says how a principal is named.
func (p *principals) of(who *Principal) standing {
	if p.everyone {
		return named
	}
	for _, arn := range p.arns {
		if arn == who.ARN {
			return named
		}
	}
	for _, account := range p.accounts {
		if account == who.Account {
			return accountNamed
		}
	}
	return notNamed
}

// match says whether a statement of an effect is about a principal.
func (p *principals) match(who *Principal, allow bool) bool {
	s := p.of(who)
	switch {
	case p.not && allow:
		return false // AWS advises against it; here it gives nothing
	case p.not:
		return s == notNamed
	case allow:
		return s == named
	}
	return s != notNamed
}
