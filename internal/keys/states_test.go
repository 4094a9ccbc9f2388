package keys_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak/internal/keys"
)

// told is what a set tells of itself: states with the number of keys, and log lines without their times.
type told struct {
	states []string
	log    strings.Builder
}

func (x *told) record(c *keys.Config) {
	c.Changed = func(state keys.State, n int) { x.states = append(x.states, fmt.Sprint(state, " ", n)) }
	c.Logger = slog.New(slog.NewTextHandler(&x.log, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "fetched_at" {
			return slog.Attr{}
		}
		return a
	}}))
}

// check compares what was told since the last check.
func (x *told) check(t *testing.T, when string, states []string, log ...string) {
	t.Helper()
	if !slices.Equal(x.states, states) {
		t.Errorf("%s: told %q, want %q", when, x.states, states)
	}
	want := ""
	if len(log) > 0 {
		want = strings.Join(log, "\n") + "\n"
	}
	if got := x.log.String(); got != want {
		t.Errorf("%s: logged\n%swant\n%s", when, got, want)
	}
	x.states = nil
	x.log.Reset()
}

func TestChangesAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x told
		a, b := ec("a"), ec("b")
		i := &issuer{keys: []string{a}}
		s := newSet(t, i, x.record)
		refresh := func(want error) {
			t.Helper()
			time.Sleep(2 * time.Second) // longer than any wait
			if err := s.Refresh(t.Context()); !errors.Is(err, want) {
				t.Errorf("Refresh = %v, want %v", err, want)
			}
		}
		const (
			failed  = `level=WARN msg="keycloak: key set cannot be fetched" keys_held=true error=away`
			tooOld  = `level=ERROR msg="keycloak: keys are too old to be trusted, requests are answered with 503" error=away`
			again   = `level=INFO msg="keycloak: key set fetched again"`
			rotated = `level=INFO msg="keycloak: keys rotated" keys=`
			skipped = `level=WARN msg="keycloak: keys skipped" reasons=`
		)

		refresh(nil)
		x.check(t, "first fetch", []string{"fresh 1"})
		refresh(nil)
		x.check(t, "the same keys", nil)
		i.set(a, b)
		refresh(nil)
		x.check(t, "one more key", []string{"rotated 2"}, rotated+"2")
		i.set(b, a)
		refresh(nil)
		x.check(t, "the same in other order", nil)
		i.set(ec("a"), b)
		refresh(nil)
		x.check(t, "another key under the same ID", []string{"rotated 2"}, rotated+"2")

		i.fail(errAway)
		refresh(errAway)
		x.check(t, "first failure", []string{"unfetched 2"}, failed)
		refresh(errAway)
		x.check(t, "second failure", nil)
		i.fail(nil)
		refresh(nil)
		x.check(t, "fetched again", []string{"fresh 2"}, again)
		refresh(nil)
		x.check(t, "and again", nil)

		i.fail(errAway)
		refresh(errAway)
		x.check(t, "failure after a success", []string{"unfetched 2"}, failed)
		time.Sleep(24 * time.Hour)
		refresh(errAway)
		x.check(t, "too old", []string{"stale 0"}, tooOld)
		for range 3 {
			refresh(errAway)
			x.check(t, "still too old", nil)
		}
		i.fail(nil)
		i.set(b)
		refresh(nil)
		x.check(t, "fetched again, rotated", []string{"rotated 1"}, again, rotated+"1")

		i.set(b, ec("c d"), `7`)
		refresh(nil)
		x.check(t, "bad keys", nil, skipped+`"\"c d\": it has no ID that a token could name; an entry is no JSON Web Key"`)
		i.set(b, `7`, `7`, ec("c d"))
		refresh(nil)
		x.check(t, "the same bad keys", nil)
		i.set(b, `7`, strings.Replace(ec("k"), `"kid":"k",`, "", 1), `{"kid":"x","d":"AAAA"}`)
		refresh(nil)
		x.check(t, "other bad keys", nil,
			skipped+`"\"\": it has no ID that a token could name; \"x\": its private part is published, so it proves nothing; an entry is no JSON Web Key"`)
	})
}

func TestFailureBeforeTheFirstFetchIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var x told
		i := &issuer{keys: []string{ec("a", `"use":"enc"`)}}
		s := newSet(t, i, x.record)
		err := read(s, "a")
		if err == nil || !strings.HasPrefix(err.Error(), "the key set has no usable key") {
			t.Errorf("Key of a set without usable keys = %v, want it to say so", err)
		}
		if got := i.fetches(); got != 1 {
			t.Errorf("%d fetches, want 1: its error is the answer", got)
		}
		x.check(t, "no usable key", []string{"unfetched 0"},
			`level=WARN msg="keycloak: key set cannot be fetched" keys_held=false error="the key set has no usable key: "`)
		i.set(ec("a"))
		time.Sleep(2 * time.Second)
		if err := read(s, "a"); err != nil {
			t.Errorf("Key = %v, want none", err)
		}
		x.check(t, "fetched", []string{"fresh 1"}, `level=INFO msg="keycloak: key set fetched again"`)
	})
}

// A failure after a recovery is the first one in a row again: it costs no wait.
func TestRecoveryForgetsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i)
		for range 2 {
			for range 4 {
				i.fail(errAway)
				if err := s.Refresh(t.Context()); !errors.Is(err, errAway) {
					t.Errorf("Refresh = %v, want %v", err, errAway)
				}
				time.Sleep(2 * time.Second)
			}
			i.fail(nil)
			if err := s.Refresh(t.Context()); err != nil {
				t.Errorf("Refresh = %v, want none", err)
			}
			time.Sleep(2 * time.Second)
			i.fail(errAway)
			_ = s.Refresh(t.Context())
			i.fail(nil)
			if err := s.Refresh(t.Context()); err != nil {
				t.Errorf("Refresh right after the first failure = %v, want none", err)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

func TestKeyIsTheOneOfThatID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a"), ec("b")}}
		s := newSet(t, i)
		key := func(kid string) *ecdsa.PublicKey {
			t.Helper()
			k, err := s.Key(t.Context(), kid, "ES256")
			if err != nil {
				t.Fatal(err)
			}
			return k.Public.(*ecdsa.PublicKey)
		}
		a, b := key("a"), key("b")
		if a.Equal(b) || !a.Equal(key("a")) {
			t.Error("the keys of two IDs are the same, or those of one are not")
		}
		i.set(ec("c"))
		if c := key("c"); c.Equal(a) || c.Equal(b) { // learned on its first use
			t.Error("the key that was learned is an old one")
		}
	})
}

// A key that says no algorithm serves for those of its kind.
func TestKeyWithoutAlgorithmFitsItsKind(t *testing.T) {
	s := newSet(t, &issuer{keys: []string{ec("ec"), rsaKey("rsa", odd(2048), "AQAB")}})
	for use, want := range map[[2]string]error{
		{"ec", "ES256"}: nil, {"rsa", "RS256"}: nil, {"ec", "RS256"}: keys.ErrWrongAlgorithm, {"rsa", "ES256"}: keys.ErrWrongAlgorithm,
		{"ec", "ES384"}: keys.ErrWrongAlgorithm, {"rsa", "PS256"}: keys.ErrWrongAlgorithm, // not in use
	} {
		if _, err := s.Key(t.Context(), use[0], use[1]); !errors.Is(err, want) {
			t.Errorf("Key(%q, %s) = %v, want %v", use[0], use[1], err, want)
		}
	}
}

func TestTrusts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := ec("a")
		i := &issuer{keys: []string{a}}
		s := newSet(t, i)
		if s.Trusts(0, time.Now()) {
			t.Error("a set that has fetched nothing trusts a generation")
		}
		generation := func() uint64 {
			k, err := s.Key(t.Context(), "a", "ES256")
			if err != nil {
				t.Fatal(err)
			}
			return k.Generation
		}
		refresh := func() {
			time.Sleep(time.Second)
			if err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		first := generation()
		refresh()
		if !s.Trusts(first, time.Now()) || generation() != first {
			t.Error("the same keys, fetched again, are not trusted")
		}
		old := []uint64{first}
		for range 3 {
			i.set(a, ec("b"))
			refresh()
			now := generation()
			for _, g := range old {
				if s.Trusts(g, time.Now()) {
					t.Errorf("generation %d is trusted after a rotation to %d", g, now)
				}
			}
			if !s.Trusts(now, time.Now()) {
				t.Errorf("generation %d is not trusted though it is current", now)
			}
			old = append(old, now)
		}
	})
}

func TestTrustEndsWithoutContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i)
		begin := time.Now()
		k, err := s.Key(t.Context(), "a", "ES256")
		if err != nil {
			t.Fatal(err)
		}
		i.fail(errAway)
		for _, tt := range []struct {
			after time.Duration
			want  bool
		}{{0, true}, {10 * time.Minute, true}, {24*time.Hour - 1, true}, {24 * time.Hour, false}, {25 * time.Hour, false}} {
			if got := s.Trusts(k.Generation, begin.Add(tt.after)); got != tt.want {
				t.Errorf("trusted %v after the fetch: %t, want %t", tt.after, got, tt.want)
			}
		}
	})
}

