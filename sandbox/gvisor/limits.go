package gvisor

// What the host's limits grant on top of the function's own, for the sentry,
// the stub processes and the gofer, which live in the same cgroup.
const (
	// memoryOverhead is several times what they take around an idle function:
	// open files, mappings and sockets of the function are the sentry's memory.
	memoryOverhead = 64 << 20
	// processOverhead is for the threads of sentry and gofer. Each of the
	// function's processes is one of the host's, and at times two.
	processOverhead = 256
)

// Descriptors is how many of the node's an idle sandbox keeps open: its link, its
// sentry and gofer, how it ended, the event of its memory, and, while it has no
// function, its directory or its program's.
const Descriptors = 6
