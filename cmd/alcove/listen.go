package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"

	"github.com/alcove-run/alcove/gateway"
)

// listening is how a node is reached: from early in its start, when all that it
// has to say is that it is not ready, until everything else is closed.
type listening struct {
	listener net.Listener
	server   *gateway.Front
	gate     *gateway.Gate
	served   chan error // gets what ended the server
}

// openListener listens and answers; requests are turned away until openAPIs.
func (n *node) openListener(context.Context) error {
	l, err := net.Listen("tcp", n.cfg.Listen)
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return fmt.Errorf("--listen %s: something else listens there, perhaps another node or LocalStack: end it, or choose another port (0 takes a free one)", n.cfg.Listen)
		}
		return fmt.Errorf("--listen: %w: give an address that this machine has and a port that you may use, as 127.0.0.1:4566", err)
	}
	n.listener = netutil.LimitListener(l, n.files.connections)
	n.gate = gateway.NewGate()
	n.served = make(chan error, 1)
	n.server = gateway.NewFront(n.gate, n.log)
	go func() { n.served <- n.server.Serve(n.listener) }()
	n.opened(func(context.Context) error {
		err := n.server.Close()
		if served := <-n.served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return nil
}

// url is the node's address.
func (n *node) url() string { return "http://" + n.listener.Addr().String() }

// serve has requests answered until ctx ends, then takes no new ones and lets those
// under way finish, within drainTime.
func (n *node) serve(ctx context.Context) error {
	select {
	case err := <-n.served:
		n.served <- err // for the undo stack, which tells it
		return nil
	case <-ctx.Done():
	}
	n.log.Info("stopping")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	go func() {
		<-n.gate.Ending() // closed at once, before the wait for what is under way
		n.stopPages()
	}()
	if err := n.gate.Close(drain); err != nil {
		n.log.Warn("requests are cut off", "error", err)
		return n.server.Close()
	}
	return nil
}
