package alcove

import "testing"

func TestStockBounds(t *testing.T) {
	four := 4
	none := 0
	for _, c := range []struct {
		s          *Stock
		node       int
		least, max int
	}{
		{nil, 16, 0, 16}, {nil, 0, 0, 0}, {&Stock{Min: 2}, 16, 2, 16}, {&Stock{Min: 20}, 16, 20, 20},
		{&Stock{Min: 2, Max: &four}, 16, 2, 4}, {&Stock{Max: &none}, 16, 0, 0}, {&Stock{Max: &four}, 0, 0, 4},
	} {
		if least, limit := c.s.Bounds(c.node); least != c.least || limit != c.max {
			t.Errorf("%v of a node of %d: %d to %d, want %d to %d", c.s, c.node, least, limit, c.least, c.max)
		}
	}
}

func TestStockIsChecked(t *testing.T) {
	isolated, ordinary := &Version{Config: Config{Tenancy: PerTenant}}, &Version{}
	n := func(i int) *int { return &i }
	for _, s := range []Stock{{}, {Min: 1000}, {Max: n(0)}, {Min: 3, Max: n(3)}} {
		if err := s.Check(isolated); err != nil {
			t.Errorf("%v: %v", &s, err)
		}
		if s.Check(ordinary) == nil {
			t.Errorf("%v of a function without tenants is taken", &s)
		}
	}
	for _, s := range []Stock{{Min: -1}, {Min: 1001}, {Max: n(-1)}, {Max: n(1001)}, {Min: 3, Max: n(2)}} {
		if err := s.Check(isolated); err == nil || AsError(err).Code != CodeInvalidParameterValue {
			t.Errorf("%v: %v, want InvalidParameterValueException", &s, err)
		}
	}
}

func TestSameStock(t *testing.T) {
	n := func(i int) *int { return &i }
	all := []*Stock{nil, {}, {Min: 1}, {Max: n(1)}, {Min: 1, Max: n(1)}}
	for i, a := range all {
		for j, b := range all {
			if a.Same(b) != (i == j) {
				t.Errorf("%v and %v are the same: %v", a, b, a.Same(b))
			}
		}
		if a != nil {
			c := a.Clone()
			if !a.Same(&c) || a.Max != nil && a.Max == c.Max {
				t.Errorf("clone of %v is %v", a, &c)
			}
		}
	}
}
