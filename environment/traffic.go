package environment

import "github.com/alcove-run/alcove/sandbox"

// trafficCounter is a sandbox with a network that counts what passes: bytes since
// it was made, both counters never decreasing.
type trafficCounter interface {
	Traffic() (received, sent int64, err error)
}

// traffic is what of an environment's network traffic is in reports.
type traffic struct{ received, sent int64 }

// since gives what passed since it was asked last. A counter that cannot be read
// is read by the next report.
func (t *traffic) since(box sandbox.Sandbox) (received, sent int64) {
	c, ok := box.(trafficCounter)
	if !ok {
		return 0, 0
	}
	in, out, err := c.Traffic()
	if err != nil || in < t.received || out < t.sent {
		return 0, 0
	}
	received, sent = in-t.received, out-t.sent
	t.received, t.sent = in, out
	return received, sent
}
