package gvisor

import "time"

// Trace says where the time of one Create went.
type Trace struct {
	Prepare time.Duration `json:"prepare"` // directory, cgroup, spec
	Helper  time.Duration `json:"helper"`  // start of the helper process
	Cgroup  time.Duration `json:"cgroup"`  // entering the cgroup (version 1 only)
	Create  time.Duration `json:"create"`  // gofer and sentry up
	Start   time.Duration `json:"start"`   // mounts, filter, first process
	Total   time.Duration `json:"total"`   // Create as its caller sees it
}
