package usage

import (
	"cmp"
	"database/sql"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/journal"
)

// key is what sums are kept for.
type key struct {
	day          int64 // since 1970, UTC, by when the event was handed over
	tenant       alcove.Tenant
	functionID   string
	architecture string
}

// entry is one row of the ledger: an invocation, or the binding of an environment.
type entry struct {
	id        int64 // see entryID
	key       key
	request   [16]byte
	at        int64 // Unix milliseconds
	status    int
	memory    int
	ephemeral int
	billed    int64
}

// What an entry is about. Stored: never change the numbers.
const (
	statusSuccess = iota
	statusError
	statusTimeout
	statusFailure
	statusBound // the environment was given to its tenant
)

func statusOf(s alcove.Status) int {
	switch s {
	case alcove.StatusSuccess:
		return statusSuccess
	case alcove.StatusTimeout:
		return statusTimeout
	case alcove.StatusFailure:
		return statusFailure
	}
	return statusError
}

// entryID names an entry by its place in a journal, so that none can be there
// twice. A report that is a binding as well has two entries. Offsets have 31 bits,
// segments 26 and epochs, which number the journals, 5.
func entryID(epoch int64, p journal.Position, binding int64) int64 {
	return epoch<<58 | int64(p.Segment)<<32 | p.Offset<<1 | binding
}

// batch is what one transaction writes.
type batch struct {
	epoch   int64
	at      journal.Position
	entries []entry
	sums    map[key]*summed
}

type summed struct {
	Sums
	function string
}

func (b *batch) reset() {
	b.entries = b.entries[:0]
	b.sums = make(map[key]*summed)
}

func (b *batch) add(p journal.Position, r *alcove.Report) {
	b.at = p
	k := key{r.Started.Unix() / 86400, r.Tenant, r.FunctionID, cmp.Or(r.Architecture, "x86_64")}
	s := b.sums[k]
	if s == nil {
		s = &summed{function: r.Function}
		b.sums[k] = s
	}
	more := sumsOf(r)
	s.Add(&more)
	request, _ := uuid.Parse(r.RequestID) // what is none is zeros
	e := entry{id: entryID(b.epoch, p, 0), key: k, request: request, at: r.Started.UnixMilli(), status: statusOf(r.Status),
		memory: r.MemorySize, ephemeral: r.Ephemeral, billed: r.Billed.Milliseconds()}
	b.entries = append(b.entries, e)
	if more.Environments > 0 {
		e.id, e.status, e.billed = entryID(b.epoch, p, 1), statusBound, 0
		b.entries = append(b.entries, e)
	}
}

var upsert = func() string {
	names := strings.Split(sumColumns, ", ")
	var set []string
	for _, n := range names {
		set = append(set, n+" = "+n+" + excluded."+n)
	}
	return `INSERT INTO sums(day, tenant, function_id, function, architecture, ` + sumColumns + `) VALUES(?, ?, ?, ?, ?` +
		strings.Repeat(", ?", len(names)) + `) ON CONFLICT(day, tenant, function_id, architecture) DO UPDATE SET ` + strings.Join(set, ", ") + ` RETURNING id`
}()

// sumColumns are those of [Sums.columns].
const sumColumns = "invocations, errors, timeouts, failures, billed_ms, memory_ms, ephemeral_ms, environments, environment_mb, " +
	"bytes_in, bytes_out, log_bytes, queue_bytes, network_in, network_out, connections"

// write adds the batch to the tables.
func (b *batch) write(tx *sql.Tx) error {
	ids := make(map[key]int64, len(b.sums))
	up, err := tx.Prepare(upsert)
	if err != nil {
		return err
	}
	defer up.Close()
	for k, s := range b.sums {
		args := []any{k.day, string(k.tenant), k.functionID, s.function, k.architecture}
		for _, n := range s.columns() {
			args = append(args, *n)
		}
		var id int64
		if err := up.QueryRow(args...).Scan(&id); err != nil {
			return err
		}
		ids[k] = id
	}
	insert, err := tx.Prepare(`INSERT INTO entries(id, sum, request, at, status, memory, ephemeral, billed) VALUES(?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range b.entries {
		e := &b.entries[i]
		if _, err := insert.Exec(e.id, ids[e.key], e.request[:], e.at, e.status, e.memory, e.ephemeral, e.billed); err != nil {
			return err
		}
	}
	return nil
}

// dayTime is the beginning of a day.
func dayTime(day int64) time.Time { return time.Unix(day*86400, 0).UTC() }
