package nodeapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/alcove-run/alcove"
)

// maxSetting bounds the body of a request that sets something, in bytes.
const maxSetting = 4 << 10

// Stock is a function's stock in an answer.
type Stock struct {
	Function string `json:"function"`
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

// stockHandler does one method of functions/{name}/stock, for a caller who may.
type stockHandler func(r *http.Request, caller alcove.Caller, function string, body []byte) error

// stock reads a request about a function's stock, has h do what it asks for, and
// answers with the stock as it is then.
func (c Config) stock(h stockHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := func() (Stock, error) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSetting))
			if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
				return Stock{}, alcove.InvalidParameter("The request is longer than %d bytes.", tooLarge.Limit)
			}
			if err != nil {
				return Stock{}, alcove.InvalidParameter("The request was cut short.")
			}
			caller, err := c.Authenticate(r, body)
			if err != nil {
				return Stock{}, err
			}
			ref, err := c.Place.ParseRef(r.PathValue("name"), "")
			if err != nil {
				return Stock{}, err
			}
			if ref.Qualifier != "" {
				return Stock{}, alcove.InvalidParameter("A stock is set for a function, not for a version or an alias.")
			}
			if err := h(r, caller, ref.Name, body); err != nil {
				return Stock{}, err
			}
			return c.stockOf(ref.Name)
		}()
		if err != nil {
			c.answerError(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // the connection is the client's
	})
}

// stockOf tells how a function's stock stands.
func (c Config) stockOf(name string) (Stock, error) {
	f, err := c.Function(name)
	if err != nil {
		return Stock{}, err
	}
	s := Stock{Function: f.Name, Set: f.Stock, Versions: []VersionStock{}}
	s.Min, s.Max = f.Stock.Bounds(c.StockMax)
	for _, v := range c.Stocks(f.ID) {
		s.Versions = append(s.Versions, VersionStock(v))
	}
	return s, nil
}

// getStock answers GET functions/F/stock.
func (c Config) getStock(*http.Request, alcove.Caller, string, []byte) error { return nil }

// putStock answers PUT functions/F/stock with {"min": N, "max": N}. A member that
// is left out is taken back: min is 0 then, max the node's.
func (c Config) putStock(r *http.Request, caller alcove.Caller, name string, body []byte) error {
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields()
	var s *alcove.Stock
	err := in.Decode(&s)
	if err == nil && in.More() {
		err = errors.New("more than one value")
	}
	if err != nil || s == nil {
		return alcove.ClientError(alcove.CodeInvalidRequestContent, `The request has to be a JSON object with "min" and "max", both whole numbers.`)
	}
	return c.SetStock(r.Context(), caller, name, s)
}

// deleteStock answers DELETE functions/F/stock: the node decides again.
func (c Config) deleteStock(r *http.Request, caller alcove.Caller, name string, _ []byte) error {
	return c.SetStock(r.Context(), caller, name, nil)
}
