package ginkeycloak

import (
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
}

// verified is what is known of a token: its user, and the generation of the keys that it was verified with.
type verified struct {
	user       *User
	generation uint64
}

func newVerifiedTokens(cfg *config) *verifiedTokens {
	if cfg.tokenCacheSize == 0 {
		return nil
	}
	return &verifiedTokens{
		tokens: cache.NewTokens[verified](cfg.tokenCacheSize, tokenCacheBytes, cfg.now),
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
	if !now.Before(v.user.ExpiresAt.Add(r.policy.leeway)) || !r.keys.Trusts(v.generation, now) {
		return nil, false
	}
	return v.user, true
}

// remember takes note of a token that was just verified with a key of that generation.
func (v *verifiedTokens) remember(raw string, u *User, generation uint64, remaining time.Duration) {
	if v != nil && len(raw) <= maxCachedToken && remaining > 0 {
		v.tokens.Set(raw, verified{u, generation}, min(v.ttl, remaining))
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