// refreshers are the ways to have keys fetched again that have reached their TTL, without waiting for it.
var refreshers = map[string]func(*keys.Set){
	"Key":      func(s *keys.Set) { _ = read(s, "a") },
	"Trusts":   func(s *keys.Set) { s.Trusts(0, time.Now()) },
	"Prefetch": (*keys.Set).Prefetch,
}

func TestRefreshInTheBackground(t *testing.T) {
	for name, look := range refreshers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{keys: []string{ec("a")}, delay: time.Second}
				s := newSet(t, i)
				begin := time.Now()
				if err := read(s, "a"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Until(begin.Add(10*time.Minute - 1)))
				look(s)
				synctest.Wait()
				if got := i.fetches(); got != 1 {
					t.Errorf("%d fetches just before the TTL, want 1", got)
				}
				time.Sleep(time.Nanosecond)
				now := time.Now()
				for range 3 {
					look(s)
				}
				if !time.Now().Equal(now) {
					t.Errorf("a refresh in the background was waited for, %v", time.Since(now))
				}
				synctest.Wait()
				if got := i.fetches(); got != 2 {
					t.Errorf("%d fetches at the TTL, want 2", got)
				}
				time.Sleep(2 * time.Second)
				look(s)
				synctest.Wait()
				if got := i.fetches(); got != 2 {
					t.Errorf("%d fetches after the TTL, want 2", got)
				}
			})
		})
	}
}

// What fails in the background is tried again after a second, and twice as long each time, up to a minute; a quarter
// more or less, so that a fleet spreads out.
func TestBackgroundWaits(t *testing.T) {
	for name, look := range refreshers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{keys: []string{ec("a")}}
				s := newSet(t, i)
				if err := read(s, "a"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				i.fail(errAway)
				const poll = 500 * time.Millisecond
				for end := time.Now().Add(2 * time.Hour); time.Now().Before(end); time.Sleep(poll) {
					look(s)
				}
				synctest.Wait()
				checkWaits(t, i.starts[1:], time.Second, time.Minute, poll)
			})
		})
	}
}

// For requests that need keys, waits are shorter, and the first failure costs none.
func TestForegroundWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{err: errAway}
		s := newSet(t, i)
		const poll = 5 * time.Millisecond
		for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(poll) {
			if err := read(s, "a"); !errors.Is(err, errAway) {
				t.Fatalf("Key while the issuer is away = %v, want %v", err, errAway)
			}
		}
		if first := i.starts[1].Sub(i.starts[0]); first != poll {
			t.Errorf("the first failure cost a wait of %v, want none but for the poll's %v", first, poll)
		}
		checkWaits(t, i.starts[1:], 100*time.Millisecond, time.Second, poll)
	})
}

// checkWaits expects the fetches least apart, then twice as long each time and at the most most, a quarter more or less.
func checkWaits(t *testing.T, starts []time.Time, least, most, poll time.Duration) {
	t.Helper()
	if len(starts) < 100 {
		t.Fatalf("%d fetches, want at least 100", len(starts))
	}
	want := least
	shortest, longest := time.Duration(1<<62), time.Duration(0)
	for n := 1; n < len(starts); n++ {
		wait := starts[n].Sub(starts[n-1])
		if wait < want*3/4 || wait > want*5/4+poll {
			t.Errorf("wait %d was %v, want %v give or take a quarter", n, wait, want)
		}
		if want == most {
			shortest, longest = min(shortest, wait), max(longest, wait)
		}
		want = min(2*want, most)
	}
	if shortest > most*85/100 || longest < most*115/100 {
		t.Errorf("waits of %v were from %v to %v, want them spread out", most, shortest, longest)
	}
}

func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a"), ec("b"), ec("c", `"use":"enc"`)}}
		s := newSet(t, i)
		check := func(when string, keys int, at time.Time) {
			t.Helper()
			if n, fetched := s.Snapshot(); n != keys || !fetched.Equal(at) {
				t.Errorf("%s: Snapshot = %d, %v, want %d, %v", when, n, fetched, keys, at)
			}
		}
		check("nothing fetched", 0, time.Time{})
		begin := time.Now()
		if err := read(s, "a"); err != nil {
			t.Fatal(err)
		}
		check("fetched", 2, begin)
		i.fail(errAway)
		time.Sleep(24*time.Hour - 1)
		check("old", 2, begin)
		time.Sleep(time.Nanosecond)
		check("too old", 0, begin)
		if got := i.fetches(); got != 1 {
			t.Errorf("%d fetches, want 1: Snapshot causes none", got)
		}
	})
}

func TestPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}, delay: time.Second}
		s := newSet(t, i)
		begin := time.Now()
		s.Prefetch()
		s.Prefetch()
		if took := time.Since(begin); took > 0 {
			t.Errorf("Prefetch waited %v, want no wait", took)
		}
		time.Sleep(2 * time.Second)
		if n, _ := s.Snapshot(); n != 1 || i.fetches() != 1 {
			t.Errorf("after Prefetch: %d keys by %d fetches, want 1 by 1", n, i.fetches())
		}
		s.Prefetch()
		synctest.Wait()
		if got := i.fetches(); got != 1 {
			t.Errorf("%d fetches, want 1: the keys are fresh", got)
		}
	})
}

// Prefetch goes by the waits of requests that need keys: it must not hammer a dead issuer either.
func TestPrefetchOfADeadIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{err: errAway}
		s := newSet(t, i)
		const poll = 5 * time.Millisecond
		for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(poll) {
			s.Prefetch()
		}
		synctest.Wait()
		checkWaits(t, i.starts[1:], 100*time.Millisecond, time.Second, poll)
	})
}

func TestLookUpsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []bool
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i, func(c *keys.Config) {
			c.Looked = func(_ context.Context, held bool) { got = append(got, held) }
		})
		_ = read(s, "a")
		_ = read(s, "a")
		_ = read(s, "unknown")
		i.fail(errAway)
		time.Sleep(24 * time.Hour)
		_ = read(s, "a")
		if want := []bool{false, true, false, false}; !slices.Equal(got, want) {
			t.Errorf("look-ups, cold, warm, unknown, too old, told %t, want %t", got, want)
		}
	})
}

// Who asks while a fetch is under way joins it; if it has the key, that is all.
func TestKeyThatAFetchUnderWayBrings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("old")}}
		s := newSet(t, i)
		if err := read(s, "old"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		i.mu.Lock()
		i.delay = 4 * time.Second
		i.keys = []string{ec("old"), ec("new")}
		i.mu.Unlock()
		go func() { _ = s.Refresh(context.Background()) }()
		time.Sleep(time.Second)
		begin := time.Now()
		if err := read(s, "new"); err != nil || time.Since(begin) != 3*time.Second || i.fetches() != 2 {
			t.Errorf("Key = %v after %v and %d fetches, want none after 3 s and 2", err, time.Since(begin), i.fetches())
		}
	})
}

// Who asks while a fetch is under way that was answered before the rotation waits for the next one.
func TestKeyThatAFetchUnderWayDoesNotBring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("old")}}
		s := newSet(t, i)
		if err := read(s, "old"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		i.mu.Lock()
		i.delay = 4 * time.Second
		i.mu.Unlock()
		go func() { _ = s.Refresh(context.Background()) }()
		time.Sleep(time.Second)
		i.set(ec("old"), ec("new"))
		if err := read(s, "new"); err != nil || i.fetches() != 3 {
			t.Errorf("Key = %v after %d fetches, want none after 3", err, i.fetches())
		}
	})
}

// A fetch that ended between a caller's look and its wait serves the caller.
func TestFetchThatEndedMeanwhileServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		var s *keys.Set
		first := true
		s = newSet(t, i, func(c *keys.Config) {
			c.Looked = func(context.Context, bool) {
				if first {
					first = false
					_ = read(s, "a")
				}
			}
		})
		if err := read(s, "a"); err != nil || i.fetches() != 1 {
			t.Errorf("Key = %v after %d fetches, want none after 1", err, i.fetches())
		}
	})
}

// A refresh that another one has made needless fetches nothing.
func TestRefreshThatHappenedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		var s *keys.Set
		hook := func() {}
		s = newSet(t, i, func(c *keys.Config) { c.Looked = func(context.Context, bool) { hook() } })
		if err := read(s, "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		hook = func() {
			if err := s.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
		}
		if err := read(s, "a"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := i.fetches(); got != 2 {
			t.Errorf("%d fetches, want 2: the keys were fetched while the look-up paused", got)
		}
	})
}

