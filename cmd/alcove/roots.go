package main

import (
	"context"
	"errors"
)

// pruneRoots has root trees removed that the functions that there are do not run on,
// beside everything else: nothing waits for it, and the end of the node ends it.
func (n *node) pruneRoots() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.factory.PruneRoots(ctx, n.catalog.All()); err != nil && !errors.Is(err, context.Canceled) {
			n.log.Warn("root trees that nothing uses stay", "error", err)
		}
	}()
	n.opened(func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}
