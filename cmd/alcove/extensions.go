package main

import (
	"context"
	"sync"

	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/sandbox/supervise"
	"github.com/alcove-run/alcove/sandbox/supervise/embedded"
)

// supervisorDir is where the data directory has the program that starts extensions.
const supervisorDir = "supervisor"

// supervisor puts that program in its place when the first function needs it, and
// tries again with the next function if that fails.
func (n *node) supervisor() environment.Supervisor {
	var mu sync.Mutex
	var there *supervise.Program
	return func() (supervise.Program, error) {
		mu.Lock()
		defer mu.Unlock()
		if there != nil {
			return *there, nil
		}
		p, err := embedded.Install(n.path(supervisorDir))
		if err == nil {
			there = &p
		}
		return p, err
	}
}

// lingerShare is the part of the node's memory that environments may hold together
// which are given up and have time to end.
const lingerShare = 8

func (n *node) linger() *environment.Linger {
	return environment.NewLinger(int64(n.cfg.Memory) / lingerShare)
}

// closePool ends all environments, each with all the time that it may have.
func (n *node) closePool(ctx context.Context) error {
	n.factory.Linger.Free()
	return n.pool.Close(ctx)
}
