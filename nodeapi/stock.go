package nodeapi

import (
	"github.com/alcove-run/alcove"
)

// Stock is a function's stock in an answer.
type Stock struct {
	Function string `json:"function"`
	// Isolated says whether the function tells tenants apart: another's environments
	// wait for nobody.
	Isolated bool `json:"isolated"`
	// Min and Max are what holds, of each version.
	Min int `json:"min"`
	Max int `json:"max"`
	// Set is what was set of the function, or null.
	Set      *alcove.Stock  `json:"set"`
	Versions []VersionStock `json:"versions"`
}

// VersionStock is the stock of one version: environments that are initialised
// and have no tenant yet.
type VersionStock struct {
	Version string `json:"version"`
	Waiting int    `json:"waiting"`
	Making  int    `json:"making"`
	Wanted  int    `json:"wanted"`
}

// stocked is the function of a path, by its name.
func (c Config) stocked(r *request) (string, error) {
	ref, err := c.Place.ParseRef(r.PathValue("name"), "")
	if err == nil && ref.Qualifier != "" {
		err = alcove.InvalidParameter("A stock is set for a function, not for a version or an alias.")
	}
	return ref.Name, err
}

// stockOf tells how a function's stock stands.
func (c Config) stockOf(name string) (Stock, error) {
	f, err := c.Function(name)
	if err != nil {
		return Stock{}, err
	}
	s := Stock{Function: f.Name, Set: f.Stock, Versions: []VersionStock{}}
	if v, err := c.Latest(alcove.Ref{Name: f.Name}); err == nil {
		s.Isolated = v.Isolated()
	}
	s.Min, s.Max = f.Stock.Bounds(c.StockMax)
	for _, v := range c.Stocks(f.ID) {
		s.Versions = append(s.Versions, VersionStock(v))
	}
	return s, nil
}

// getStock answers GET functions/F/stock, as the others do, with the stock as it
// is then.
func (c Config) getStock(r *request) (any, error) {
	name, err := c.stocked(r)
	if err != nil {
		return nil, err
	}
	return c.stockOf(name)
}

// putStock answers PUT functions/F/stock with {"min": N, "max": N}. A member that
// is left out is taken back: min is 0 then, max the node's.
func (c Config) putStock(r *request) (any, error) {
	name, err := c.stocked(r)
	if err != nil {
		return nil, err
	}
	var s *alcove.Stock
	if err := r.read(&s); err != nil || s == nil {
		return nil, alcove.ClientError(alcove.CodeInvalidRequestContent, `The request has to be a JSON object with "min" and "max", both whole numbers.`)
	}
	if err := c.SetStock(r.Context(), r.caller, name, s); err != nil {
		return nil, err
	}
	return c.stockOf(name)
}

// deleteStock answers DELETE functions/F/stock: the node decides again.
func (c Config) deleteStock(r *request) (any, error) {
	name, err := c.stocked(r)
	if err != nil {
		return nil, err
	}
	if err := c.SetStock(r.Context(), r.caller, name, nil); err != nil {
		return nil, err
	}
	return c.stockOf(name)
}
