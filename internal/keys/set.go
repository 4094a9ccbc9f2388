// Package keys holds the key set of one issuer: it fetches the set when it is first needed, keeps it while
// Keycloak is away, learns new keys when they are first used, and forgets removed ones.
package keys

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/singleflight"

	"github.com/c0mpiler/ginkeycloak/internal/rescue"
)

// interval is the least time between a successful fetch and the next one.
const interval = time.Second

var (
	// ErrUnknownKey means that the issuer does not have a key of that ID, by its own answer.
	ErrUnknownKey = errors.New("no such key in the key set")
	// ErrWrongAlgorithm means that the issuer has the key, but for another algorithm.
	ErrWrongAlgorithm = errors.New("the key is for another algorithm")
	// ErrClosed means that the set was closed.
	ErrClosed = errors.New("closed")
)

// Config is what a Set needs to know.
type Config struct {
	Fetch      func(context.Context) ([]jsontext.Value, error) // gets the issuer's keys, with a time limit of its own
	Algorithms []string                                        // signature algorithms that may be used
	TTL        time.Duration                                   // age at which keys are fetched again, in the background
	MaxStale   time.Duration                                   // age beyond which keys are not used any more
	Logger     *slog.Logger
	Looked     func(ctx context.Context, held bool) // told of each look-up; may be nil
	Changed    func(state State, keys int)          // told of each change of state
	Now        func() time.Time
}

// State is a state of the key set.
type State string

// The states of the key set.
const (
	Fresh     State = "fresh"     // fetched
	Rotated   State = "rotated"   // fetched, and not the same keys as before
	Unfetched State = "unfetched" // could not be fetched
	Stale     State = "stale"     // could not be fetched for so long that the keys held are not used any more
)

// Set is the key set of one issuer.
//
// A fetch is shared by all who wait for it, belongs to none of them, and is followed by another one not
// before a second has passed. A failed one leaves everything as it was.
type Set struct {
	cfg     Config
	current atomic.Pointer[snapshot]
	started atomic.Uint64 // fetches begun; the number of a fetch is its place in this count
	flights singleflight.Group
	vain    vain

	ctx    context.Context //nolint:containedctx // the Set's lifetime, which is that of its fetches
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	closed  bool
	running sync.WaitGroup // fetches, counted under mu so that Close can wait
	last    time.Time      // when the last successful fetch began
	trouble trouble
}

// trouble is what is remembered of failed fetches in a row.
type trouble struct {
	failures       int
	err            error     // of the last one
	retryAt        time.Time // until then, err is the answer for whoever cannot do without keys
	backgroundFrom time.Time // until then, keys past their TTL are not refreshed
	stale          bool      // it was told that the keys are too old
}

