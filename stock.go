package alcove

import "fmt"

// MaxStock bounds what can be asked for in stock of one version.
const MaxStock = 1000

// Stock is how many environments of each of a function's versions wait,
// initialised, for tenants that nobody knows yet.
type Stock struct {
	// Min waits in any case: for $LATEST always, for a published version while
	// new tenants come to it.
	Min int `json:"min"`
	// Max bounds what demand asks for; nil leaves the bound to the node. Zero
	// keeps none.
	Max *int `json:"max,omitempty"`
}

// Check gives the error of a stock that v's function cannot have.
func (s Stock) Check(v *Version) error {
	switch {
	case !v.Isolated():
		return InvalidParameter("Function %s is not enabled with tenancy configuration. A stock waits for tenants.", v.Name)
	case s.Min < 0 || s.Min > MaxStock:
		return InvalidParameter("Value %d at 'min' failed to satisfy constraint: Member must be between 0 and %d", s.Min, MaxStock)
	case s.Max != nil && (*s.Max < 0 || *s.Max > MaxStock):
		return InvalidParameter("Value %d at 'max' failed to satisfy constraint: Member must be between 0 and %d", *s.Max, MaxStock)
	case s.Max != nil && *s.Max < s.Min:
		return InvalidParameter("Value %d at 'max' is less than %d at 'min'", *s.Max, s.Min)
	}
	return nil
}

// Bounds are the least and the most of s on a node that keeps up to most of a
// function that says nothing; s may be nil.
func (s *Stock) Bounds(most int) (least, limit int) {
	switch {
	case s == nil:
		return 0, most
	case s.Max == nil:
		return s.Min, max(most, s.Min)
	}
	return s.Min, *s.Max
}

// Same says whether two stocks, either of which may be nil, are alike.
func (s *Stock) Same(o *Stock) bool { return s.String() == o.String() }

// Clone is s with nothing shared.
func (s Stock) Clone() Stock {
	if s.Max != nil {
		m := *s.Max
		s.Max = &m
	}
	return s
}

// String is s for a log.
func (s *Stock) String() string {
	switch {
	case s == nil:
		return "the node's"
	case s.Max == nil:
		return fmt.Sprintf("at least %d", s.Min)
	}
	return fmt.Sprintf("%d to %d", s.Min, *s.Max)
}
