package nodeapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/pool"
)

// oneFunction is a catalog of a function, whose settings anybody signed may change.
type oneFunction struct{ f alcove.Function }

func (o *oneFunction) config() Config {
	return Config{
		Authenticate: func(r *http.Request, body []byte) (alcove.Caller, error) {
			if r.Header.Get("Authorization") != "signed "+string(body) {
				return alcove.Caller{}, alcove.ClientError("InvalidSignatureException", "no")
			}
			return alcove.Caller{ARN: "me"}, nil
		},
		Authorize: func(caller alcove.Caller, o auth.Operation) (*auth.Scope, error) {
			if caller.ARN != "me" || !strings.HasPrefix(o.Action, "alcove:") || (o.Resource == "") == (o.Function.Name == "") {
				return nil, errors.New("not what is to be authorised")
			}
			return nil, nil
		},
		Function: func(name string) (*alcove.Function, error) {
			if name != o.f.Name {
				return nil, alcove.NotFound(name)
			}
			return &o.f, nil
		},
		SetStock: func(_ context.Context, caller alcove.Caller, name string, s *alcove.Stock) error {
			if name != o.f.Name {
				return alcove.NotFound(name)
			}
			if caller.ARN != "me" {
				return errors.New("a setting without its caller")
			}
			if s != nil {
				if err := s.Check(&alcove.Version{Config: alcove.Config{Tenancy: alcove.PerTenant}}); err != nil {
					return err
				}
			}
			o.f.Stock = s
			return nil
		},
		Stocks: func(id string) []pool.StockStatus {
			return []pool.StockStatus{{Version: id, Waiting: 1, Making: 2, Wanted: 3}}
		},
		Latest: func(alcove.Ref) (*alcove.Version, error) {
			return &alcove.Version{Config: alcove.Config{Tenancy: alcove.PerTenant}}, nil
		},
		StockMax: 16,
		Place:    alcove.Place{Partition: "aws", Region: "us-east-1", Account: "000000000000"},
		Log:      slog.New(slog.DiscardHandler),
	}
}

func ask(h http.Handler, method, path, body, signature string) (int, string) {
	r := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
	r.Header.Set("Authorization", signature)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Body)
	return w.Code, strings.TrimSpace(string(text))
}

func TestStockIsSetAndTakenBack(t *testing.T) {
	o := &oneFunction{alcove.Function{ID: "id", Name: "f"}}
	h := New(o.config())
	const versions = `"versions":[{"version":"id","waiting":1,"making":2,"wanted":3}]}`
	for _, c := range []struct{ method, body, want string }{
		{"GET", "", `{"function":"f","isolated":true,"min":0,"max":16,"set":null,` + versions},
		{"PUT", `{"min":2,"max":4}`, `{"function":"f","isolated":true,"min":2,"max":4,"set":{"min":2,"max":4},` + versions},
		{"GET", "", `{"function":"f","isolated":true,"min":2,"max":4,"set":{"min":2,"max":4},` + versions},
		{"PUT", `{"min":20}`, `{"function":"f","isolated":true,"min":20,"max":20,"set":{"min":20},` + versions},
		{"DELETE", "", `{"function":"f","isolated":true,"min":0,"max":16,"set":null,` + versions},
	} {
		if code, text := ask(h, c.method, "functions/f/stock", c.body, "signed "+c.body); code != 200 || text != c.want {
			t.Errorf("%s %s: %d %s, want %s", c.method, c.body, code, text, c.want)
		}
	}
}

func TestStockRefusesAndChangesNothing(t *testing.T) {
	four := 4
	o := &oneFunction{alcove.Function{ID: "id", Name: "f", Stock: &alcove.Stock{Min: 1, Max: &four}}}
	h := New(o.config())
	for _, c := range []struct {
		method, path, body, signature string
		code                          int
		has                           string
	}{
		{"PUT", "functions/f/stock", `{"min":2}`, "signed another body", 403, "InvalidSignatureException"},
		{"DELETE", "functions/f/stock", "", "", 403, "InvalidSignatureException"},
		{"GET", "functions/f/stock", "", "", 403, "InvalidSignatureException"},
		{"PUT", "functions/g/stock", `{"min":2}`, "", 404, alcove.CodeResourceNotFound},
		{"GET", "functions/g/stock", "", "", 404, alcove.CodeResourceNotFound},
		{"PUT", "functions/f:1/stock", `{"min":2}`, "", 400, "not for a version"},
		{"PUT", "functions/f/stock", `{"min":-1}`, "", 400, alcove.CodeInvalidParameterValue},
		{"PUT", "functions/f/stock", `{"min":3,"max":2}`, "", 400, alcove.CodeInvalidParameterValue},
		{"PUT", "functions/f/stock", `{"min":1.5}`, "", 400, alcove.CodeInvalidRequestContent},
		{"PUT", "functions/f/stock", `{"least":1}`, "", 400, alcove.CodeInvalidRequestContent},
		{"PUT", "functions/f/stock", `{"min":1}{"min":2}`, "", 400, alcove.CodeInvalidRequestContent},
		{"PUT", "functions/f/stock", `null`, "", 400, alcove.CodeInvalidRequestContent},
		{"PUT", "functions/f/stock", ``, "", 400, alcove.CodeInvalidRequestContent},
		{"PUT", "functions/f/stock", strings.Repeat(" ", maxBody+1), "", 400, "longer than 65536 bytes"},
		{"POST", "functions/f/stock", `{"min":1}`, "", 404, "UnknownOperationException"},
	} {
		if c.signature == "" && c.code != 403 {
			c.signature = "signed " + c.body
		}
		if code, text := ask(h, c.method, c.path, c.body, c.signature); code != c.code || !strings.Contains(text, c.has) {
			t.Errorf("%s %s %.20q: %d %s, want %d with %s", c.method, c.path, c.body, code, text, c.code, c.has)
		}
		if !o.f.Stock.Same(&alcove.Stock{Min: 1, Max: &four}) {
			t.Fatalf("%s %s %.20q changed the stock to %v", c.method, c.path, c.body, o.f.Stock)
		}
	}
}
