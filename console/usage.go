package console

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove/internal/pump"
)

// used is what was used, and what it costs, as alcove's own API sums it.
type used struct {
	Day          string      `json:"day"`
	Tenant       *string     `json:"tenant"`
	Function     string      `json:"function"`
	Invocations  int64       `json:"invocations"`
	Errors       int64       `json:"errors"`
	Environments int64       `json:"environments"`
	LogBytes     int64       `json:"logBytes"`
	NetworkIn    int64       `json:"networkIn"`
	NetworkOut   int64       `json:"networkOut"`
	Connections  int64       `json:"connections"`
	GBSeconds    json.Number `json:"gbSeconds"`
	Cost         json.Number `json:"cost"`
}

// Name is what the row is of.
func (u used) Name() string {
	switch {
	case u.Day != "":
		return u.Day
	case u.Tenant != nil && *u.Tenant == "":
		return "no tenant"
	case u.Tenant != nil:
		return *u.Tenant
	}
	return u.Function
}

func (u used) cost() float64 { f, _ := u.Cost.Float64(); return f }

// Amount is a sum of money as far as people read it.
func (u used) Amount() string { return money(u.cost()) }

// GB is GBSeconds as far as people read them.
func (u used) GB() string {
	f, _ := u.GBSeconds.Float64()
	return strconv.FormatFloat(f, 'f', 3, 64)
}

func money(f float64) string {
	if f != 0 && f < 0.01 {
		return strconv.FormatFloat(f, 'f', 6, 64)
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

// bill is an answer of usage.
type bill struct {
	From, To string
	Prices   struct{ Currency string }
	Rows     []used
	Total    used
}

// usagePage is the page of what was used and what it costs.
type usagePage struct {
	By, From, To, Tenant, Function string
	Currency                       string
	Rows                           []used
	All, First, Last               int
	Total                          used
	Next, Back                     string
	CSV                            string // the query of the download
	Chart                          *chart
	Bys                            []string
	Problem                        *problem
}

var usageBys = []string{"tenant", "function", "day"}

// usageQuery is what alcove's own API is asked for.
func (q *request) usageQuery() url.Values {
	v := q.URL.Query()
	out := url.Values{}
	for _, name := range []string{"from", "to", "tenant", "function"} {
		if s := strings.TrimSpace(v.Get(name)); s != "" {
			out.Set(name, s)
		}
	}
	out.Set("by", "tenant")
	if slices.Contains(usageBys, v.Get("by")) {
		out.Set("by", v.Get("by"))
	}
	return out
}

func (q *request) showUsage() error {
	query := q.usageQuery()
	var b bill
	if err := q.api().node(q.Context(), "usage", query, &b); err != nil {
		p := usagePage{By: query.Get("by"), From: query.Get("from"), To: query.Get("to"), Tenant: query.Get("tenant"), Function: query.Get("function"), Bys: usageBys}
		status := refuse(&p.Problem, err)
		return q.render(status, "usage", "Usage", "usage", p)
	}
	p := usagePage{By: query.Get("by"), From: b.From, To: b.To, Tenant: query.Get("tenant"), Function: query.Get("function"),
		Currency: b.Prices.Currency, Total: b.Total, All: len(b.Rows), CSV: query.Encode(), Bys: usageBys}
	if p.By == "day" {
		p.Chart = costChart(b.Rows, p.Currency)
	} else {
		slices.SortStableFunc(b.Rows, func(x, y used) int { return cmp.Compare(y.cost(), x.cost()) })
	}
	p.First, p.Last, p.Next, p.Back = pages(q.URL.Query(), p.All)
	p.Rows = b.Rows[p.First:p.Last]
	return q.render(http.StatusOK, "usage", "Usage", "usage", p)
}

// costChart is what each day cost.
func costChart(rows []used, currency string) *chart {
	if len(rows) < 2 {
		return nil
	}
	s := series{Name: "cost"}
	for _, r := range rows {
		day, err := time.Parse(time.DateOnly, r.Day)
		if err != nil {
			return nil
		}
		s.Points = append(s.Points, point{day, r.cost()})
	}
	return newChart("Cost by day", currency, money, []series{s})
}

// usageCSV passes the download on as the API gives it. One that breaks off is seen to
// have done so: nobody takes a part of a bill for the whole.
func (q *request) usageCSV() error {
	query := q.usageQuery()
	query.Set("format", "csv")
	body, err := q.api().open(q.Context(), call{service: "lambda", method: http.MethodGet, path: "/alcove/v1/usage", query: query})
	if err != nil {
		return err
	}
	defer body.Close()
	q.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	q.w.Header().Set("Content-Disposition", `attachment; filename="usage.csv"`)
	paced := pump.NewPace(q.w)
	if _, err := io.Copy(struct{ io.Writer }{paced}, body); err != nil {
		panic(http.ErrAbortHandler)
	}
	paced.Done()
	return nil
}
