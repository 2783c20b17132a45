package store

import (
	_ "unsafe" // for go:linkname

	_ "github.com/nats-io/nats-server/v2/server/pse" // the variable's owner is linked in, and initialised before this package
)

// procStatFile is what nats-server's package pse reads once a second, from its
// initialisation on, to know the processor time of its process. Nothing here
// asks for that, and it must not go on: this program is also the sandboxes'
// kernel (sandbox/gvisor), which the host kills for opening a file.
//
//go:linkname procStatFile github.com/nats-io/nats-server/v2/server/pse.procStatFile
var procStatFile string

// init stops the reading for good: a name with a NUL byte fails before any
// system call, and pse gives up at the first failure.
func init() { stopSampling() }

// stopSampling writes what pse's timer reads a second later. Nothing can order
// the two, for the timer runs since pse's initialisation and is out of reach; the
// race detector is told not to look at a write that is over before the program
// begins.
//
//go:norace
func stopSampling() { procStatFile = "\x00" }
