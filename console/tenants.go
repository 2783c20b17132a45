package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
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

	// Of the last day, of the function that the list is of.
	P99, Throttles string
}

// tenantsPage is the list of tenants.
type tenantsPage struct {
	Rows                   []tenantRow
	All, From, To          int
	Search, Function, Sort string
	Functions              []string
	Currency               string
	Measured               bool   // one function's: latency and throttles are known
	Next, Back             string // queries of the pages around
}

// tenantSorts are the columns that the list can be sorted by.
var tenantSorts = map[string]func(a, b tenantRow) int{
	"tenant":       func(a, b tenantRow) int { return strings.Compare(a.Tenant, b.Tenant) },
	"invocations":  func(a, b tenantRow) int { return cmp.Compare(b.Total, a.Total) },
	"errors":       func(a, b tenantRow) int { return cmp.Compare(b.Errors, a.Errors) },
	"cost":         func(a, b tenantRow) int { return cmp.Compare(b.Cost, a.Cost) },
	"environments": func(a, b tenantRow) int { return cmp.Compare(b.Environments, a.Environments) },
	"memory":       func(a, b tenantRow) int { return cmp.Compare(b.MemoryBytes, a.MemoryBytes) },
}

func (q *request) listTenants() error {
	v := q.URL.Query()
	p := tenantsPage{Search: strings.TrimSpace(v.Get("search")), Function: v.Get("function"), Sort: v.Get("sort")}
	if tenantSorts[p.Sort] == nil {
		p.Sort = "invocations"
	}
	var err error
	if p.Functions, err = q.functionNames(q.Context()); err != nil {
		return err
	}
	query := url.Values{}
	if p.Function != "" {
		query.Set("function", p.Function)
	}
	all, currency, err := q.tenantsOf(query)
	if err != nil {
		return err
	}
	p.Currency = currency
	for _, t := range all {
		if p.Search == "" || strings.Contains(strings.ToLower(t.Tenant), strings.ToLower(p.Search)) {
			p.Rows = append(p.Rows, t)
		}
	}
	slices.SortStableFunc(p.Rows, tenantSorts[p.Sort])
	p.All = len(p.Rows)
	p.From, p.To, p.Next, p.Back = pages(v, p.All)
	p.Rows = p.Rows[p.From:p.To]
	if p.Function != "" {
		if p.Measured, err = q.measure(p.Function, p.Rows); err != nil {
			return err
		}
	}
	return q.render(http.StatusOK, "tenants", "Tenants", "tenants", p)
}

// tenantPage is one tenant's page.
type tenantPage struct {
	Tenant       string
	Environments []environment
	Busy         int
	Invocations  int64
	Memory       int64
	Functions    []string
	Month        *used // what it used this month; nil if that may not be seen
	Currency     string
	Days         *chart
	Queues       []depth
}

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
	body, err := q.api().open(q.Context(), call{service: "lambda", method: http.MethodDelete, path: path + tenant, rawPath: path + url.PathEscape(tenant)})
	if err != nil {
		return err
	}
	body.Close()
	q.redirect("tenants?done=purged")
	return nil
}

// measure fills in what metrics say of tenants of a function in the last day; false
// if that may not be seen.
func (q *request) measure(function string, rows []tenantRow) (bool, error) {
	to := q.con.Now().UTC().Truncate(time.Hour).Add(time.Hour)
	p99, throttles := wanted{name: "p99", metric: "Duration", stat: "p99"}, wanted{name: "throttles", metric: "Throttles", stat: "Sum"}
	for i := range rows {
		data, err := q.metricData(q.Context(), []dimension{{"FunctionName", function}, {"TenantId", rows[i].Tenant}}, []wanted{p99, throttles}, to.Add(-24*time.Hour), to, 24*time.Hour)
		if denied(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		sum := 0.0
		for _, v := range data[throttles] {
			sum += v
		}
		rows[i].Throttles = whole(sum)
		for _, v := range data[p99] {
			rows[i].P99 = duration(time.Duration(v * float64(time.Millisecond)))
		}
	}
	return true, nil
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