// New returns a set that has fetched nothing yet.
func New(cfg Config) *Set {
	s := &Set{cfg: cfg, vain: vain{now: cfg.Now}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends fetches that are under way and waits for them.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// Key is a public key, and the generation of the key set that it was found in.
type Key struct {
	Public     crypto.PublicKey
	Generation uint64
}

// Key returns the public key of that ID for that algorithm. It fetches where it must. Errors are
// ErrUnknownKey, ErrWrongAlgorithm, the context's, or why the keys could not be had.
func (s *Set) Key(ctx context.Context, kid, alg string) (Key, error) {
	snap, now := s.current.Load(), s.cfg.Now()
	usable := s.usableAt(snap, now)
	if s.cfg.Looked != nil {
		s.cfg.Looked(ctx, usable && snap.has(kid))
	}
	if !usable {
		if err := s.await(ctx, s.usable); err != nil {
			return Key{}, err
		}
		snap = s.current.Load()
	} else if now.Sub(snap.fetchedAt) >= s.cfg.TTL {
		s.refresh(snap)
	}
	if !snap.has(kid) {
		var err error
		if snap, err = s.seek(ctx, kid); err != nil {
			return Key{}, err
		}
	}
	return snap.key(kid, alg)
}

// Trusts reports whether a signature that was verified with a key of that generation is still to be believed: the
// issuer has the same keys, as far as is known, and they are not too old. It never waits.
func (s *Set) Trusts(generation uint64, now time.Time) bool {
	snap := s.current.Load()
	if snap == nil || snap.generation != generation {
		return false
	}
	age := now.Sub(snap.fetchedAt)
	if age >= s.cfg.TTL {
		s.refresh(snap)
	}
	return age < s.cfg.MaxStale
}

// usable reports whether a snapshot exists and is not too old to be trusted without contact.
func (s *Set) usable(snap *snapshot) bool { return s.usableAt(snap, s.cfg.Now()) }

func (s *Set) usableAt(snap *snapshot, now time.Time) bool {
	return snap != nil && now.Sub(snap.fetchedAt) < s.cfg.MaxStale
}

// seek looks for a key that is not held, and returns a snapshot that has it. Only a fetch that began after the
// key was asked for proves that the issuer does not have it: one begun before may have been answered just
// before a rotation.
func (s *Set) seek(ctx context.Context, kid string) (*snapshot, error) {
	if s.vain.has(kid) {
		return nil, ErrUnknownKey
	}
	begun := s.started.Load()
	err := s.await(ctx, func(snap *snapshot) bool { return snap.has(kid) || snap.number > begun })
	if err != nil {
		return nil, err
	}
	snap := s.current.Load()
	if !snap.has(kid) {
		s.vain.add(kid)
		return nil, ErrUnknownKey
	}
	return snap, nil
}

// Refresh fetches the keys now, whatever is held.
func (s *Set) Refresh(ctx context.Context) error {
	begun := s.started.Load()
	return s.await(ctx, func(snap *snapshot) bool { return snap != nil && snap.number > begun })
}

// Snapshot says how many keys there are to verify with, none if those held are too old, and when they were fetched,
// without fetching any.
func (s *Set) Snapshot() (usable int, fetchedAt time.Time) {
	snap := s.current.Load()
	switch {
	case snap == nil:
		return 0, time.Time{}
	case !s.usable(snap):
		return 0, snap.fetchedAt
	}
	return len(snap.ids), snap.fetchedAt
}

// await joins fetches, or begins them, until enough says that the current snapshot will do. The caller leaves
// when ctx ends; the fetch goes on for the others.
func (s *Set) await(ctx context.Context, enough func(*snapshot) bool) error {
	for {
		if err := s.recentFailure(); err != nil {
			return err
		}
		flight := s.flights.DoChan("", func() (any, error) { return nil, s.fetch(enough) })
		select {
		case <-ctx.Done():
			return ctx.Err()
		case result := <-flight:
			if result.Err != nil {
				return result.Err
			}
			if enough(s.current.Load()) {
				return nil
			}
		}
	}
}

// refresh begins a fetch of which nobody waits for the end, unless the last ones failed a short while ago.
func (s *Set) refresh(old *snapshot) {
	now := s.cfg.Now() // before the lock, which a clock that panics would leave locked
	s.mu.Lock()
	wait := now.Before(s.trouble.backgroundFrom)
	s.mu.Unlock()
	if wait {
		return
	}
	s.flights.DoChan("", func() (any, error) {
		return nil, s.fetch(func(snap *snapshot) bool { return snap.number > old.number })
	})
}

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

// recentFailure returns the error of the last fetch while it is too early for another one.
func (s *Set) recentFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.cfg.Now().Before(s.trouble.retryAt) {
		return s.trouble.err
	}
	return nil
}

// fetch runs in a flight of its own. It gets the keys, once its turn has come, and makes them the current ones.
func (s *Set) fetch(enough func(*snapshot) bool) (err error) {
	if !s.enter() {
		return ErrClosed
	}
	defer s.running.Done()
	defer func() {
		if v := recover(); v != nil { // in a hook, a logger or a transport: it must not end the process
			err = rescue.Note(s.cfg.Logger, v)
		}
	}()

	// The flight before this one may have ended between the caller's look and this flight's begin.
	if snap := s.current.Load(); snap != nil && enough(snap) {
		return nil
	}
	if err := s.takeTurn(); err != nil {
		return err
	}
	number, begin := s.started.Add(1), s.cfg.Now()
	raw, err := s.cfg.Fetch(s.ctx)
	if err != nil {
		return s.failed(err)
	}
	snap, err := newSnapshot(raw, s.cfg.Algorithms)
	if err != nil {
		return s.failed(err)
	}
	snap.number, snap.fetchedAt = number, begin
	s.succeeded(snap)
	return nil
}

// enter counts a fetch as running, unless the set is closed.
func (s *Set) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// takeTurn waits until an interval has passed since the last successful fetch.
func (s *Set) takeTurn() error {
	now := s.cfg.Now()
	s.mu.Lock()
	wait := interval - now.Sub(s.last)
	s.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(min(wait, interval)) // a clock that was set back must not stop us
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return ErrClosed
	case <-timer.C:
		return nil
	}
}

