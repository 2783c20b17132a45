package gvisor

import (
	"sync"
	_ "unsafe" // for go:linkname

	_ "gvisor.dev/gvisor/pkg/sentry/seccheck" // the variable's owner
)

// A sentry can report to a tracer what its programs do. It describes to itself at
// every start all it could report, which takes 5 ms and some memory; nobody ever
// asks the sentries here.
//
//go:linkname seccheckOnce gvisor.dev/gvisor/pkg/sentry/seccheck.initOnce
var seccheckOnce sync.Once

// withoutTracer has the sentry believe that it has done so.
func withoutTracer() { seccheckOnce.Do(func() {}) }
