package relay

import (
	"sync"
	"time"
)

// sessions are those of UDP that a link has at a time, of one kind. Nothing says when
// a session is over: a new one ends the one that has been idle for longest, where
// there are as many as there may be.
type sessions struct {
	mu    sync.Mutex
	count int               // guarded by mu, with those that do not carry anything yet
	kept  map[*udpFlow]bool // guarded by mu: those that may be ended
}

// enter counts one more in, and tells whether there may be one.
func (s *sessions) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count < maxSessions {
		s.count++
		return true
	}
	var idlest *udpFlow
	for f := range s.kept {
		if !f.busy.Load() && (idlest == nil || f.last.Load() < idlest.last.Load()) {
			idlest = f
		}
	}
	if idlest == nil {
		return false
	}
	delete(s.kept, idlest) // its place is the new one's
	idlest.lost.Store(true)
	go idlest.abort() // which waits for whoever uses it at the moment
	return true
}

// keep makes a session one that can be ended. Others may see all of it from now on.
func (s *sessions) keep(f *udpFlow) {
	f.moved()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[*udpFlow]bool{}
	}
	s.kept[f] = true
}

// leave counts one out, which was kept or not; one that has lost its place is
// counted out already.
func (s *sessions) leave(f *udpFlow, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !kept || s.kept[f] {
		s.count--
	}
	delete(s.kept, f)
}

// moved notes that something has, just now.
func (f *udpFlow) moved() { f.last.Store(time.Now().UnixNano()) }
