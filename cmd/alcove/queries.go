package main

import (
	"runtime"

	"github.com/alcove-run/alcove/internal/turns"
	"github.com/alcove-run/alcove/logs/queries"
)

// openQueries has queries run over the log store.
func (n *node) openQueries() {
	n.reading = turns.New(max(1, runtime.NumCPU()/2))
	n.queries = queries.New(queries.Config{Lines: n.logs.Lines, Turns: n.reading, Account: n.cfg.place().Account, Log: n.log})
	n.opened(closes(n.queries))
}
