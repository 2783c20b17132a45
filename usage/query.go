package usage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/internal/sqlite"
)

// By is what use is summed by.
type By string

// The members of [Query.By].
const (
	ByTenant   By = "tenant"
	ByFunction By = "function"
	ByDay      By = "day"
)

// Query asks for sums. The zero value asks for one sum of everything.
type Query struct {
	By       []By
	From, To time.Time      // days of UTC, From included, To not; zero is no bound
	Tenant   *alcove.Tenant // empty is functions without tenants
	Function string         // a name
	// Sees leaves out the tenants that it does not say yes to; nil leaves out none.
	Sees func(alcove.Tenant) bool
}

func (q *Query) by(b By) bool { return slices.Contains(q.By, b) }

// Row is what was used, and what it costs. The members that it is not summed by are
// empty.
type Row struct {
	Day        string         `json:"day,omitempty"` // as 2026-11-27
	Tenant     *alcove.Tenant `json:"tenant,omitempty"`
	Function   string         `json:"function,omitempty"`
	FunctionID string         `json:"functionId,omitempty"` // tells functions of one name apart
	Sums
	GBSeconds          *Amount `json:"gbSeconds"`
	EphemeralGBSeconds *Amount `json:"ephemeralGBSeconds"` // of /tmp beyond 512 MB
	Cost               *Amount `json:"cost"`
}

func newRow() *Row {
	return &Row{GBSeconds: new(Amount), EphemeralGBSeconds: new(Amount), Cost: new(Amount)}
}

// add adds sums of one architecture.
func (r *Row) add(s *Sums, architecture string, p Prices) {
	r.Sums.Add(s)
	one := Price{rat: oneRat()}
	r.GBSeconds.addPriced(s.MemoryMillis, gbMillis, one)
	r.EphemeralGBSeconds.addPriced(s.EphemeralMillis, gbMillis, one)
	r.Cost.add(p.cost(s, architecture))
}

func (r *Row) addRow(o *Row) {
	r.Sums.Add(&o.Sums)
	r.GBSeconds.add(o.GBSeconds)
	r.EphemeralGBSeconds.add(o.EphemeralGBSeconds)
	r.Cost.add(o.Cost)
}

// place is a row's own, among those of an answer.
func (r *Row) place() string {
	tenant := ""
	if r.Tenant != nil {
		tenant = string(*r.Tenant)
	}
	return r.Day + "\x00" + tenant + "\x00" + r.FunctionID
}

