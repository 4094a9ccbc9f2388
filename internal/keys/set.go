// Package keys holds the key set of one issuer: it fetches the set when it is first needed, keeps it while
// Keycloak is away, learns new keys when they are first used, and forgets removed ones.
package keys

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/singleflight"
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
	Now        func() time.Time
}

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

// Key returns the public key of that ID for that algorithm. It fetches where it must. Errors are
// ErrUnknownKey, ErrWrongAlgorithm, the context's, or why the keys could not be had.
func (s *Set) Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	snap := s.current.Load()
	if !s.usable(snap) {
		if err := s.await(ctx, s.usable); err != nil {
			return nil, err
		}
		snap = s.current.Load()
	} else if s.cfg.Now().Sub(snap.fetchedAt) >= s.cfg.TTL {
		s.refresh(snap)
	}
	if !snap.has(kid) {
		var err error
		if snap, err = s.seek(ctx, kid); err != nil {
			return nil, err
		}
	}
	return snap.key(kid, alg)
}

// usable reports whether a snapshot exists and is not too old to be trusted without contact.
func (s *Set) usable(snap *snapshot) bool {
	return snap != nil && s.cfg.Now().Sub(snap.fetchedAt) < s.cfg.MaxStale
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

// Held reports whether there are keys to verify with, without fetching any.
func (s *Set) Held() bool { return s.usable(s.current.Load()) }

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
	s.mu.Lock()
	wait := s.cfg.Now().Before(s.trouble.backgroundFrom)
	s.mu.Unlock()
	if wait {
		return
	}
	s.flights.DoChan("", func() (any, error) {
		return nil, s.fetch(func(snap *snapshot) bool { return snap.number > old.number })
	})
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
		if r := recover(); r != nil { // a logger or transport of the user: it must not end the process
			err = fmt.Errorf("panic while fetching the key set: %v", r)
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
	s.mu.Lock()
	wait := interval - s.cfg.Now().Sub(s.last)
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
	s.mu.Lock()
	t := &s.trouble
	first := t.failures == 0
	now := s.cfg.Now()
	t.failures++
	t.err = err
	t.retryAt = now
	if !first {
		t.retryAt = now.Add(backoff(100*time.Millisecond, time.Second, t.failures-2))
	}
	t.backgroundFrom = now.Add(backoff(time.Second, time.Minute, t.failures-1))
	s.mu.Unlock()

	if first {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelWarn, "keycloak: key set cannot be fetched",
			slog.Bool("keys_held", s.Held()), slog.Any("error", err))
	}
	return err
}

func (s *Set) succeeded(snap *snapshot) {
	s.mu.Lock()
	recovered := s.trouble.failures > 0
	s.trouble = trouble{}
	s.last = snap.fetchedAt
	s.mu.Unlock()
	old := s.current.Swap(snap)

	if recovered {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelInfo, "keycloak: key set fetched again")
	}
	if old != nil && !old.sameIDs(snap) {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelInfo, "keycloak: keys rotated", slog.Int("keys", len(snap.ids)))
	}
	if snap.skipped != "" && (old == nil || old.skipped != snap.skipped) {
		s.cfg.Logger.LogAttrs(s.ctx, slog.LevelWarn, "keycloak: keys skipped", slog.String("reasons", snap.skipped))
	}
}

// backoff is least doubled n times, at the most most, give or take a quarter so that a fleet spreads out.
func backoff(least, most time.Duration, n int) time.Duration {
	d := min(least<<min(n, 20), most)
	return d*3/4 + rand.N(d/2)
}
