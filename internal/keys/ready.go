package keys

// Ready reports whether there are keys to verify with, without fetching any.
func (s *Set) Ready() bool { return s.usable(s.current.Load()) }

// Prefetch begins a fetch where keys are missing or due, and does not wait for its end: a probe of readiness must not,
// and no other request may come before it is answered.
func (s *Set) Prefetch() {
	snap := s.current.Load()
	switch {
	case !s.usable(snap):
		if s.recentFailure() == nil {
			s.flights.DoChan("", func() (any, error) { return nil, s.fetch(s.usable) })
		}
	case s.cfg.Now().Sub(snap.fetchedAt) >= s.cfg.TTL:
		s.refresh(snap)
	}
}