// Query gives fn the sums that q asks for, by day, tenant and function in this
// order, and then gives the sum of them. It sees every report that the journal had
// when it was called.
func (l *Ledger) Query(ctx context.Context, q Query, fn func(*Row) error) (*Row, error) {
	db, err := l.catchUp()
	if err != nil {
		return nil, err
	}
	// Whose it is is needed to leave it out, if not to show it.
	withTenant := q.by(ByTenant) || q.Sees != nil
	text, args := sumsQuery(&q, withTenant)
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("usage: %w", err)
	}
	defer rows.Close()
	total := newRow()
	// Without days in the answer, and with tenants only to be left out, one row of
	// the answer can be several here that are not side by side.
	scattered := withTenant && !q.by(ByTenant)
	var order []*Row
	byPlace := make(map[string]*Row)
	var current *Row
	for rows.Next() {
		r, s, architecture, tenant, err := scanSums(rows, &q, withTenant)
		if err != nil {
			return nil, err
		}
		if q.Sees != nil && !q.Sees(tenant) {
			continue
		}
		switch {
		case scattered:
			if current = byPlace[r.place()]; current == nil {
				current = r
				byPlace[r.place()] = r
				order = append(order, r)
			}
		case current == nil || current.place() != r.place():
			if current != nil {
				total.addRow(current)
				if err := fn(current); err != nil {
					return nil, err
				}
			}
			current = r
		}
		current.add(&s, architecture, l.cfg.Prices)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("usage: %w", err)
	}
	if !scattered && current != nil {
		order = append(order, current)
	}
	slices.SortStableFunc(order, func(a, b *Row) int { return strings.Compare(a.place(), b.place()) })
	for _, r := range order {
		total.addRow(r)
		if err := fn(r); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// sumsQuery is the statement that answers q, a row for each architecture.
func sumsQuery(q *Query, withTenant bool) (text string, args []any) {
	columns := []string{}
	if q.by(ByDay) {
		columns = append(columns, "day")
	}
	if withTenant {
		columns = append(columns, "tenant")
	}
	if q.by(ByFunction) {
		columns = append(columns, "function_id", "function")
	}
	columns = append(columns, "architecture")
	var b strings.Builder
	b.WriteString("SELECT " + strings.Join(columns, ", "))
	for name := range strings.SplitSeq(sumColumns, ", ") {
		b.WriteString(", sum(" + name + ")")
	}
	b.WriteString(" FROM sums WHERE 1")
	where(&b, &args, q, "")
	b.WriteString(" GROUP BY " + strings.Join(columns, ", ") + " ORDER BY " + strings.Join(columns, ", "))
	return b.String(), args
}

// where narrows to what q asks for.
func where(b *strings.Builder, args *[]any, q *Query, table string) {
	if !q.From.IsZero() {
		b.WriteString(" AND " + table + "day >= ?")
		*args = append(*args, q.From.Unix()/86400)
	}
	if !q.To.IsZero() {
		b.WriteString(" AND " + table + "day < ?")
		*args = append(*args, q.To.Unix()/86400)
	}
	if q.Tenant != nil {
		b.WriteString(" AND " + table + "tenant = ?")
		*args = append(*args, string(*q.Tenant))
	}
	if q.Function != "" {
		b.WriteString(" AND " + table + "function = ?")
		*args = append(*args, q.Function)
	}
}

func scanSums(rows *sql.Rows, q *Query, withTenant bool) (r *Row, s Sums, architecture string, tenant alcove.Tenant, err error) {
	r = newRow()
	var day int64
	var name string
	var to []any
	if q.by(ByDay) {
		to = append(to, &day)
	}
	if withTenant {
		to = append(to, &name)
	}
	if q.by(ByFunction) {
		to = append(to, &r.FunctionID, &r.Function)
	}
	to = append(to, &architecture)
	for _, n := range s.columns() {
		to = append(to, n)
	}
	if err := rows.Scan(to...); err != nil {
		return nil, s, "", "", fmt.Errorf("usage: %w", err)
	}
	tenant = alcove.Tenant(name)
	if q.by(ByDay) {
		r.Day = dayTime(day).Format(time.DateOnly)
	}
	if q.by(ByTenant) {
		r.Tenant = &tenant
	}
	return r, s, architecture, tenant, nil
}

// Entry is one line of the ledger.
type Entry struct {
	ID           int64          `json:"id,string"` // grows from entry to entry
	Kind         string         `json:"kind"`
	Time         time.Time      `json:"time"` // when the event was handed over
	RequestID    string         `json:"requestId"`
	Tenant       *alcove.Tenant `json:"tenant,omitempty"`
	Function     string         `json:"function"`
	FunctionID   string         `json:"functionId"`
	Architecture string         `json:"architecture"`
	Status       alcove.Status  `json:"status,omitempty"` // of an invocation
	MemoryMB     int            `json:"memoryMB"`
	EphemeralMB  int            `json:"ephemeralMB"`
	BilledMillis int64          `json:"billedMilliseconds"`
}

// Kinds of entries.
const (
	KindInvocation  = "invocation"
	KindEnvironment = "environment" // one was bound to the tenant
)

// Bounds of answers with entries.
const (
	DefaultEntryLimit = 1000
	MaxEntryLimit     = 100_000
)

// Entries gives fn single entries after one of that number, oldest first, limit at
// most. Query.By is not looked at.
func (l *Ledger) Entries(ctx context.Context, q Query, after int64, limit int, fn func(*Entry) error) error {
	db, err := l.catchUp()
	if err != nil {
		return err
	}
	select {
	case l.reading <- struct{}{}:
		defer func() { <-l.reading }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var b strings.Builder
	args := []any{after}
	b.WriteString(`SELECT e.id, e.request, e.at, e.status, e.memory, e.ephemeral, e.billed, s.tenant, s.function, s.function_id, s.architecture
		FROM entries e JOIN sums s ON s.id = e.sum WHERE e.id > ?`)
	where(&b, &args, &q, "s.")
	b.WriteString(" ORDER BY e.id")
	rows, err := db.QueryContext(ctx, b.String(), args...)
	if err != nil {
		return fmt.Errorf("usage: %w", err)
	}
	defer rows.Close()
	for limit > 0 && rows.Next() {
		var e Entry
		var request []byte
		var at int64
		var status int
		var tenant alcove.Tenant
		if err := rows.Scan(&e.ID, &request, &at, &status, &e.MemoryMB, &e.EphemeralMB, &e.BilledMillis, &tenant, &e.Function, &e.FunctionID, &e.Architecture); err != nil {
			return fmt.Errorf("usage: %w", err)
		}
		if q.Sees != nil && !q.Sees(tenant) {
			continue
		}
		id, err := uuid.FromBytes(request)
		if err != nil {
			return fmt.Errorf("usage: request id of entry %d: %w", e.ID, err)
		}
		e.RequestID, e.Time = id.String(), time.UnixMilli(at).UTC()
		if tenant != "" {
			e.Tenant = &tenant
		}
		e.Kind = KindInvocation
		switch status {
		case statusSuccess:
			e.Status = alcove.StatusSuccess
		case statusError:
			e.Status = alcove.StatusError
		case statusTimeout:
			e.Status = alcove.StatusTimeout
		case statusFailure:
			e.Status = alcove.StatusFailure
		case statusBound:
			e.Kind = KindEnvironment
		}
		if err := fn(&e); err != nil {
			return err
		}
		limit--
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("usage: %w", err)
	}
	return nil
}

// PurgeTenant takes out a tenant's single entries. Its sums stay: they are its
// bill.
func (l *Ledger) PurgeTenant(ctx context.Context, tenant alcove.Tenant) error {
	db, err := l.catchUp()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.db != db {
		return errors.New("usage: the ledger was closed")
	}
	var gone int64
	err = sqlite.Change(db, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM entries WHERE sum IN (SELECT id FROM sums WHERE tenant = ?)`, string(tenant))
		if err != nil {
			return err
		}
		if gone, err = res.RowsAffected(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE place SET entries = max(entries - ?, 0)`, gone)
		return err
	})
	if err == nil {
		l.count = max(l.count-gone, 0)
		_, err = db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	}
	if err != nil {
		return fmt.Errorf("usage: purge: %w", err)
	}
	return nil
}