// failed notes a failure. The first one in a row costs no wait, so that a single lost packet is made good by
// the next request; after that, the waits double.
func (s *Set) failed(err error) error {
	if s.ctx.Err() != nil {
		return ErrClosed
	}
	now := s.cfg.Now()
	snap := s.current.Load()
	usable := s.usable(snap)
	s.mu.Lock()
	t := &s.trouble
	first := t.failures == 0
	t.failures++
	t.err = err
	t.retryAt = now
	if !first {
		t.retryAt = now.Add(backoff(100*time.Millisecond, time.Second, t.failures-2))
	}
	t.backgroundFrom = now.Add(backoff(time.Second, time.Minute, t.failures-1))
	gone := snap != nil && !usable && !t.stale
	t.stale = t.stale || gone
	s.mu.Unlock()

	if first {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelWarn, "keycloak: key set cannot be fetched",
			slog.Bool("keys_held", usable), slog.Any("error", err))
		s.changed(Unfetched, snap)
	}
	if gone {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelError, "keycloak: keys are too old to be trusted, requests are answered with 503",
			slog.Time("fetched_at", snap.fetchedAt), slog.Any("error", err))
		s.changed(Stale, snap)
	}
	return err
}

func (s *Set) succeeded(snap *snapshot) {
	s.mu.Lock()
	recovered := s.trouble.failures > 0
	s.trouble = trouble{}
	s.last = snap.fetchedAt
	s.mu.Unlock()
	old := s.current.Load()
	rotated := old != nil && !old.sameKeys(snap)
	if old != nil {
		snap.generation = old.generation
	}
	if rotated {
		snap.generation++
	}
	s.current.Store(snap)

	if recovered {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelInfo, "keycloak: key set fetched again")
	}
	if rotated {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelInfo, "keycloak: keys rotated", slog.Int("keys", len(snap.ids)))
	}
	if snap.skipped != "" && (old == nil || old.skipped != snap.skipped) {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelWarn, "keycloak: keys skipped", slog.String("reasons", snap.skipped))
	}
	switch {
	case rotated:
		s.changed(Rotated, snap)
	case recovered || old == nil:
		s.changed(Fresh, snap)
	}
}

// changed tells of a change of state. snap may be nil.
func (s *Set) changed(state State, snap *snapshot) {
	held := 0
	if snap != nil && state != Stale {
		held = len(snap.ids)
	}
	s.cfg.Changed(state, held)
}

// backoff is least doubled n times, at the most most, give or take a quarter so that a fleet spreads out.
func backoff(least, most time.Duration, n int) time.Duration {
	d := min(least<<min(n, 20), most)
	return d*3/4 + rand.N(d/2)
}
