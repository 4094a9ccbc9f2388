package token

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// maxHeaders is how many headers are known at the most. A realm has one for each key and type of token.
const maxHeaders = 64

// Headers remembers the headers of tokens whose signature was right: nearly all tokens of a realm have the same. The
// zero value knows none; a nil one never will.
type Headers struct {
	known atomic.Pointer[map[string]*Header] // by segment; replaced when one is added

	mu sync.Mutex // guards replacing known
}

func (h *Headers) lookUp(segment string) (*Header, bool) {
	if h == nil {
		return nil, false
	}
	known := h.known.Load()
	if known == nil {
		return nil, false
	}
	header, ok := (*known)[segment]
	return header, ok
}

// Learn remembers the header of a token whose signature was right. What strangers write is never remembered, so they
// cannot push anything out.
func (h *Headers) Learn(t JWS) {
	if _, ok := h.lookUp(t.header); ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	known := make(map[string]*Header)
	if old := h.known.Load(); old != nil && len(*old) < maxHeaders {
		known = maps.Clone(*old)
	}
	known[strings.Clone(t.header)] = t.Header // not the whole token
	h.known.Store(&known)
}
