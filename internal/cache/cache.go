// Package cache remembers what was found out about tokens: in bounded tables, by the whole token, each entry for
// a time of its own.
package cache

import (
	"crypto/sha256"
	"time"

	"github.com/maypok86/otter/v2"
)

// Key stands for a token. It is made of all of it: caches that went by a part have let strangers in
// (CVE-2026-35030, CVE-2026-35039). The token itself is not kept.
type Key [sha256.Size]byte

// KeyOf returns the key of a token.
func KeyOf(token string) Key { return sha256.Sum256([]byte(token)) }

// Cache is a table of at most so many entries. It has no goroutine of its own.
type Cache[V any] struct{ table *otter.Cache[Key, entry[V]] }

type entry[V any] struct {
	value V
	ttl   time.Duration
}

// New returns an empty cache that goes by the clock now. maximum must be positive.
func New[V any](maximum int, now func() time.Time) *Cache[V] {
	return &Cache[V]{table: otter.Must(&otter.Options[Key, entry[V]]{
		MaximumSize: maximum,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[Key, entry[V]]) time.Duration {
			return e.Value.ttl
		}),
		Clock:    clock(now),
		Executor: func(f func()) { f() },
	})}
}

// Get returns the value of a key that was set and has not expired.
func (c *Cache[V]) Get(k Key) (value V, ok bool) {
	e, ok := c.table.GetIfPresent(k)
	return e.value, ok
}

// Set remembers a value for that time. A time that is not positive makes it forget the key.
func (c *Cache[V]) Set(k Key, value V, ttl time.Duration) {
	if ttl <= 0 {
		c.Delete(k)
		return
	}
	c.table.Set(k, entry[V]{value, ttl})
}

// Delete forgets a key.
func (c *Cache[V]) Delete(k Key) { c.table.Invalidate(k) }

// Len is about how many entries there are.
func (c *Cache[V]) Len() int { return c.table.EstimatedSize() }

// Tokens is a table of tokens that were verified, by the token itself: a request has it in hand, and hashing it well
// enough to leave it out would cost more than all the rest of the look-up. It has no clock: whoever finds a token
// judges whether it is still good, and says now and then which are not (Sweep). That makes a look-up in a table
// that is not crowded a read of a map and nothing else.
type Tokens[V any] struct {
	table *otter.Cache[string, V]
}

// entryCost is about what an entry takes besides its token, in bytes, and tokenCost how many times the token's length
// an entry takes with its claims and strings.
const (
	entryCost = 1024
	tokenCost = 3
)

// NewTokens returns an empty table of at most maximum tokens and at most about that many bytes, both positive.
func NewTokens[V any](maximum int, bytes uint64) *Tokens[V] {
	// An entry weighs no less than this, so that there are never more than the maximum.
	least := max(bytes/uint64(maximum), 1) //nolint:gosec // maximum is positive
	return &Tokens[V]{table: otter.Must(&otter.Options[string, V]{
		MaximumWeight: bytes,
		Weigher: func(token string, _ V) uint32 {
			return uint32(min(max(least, uint64(entryCost+tokenCost*len(token))), 1<<31))
		},
		Executor: func(f func()) { f() },
	})}
}

// Get returns the value of a token that was set.
func (c *Tokens[V]) Get(token string) (value V, ok bool) { return c.table.GetIfPresent(token) }

// Set remembers a value.
func (c *Tokens[V]) Set(token string, value V) { c.table.Set(token, value) }

// Sweep forgets the tokens whose values are dead.
func (c *Tokens[V]) Sweep(dead func(V) bool) {
	for token, value := range c.table.All() {
		if dead(value) {
			c.table.Invalidate(token)
		}
	}
}

// Delete forgets a token.
func (c *Tokens[V]) Delete(token string) { c.table.Invalidate(token) }

// Len is about how many tokens there are.
func (c *Tokens[V]) Len() int { return c.table.EstimatedSize() }

// clock makes the tables go by the library's clock. It does not tick: entries that have expired are dropped when
// others are added, and there are never more than the maximum.
type clock func() time.Time

func (c clock) NowNano() int64 { return c().UnixNano() }

func (c clock) Tick(time.Duration) <-chan time.Time { return nil }