// Who joins a fetch that fails gets its error, and causes no other.
func TestFailureIsSharedByAll(t *testing.T) {
	for name, begin := range map[string]func(*keys.Set){
		"Key":      func(s *keys.Set) { go func() { _ = read(s, "a") }() },
		"Prefetch": (*keys.Set).Prefetch,
	} {
		for _, held := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", keys held: ", held), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					i := &issuer{keys: []string{ec("a")}}
					s := newSet(t, i)
					before := 0
					if held {
						if err := read(s, "a"); err != nil {
							t.Fatal(err)
						}
						before = 1
						time.Sleep(10 * time.Minute)
					}
					i.mu.Lock()
					i.err, i.delay = errAway, 2*time.Second
					i.mu.Unlock()
					begin(s)
					time.Sleep(time.Second)
					now := time.Now()
					if err := read(s, "unknown"); !errors.Is(err, errAway) || time.Since(now) != time.Second {
						t.Errorf("Key = %v after %v, want %v after 1 s", err, time.Since(now), errAway)
					}
					if got := i.fetches() - before; got != 1 {
						t.Errorf("%d fetches, want 1", got)
					}
				})
			})
		}
	}
}

// That a key cannot be looked for says nothing of the key.
func TestUnknownKeyWhileTheIssuerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i)
		if err := read(s, "a"); err != nil {
			t.Fatal(err)
		}
		i.fail(errAway)
		if err := read(s, "new"); !errors.Is(err, errAway) || errors.Is(err, keys.ErrUnknownKey) {
			t.Errorf("Key of an unknown ID while the issuer is away = %v, want %v", err, errAway)
		}
	})
}

// A clock that is set back neither stops the fetches nor lets them follow faster.
func TestClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset atomic.Int64
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i, func(c *keys.Config) {
			c.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		})
		if err := read(s, "a"); err != nil {
			t.Fatal(err)
		}
		offset.Store(-int64(time.Hour))
		begin := time.Now()
		if err := s.Refresh(t.Context()); err != nil || time.Since(begin) != time.Second {
			t.Errorf("Refresh = %v after %v, want none after 1 s", err, time.Since(begin))
		}
	})
}

func TestNextFetchIsASecondAfterTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i)
		for range 3 {
			if err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for n := 1; n < len(i.starts); n++ {
			if gap := i.starts[n].Sub(i.starts[n-1]); gap != time.Second {
				t.Errorf("fetch %d began %v after the one before, want 1 s", n, gap)
			}
		}
	})
}

func TestPanicWhileFetching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		panics := true
		s := newSet(t, i, func(c *keys.Config) {
			c.Fetch = func(ctx context.Context) ([]jsontext.Value, error) {
				if panics {
					panic("transport")
				}
				return i.fetch(ctx)
			}
		})
		if err := read(s, "a"); err == nil || !strings.Contains(err.Error(), "panic") {
			t.Errorf("Key while the transport panics = %v, want an error that says so", err)
		}
		panics = false
		if err := read(s, "a"); err != nil {
			t.Errorf("Key after that = %v, want none", err)
		}
	})
}

func TestCloseWaitsForTheFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		s := newSet(t, new(issuer), func(c *keys.Config) {
			c.Fetch = func(context.Context) ([]jsontext.Value, error) {
				time.Sleep(time.Second) // a transport of the user that does not look at its context
				ended = true
				return nil, errAway
			}
		})
		go func() { _ = read(s, "a") }()
		synctest.Wait()
		s.Close()
		if !ended {
			t.Error("Close returned before the fetch that was under way")
		}
	})
}

func TestNothingIsFetchedAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i)
		if err := read(s, "a"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { // waits for its turn
			if err := s.Refresh(context.Background()); !errors.Is(err, keys.ErrClosed) {
				t.Errorf("Refresh during Close = %v, want ErrClosed", err)
			}
		})
		synctest.Wait()
		s.Close()
		wg.Wait()
		if err := s.Refresh(t.Context()); !errors.Is(err, keys.ErrClosed) {
			t.Errorf("Refresh after Close = %v, want ErrClosed", err)
		}
		if err := read(s, "unknown"); !errors.Is(err, keys.ErrClosed) {
			t.Errorf("Key after Close = %v, want ErrClosed", err)
		}
		time.Sleep(time.Hour)
		s.Prefetch()
		s.Trusts(0, time.Now())
		synctest.Wait()
		if got := i.fetches(); got != 1 {
			t.Errorf("%d fetches, want the 1 from before Close", got)
		}
	})
}
