package main

import (
	"context"
	"fmt"

	"github.com/alcove-run/alcove/usage"
)

// ledgerDir is the ledger's below the data directory.
const ledgerDir = "usage"

// openLedger opens the ledger, which reads the journal.
func (n *node) openLedger(context.Context) error {
	prices, err := n.cfg.prices()
	if err != nil {
		return err
	}
	n.ledger, err = usage.Open(usage.Config{Dir: n.path(ledgerDir), Journal: n.journal, Prices: prices, Log: n.log})
	if err != nil {
		return err
	}
	n.opened(closes(n.ledger))
	return nil
}

// prices are those of the file, or AWS's.
func (c *serveCmd) prices() (usage.Prices, error) {
	if c.Prices == "" {
		return usage.ListPrices(), nil
	}
	p, err := usage.ReadPrices(c.Prices)
	if err != nil {
		return p, fmt.Errorf("--prices: %w (name a file like usage/prices.json; without the flag they are AWS's list prices)", err)
	}
	return p, nil
}
