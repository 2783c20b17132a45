package gvisor

// What the host's limits grant on top of the function's own, for the sentry,
// the stub processes and the gofer, which live in the same cgroup.
const (
	memoryOverhead  = 64 << 20
	processOverhead = 256
)
