package environment

import "sync"

// Linger is the memory that environments may still hold which are given up and have
// time to end by themselves: whoever makes room counts it as free from the start. It
// is shared by all environments of a node and safe for concurrent use; nil has no end.
type Linger struct {
	mu   sync.Mutex
	left int64 // guarded by mu
	free bool  // guarded by mu: nobody needs the room any more
}

// NewLinger lets environments hold so many bytes together.
func NewLinger(bytes int64) *Linger { return &Linger{left: bytes} }

// Free is for the node's end: nothing new will be made.
func (l *Linger) Free() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = true
}

func (l *Linger) take(bytes int64) bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left < bytes && !l.free {
		return false
	}
	l.left -= bytes
	return true
}

func (l *Linger) give(bytes int64) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left += bytes
}
