package async

import "time"

// flight is a call with an idempotency key that is under way.
type flight struct{ done chan struct{} }

func (q *Queue) forgetKeys(now time.Time) {}
