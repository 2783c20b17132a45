package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove/nodeapi"
)

// tenantRow is one tenant in the list.
type tenantRow struct {
	Tenant       string `json:"tenant"`
	Environments int    `json:"environments"`
	Busy         int    `json:"busy"`
	Invocations  int64  `json:"invocations"`
	MemoryBytes  int64  `json:"memoryBytes"`

	// Of this month, from the ledger.
	Total, Errors int64
	Cost          float64
	Amount        string

	Measures // of the last day
}

// tenantsPage is the list of tenants.
type tenantsPage struct {
	Rows                   []tenantRow
	All, From, To          int
	Search, Function, Sort string
	Functions              []string
	Currency               string
	Measured               bool   // latency and throttles are known
	Cut                    bool   // there is more than was measured
	Next, Back             string // queries of the pages around
	Columns                []column
	Problem                *problem
	Any                    string // a function to call for a tenant
}

// column is one that the list can be sorted by.
type column struct {
	Key, Title, Query string
	Number, Sorted    bool
}

type tenantColumn struct {
	key, title string
	compare    func(a, b tenantRow) int
	measured   bool
}

// tenantColumns are those of the list. What has to be measured for a column is of
// every tenant if the list is sorted by it, else of those that are shown.
var tenantColumns = []tenantColumn{
	{"tenant", "Tenant", func(a, b tenantRow) int { return strings.Compare(a.Tenant, b.Tenant) }, false},
	{"invocations", "Invocations", func(a, b tenantRow) int { return cmp.Compare(b.Total, a.Total) }, false},
	{"errors", "Errors", func(a, b tenantRow) int { return cmp.Compare(b.Errors, a.Errors) }, false},
	{"cost", "Cost", func(a, b tenantRow) int { return cmp.Compare(b.Cost, a.Cost) }, false},
	{"p99", "p99, 24 h", func(a, b tenantRow) int { return cmp.Compare(b.P99, a.P99) }, true},
	{"throttles", "Throttles, 24 h", func(a, b tenantRow) int { return cmp.Compare(b.Throttles, a.Throttles) }, true},
	{"environments", "Environments", func(a, b tenantRow) int { return cmp.Compare(b.Environments, a.Environments) }, false},
	{"busy", "Busy", func(a, b tenantRow) int { return cmp.Compare(b.Busy, a.Busy) }, false},
	{"memory", "Memory", func(a, b tenantRow) int { return cmp.Compare(b.MemoryBytes, a.MemoryBytes) }, false},
}

func (q *request) listTenants() error {
	v := q.URL.Query()
	p := tenantsPage{Search: strings.TrimSpace(v.Get("search")), Function: v.Get("function"), Sort: v.Get("sort")}
	by := slices.IndexFunc(tenantColumns, func(c tenantColumn) bool { return c.key == p.Sort })
	if by < 0 {
		by = 1
	}
	p.Sort = tenantColumns[by].key
	var err error
	if p.Functions, p.Any, err = q.functionNames(q.Context()); err != nil {
		return err
	}
	query := url.Values{}
	if p.Function != "" {
		query.Set("function", p.Function)
	}
	all, currency, err := q.tenantsOf(query)
	if err != nil {
		return q.render(refuse(&p.Problem, err), "tenants", "Tenants", "tenants", p)
	}
	p.Currency = currency
	for _, t := range all {
		if p.Search == "" || strings.Contains(strings.ToLower(t.Tenant), strings.ToLower(p.Search)) {
			p.Rows = append(p.Rows, t)
		}
	}
	p.All = len(p.Rows)
	if tenantColumns[by].measured {
		if p.Measured, p.Cut, err = q.measureTenants(p.Function, p.Rows); err != nil {
			return err
		}
	}
	// Those alike stand by their ids.
	slices.SortFunc(p.Rows, func(a, b tenantRow) int {
		return cmp.Or(tenantColumns[by].compare(a, b), strings.Compare(a.Tenant, b.Tenant))
	})
	p.From, p.To, p.Next, p.Back = pages(v, p.All)
	p.Rows = p.Rows[p.From:p.To]
	if !tenantColumns[by].measured {
		if p.Measured, p.Cut, err = q.measureTenants(p.Function, p.Rows); err != nil {
			return err
		}
	}
	for i, c := range tenantColumns {
		if c.measured && !p.Measured {
			continue
		}
		w := url.Values{"sort": {c.key}}
		for name, value := range map[string]string{"search": p.Search, "function": p.Function} {
			if value != "" {
				w.Set(name, value)
			}
		}
		p.Columns = append(p.Columns, column{c.key, c.title, w.Encode(), i > 0, i == by})
	}
	return q.render(http.StatusOK, "tenants", "Tenants", "tenants", p)
}

// tenantPage is one tenant's page.
type tenantPage struct {
	Tenant       string
	Environments []environment // those of this page
	All          int           // how many there are
	From, To     int
	Next, Back   string
	Busy         int
	Invocations  int64
	Memory       int64
	Functions    []string
	Month        *used // what it used this month; nil if that may not be seen
	Currency     string
	Days         *chart
	Queues       []depth
	Charts       []*chart // of its functions, of the last day
}

