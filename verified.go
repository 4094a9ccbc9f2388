package ginkeycloak

import (
	"sync/atomic"
	"time"

	"github.com/c0mpiler/ginkeycloak/internal/cache"
)

// Defaults and bounds of the token cache.
const (
	defaultTokenCacheSize = 10_000
	defaultTokenCacheTTL  = 10 * time.Minute
	maxTokenCacheTTL      = 24 * time.Hour

	tokenCacheBytes = 32 << 20
	maxCachedToken  = 8 << 10
)

// WithTokenCache remembers up to size tokens whose signature was found right, each until it expires, its key is
// removed or changed, or ttl has passed. A token that is recognised costs next to nothing; that it has not expired
// and that its key is still trusted is checked each time. Tokens longer than 8 KiB are not remembered, and all
// together take no more than about 32 MiB. A size of 0 turns it off. Default: 10 000 tokens, 10 min; at most 24 h.
func WithTokenCache(size int, ttl time.Duration) Option {
	return func(c *config) { c.tokenCacheSize, c.tokenCacheTTL = size, ttl }
}

// Forget drops what is remembered of an access token, for a program that knows better: the next request with it is
// judged anew.
func (p *Plugin) Forget(accessToken string) {
	p.home.verified.forget(accessToken)
	if p.home.introspector != nil {
		key := cache.KeyOf(accessToken)
		p.home.introspector.active.Delete(key)
		p.home.introspector.inactive.Delete(key)
	}
}

// verifiedTokens remembers tokens that were validated locally, with their users. A nil one remembers none. Nothing
// gets in whose signature was not right.
type verifiedTokens struct {
	tokens *cache.Tokens[verified]
	ttl    time.Duration
	swept  atomic.Int64 // when those that had died were dropped, in Unix time
}

// verified is what is known of a token: its user, the generation of the keys that it was verified with, and when it
// has to be judged again because it has expired or was remembered for long enough.
type verified struct {
	user       *User
	generation uint64
	until      time.Time
}

// sweepInterval is how long tokens that died are kept, in seconds, while others are remembered. Looking through all of
// them costs a token that is recognised nothing, and one that is remembered next to nothing.
const sweepInterval = 60

func newVerifiedTokens(cfg *config) *verifiedTokens {
	if cfg.tokenCacheSize == 0 {
		return nil
	}
	return &verifiedTokens{
		tokens: cache.NewTokens[verified](cfg.tokenCacheSize, tokenCacheBytes),
		ttl:    cfg.tokenCacheTTL,
	}
}

// recognise returns the user of a token that was seen before and is still good. What has expired or lost its key since
// is not recognised: it is judged, and refused, like any other.
func (r *realm) recognise(raw string) (*User, bool) {
	if r.verified == nil {
		return nil, false
	}
	v, ok := r.verified.tokens.Get(raw)
	if !ok {
		return nil, false
	}
	now := r.policy.now()
	if !now.Before(v.until) || !r.keys.Trusts(v.generation, now) {
		return nil, false
	}
	return v.user, true
}

// remember takes note of a token that was just verified with a key of that generation, and will be accepted until end.
func (v *verifiedTokens) remember(raw string, u *User, generation uint64, end, now time.Time) {
	if v == nil || len(raw) > maxCachedToken {
		return
	}
	until := now.Round(0).Add(v.ttl) // without the monotonic clock: exp is a time of the wall's
	if end.Before(until) {
		until = end
	}
	v.tokens.Set(raw, verified{u, generation, until})
	if last := v.swept.Load(); now.Unix()-last >= sweepInterval && v.swept.CompareAndSwap(last, now.Unix()) {
		v.tokens.Sweep(func(v verified) bool { return v.generation < generation || !now.Before(v.until) })
	}
}

func (v *verifiedTokens) forget(raw string) {
	if v != nil {
		v.tokens.Delete(raw)
	}
}

func (v *verifiedTokens) len() int {
	if v == nil {
		return 0
	}
	return v.tokens.Len()
}
