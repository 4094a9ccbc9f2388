package keys

import (
	"sync"
	"time"
)

// How many key IDs looked up in vain are remembered, and for how long: the first time for a second, since a
// cluster of Keycloaks may not agree on a new key at once, and twice as long each time after that.
const (
	maxVain       = 1024
	vainFirst     = time.Second
	vainLast      = time.Minute
	vainForgotten = 2 * vainLast // an entry this old starts anew
)

// vain remembers key IDs that were looked up in vain, so that a client that goes on sending an old token does
// not cause a fetch each second.
type vain struct {
	now func() time.Time

	mu      sync.Mutex // guards entries
	entries map[string]vainEntry
}

type vainEntry struct {
	since time.Time
	hold  time.Duration
}

func (v *vain) has(kid string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	e, ok := v.entries[kid]
	return ok && v.now().Sub(e.since) < e.hold
}

func (v *vain) add(kid string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if v.entries == nil {
		v.entries = make(map[string]vainEntry)
	}
	hold := vainFirst
	if e, ok := v.entries[kid]; ok && now.Sub(e.since) < vainForgotten {
		hold = min(2*e.hold, vainLast)
	} else if len(v.entries) >= maxVain {
		v.dropOne()
	}
	v.entries[kid] = vainEntry{since: now, hold: hold}
}

// dropOne makes room. Which entry goes does not matter: a flood of made-up IDs has none worth keeping.
func (v *vain) dropOne() {
	for kid := range v.entries {
		delete(v.entries, kid)
		return
	}
}