// maxCharted bounds the functions that a tenant's page has charts of.
const maxCharted = 3

func (q *request) showTenant() error {
	p := tenantPage{Tenant: q.URL.Query().Get("tenant")}
	if p.Tenant == "" {
		return badInput("The address names no tenant.")
	}
	l, err := q.environments(q.Context(), url.Values{"tenant": {p.Tenant}})
	if err != nil {
		return err
	}
	p.Environments = l.Environments
	for i := range p.Environments {
		e := &p.Environments[i]
		p.Invocations += e.Invocations
		p.Memory += e.MemoryBytes
		if e.look() == lookBusy {
			p.Busy++
		}
		if !slices.Contains(p.Functions, e.Function) {
			p.Functions = append(p.Functions, e.Function)
		}
	}
	slices.Sort(p.Functions)
	p.All = len(p.Environments)
	p.From, p.To, p.Next, p.Back = pages(q.URL.Query(), p.All)
	p.Environments = p.Environments[p.From:p.To]
	var b bill
	err = q.api().node(q.Context(), "usage", url.Values{"by": {"day"}, "tenant": {p.Tenant}}, &b)
	if err != nil && !denied(err) {
		return err
	}
	if err == nil {
		p.Month, p.Currency, p.Days = &b.Total, b.Prices.Currency, costChart(b.Rows, b.Prices.Currency)
	}
	if err := q.queuesOf(&p); err != nil {
		return err
	}
	to := q.con.Now().UTC().Truncate(15 * time.Minute).Add(15 * time.Minute)
	for _, f := range p.Functions[:min(len(p.Functions), maxCharted)] {
		all, err := q.charts(of{f, p.Tenant}, to.Add(-24*time.Hour), to, 15*time.Minute)
		if denied(err) {
			break
		}
		if err != nil {
			return err
		}
		for _, c := range all[:min(len(all), 2)] { // invocations and their duration; the page of metrics has all
			c.Title = f + ": " + c.Title
			p.Charts = append(p.Charts, c)
		}
	}
	return q.render(http.StatusOK, "tenant", p.Tenant, "tenants", p)
}

// tenantsOf lists the tenants that have environments now, or used something this
// month.
func (q *request) tenantsOf(query url.Values) ([]tenantRow, string, error) {
	var live struct{ Tenants []tenantRow }
	if err := q.api().node(q.Context(), "tenants", query, &live); err != nil {
		return nil, "", err
	}
	spent := url.Values{"by": {"tenant"}}
	for name, v := range query {
		spent[name] = v
	}
	var b bill
	if err := q.api().node(q.Context(), "usage", spent, &b); err != nil && !denied(err) {
		return nil, "", err
	}
	by := make(map[string]int, len(live.Tenants))
	for i, t := range live.Tenants {
		by[t.Tenant] = i
	}
	all := live.Tenants
	for _, u := range b.Rows {
		if u.Tenant == nil || *u.Tenant == "" {
			continue
		}
		i, ok := by[*u.Tenant]
		if !ok {
			i = len(all)
			by[*u.Tenant] = i
			all = append(all, tenantRow{Tenant: *u.Tenant})
		}
		all[i].Total, all[i].Errors, all[i].Cost, all[i].Amount = all[i].Total+u.Invocations, all[i].Errors+u.Errors, all[i].Cost+u.cost(), money(all[i].Cost+u.cost())
	}
	return all, b.Prices.Currency, nil
}

// purgeTenant takes everything of a tenant off the node, whose id was typed again.
func (q *request) purgeTenant() error {
	tenant := q.PostFormValue("tenant")
	if tenant == "" || q.PostFormValue("confirm") != tenant {
		return badInput("Type the tenant's id to purge it; nothing was removed.")
	}
	const path = "/alcove/v1/tenants/"
	// As long as it takes: every environment ends, and files are rewritten.
	body, err := q.api().open(q.Context(), call{service: "lambda", method: http.MethodDelete, path: path + tenant, rawPath: path + nodeapi.Segment(tenant)})
	if err != nil {
		return err
	}
	body.Close()
	q.redirect("tenants?done=purged")
	return nil
}

// queuesOf fills in what waits of a tenant, of the functions that it has
// environments of or used this month.
func (q *request) queuesOf(p *tenantPage) error {
	names := slices.Clone(p.Functions)
	var b bill
	if err := q.api().node(q.Context(), "usage", url.Values{"by": {"function"}, "tenant": {p.Tenant}}, &b); err != nil && !denied(err) {
		return err
	}
	for _, u := range b.Rows {
		if !slices.Contains(names, u.Function) {
			names = append(names, u.Function)
		}
	}
	for _, name := range names[:min(len(names), pageSize)] {
		queue, err := q.queueOf(name, p.Tenant)
		if p := explainIf(err); p != nil && (p.Status == http.StatusNotFound || denied(err)) {
			continue // deleted, or not for whoever looks
		}
		if err != nil {
			return err
		}
		p.Queues = append(p.Queues, queue.Rows...)
	}
	return nil
}
