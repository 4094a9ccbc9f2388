package keys_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"go.uber.org/goleak"

	"github.com/c0mpiler/ginkeycloak/internal/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer is the other side: a key set that rotates, fails and dawdles on demand.
type issuer struct {
	mu     sync.Mutex
	keys   []string // as JSON
	err    error
	delay  time.Duration
	starts []time.Time
}

func (i *issuer) fetch(ctx context.Context) ([]jsontext.Value, error) {
	i.mu.Lock()
	i.starts = append(i.starts, time.Now())
	err, delay := i.err, i.delay
	var set []jsontext.Value
	for _, k := range i.keys {
		set = append(set, jsontext.Value(k))
	}
	i.mu.Unlock()
	select {
	case <-time.After(delay):
		return set, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (i *issuer) set(keys ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

func (i *issuer) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

func (i *issuer) fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.starts)
}

// leastGap is the shortest time between the begins of two fetches.
func (i *issuer) leastGap() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	least := time.Duration(1<<63 - 1)
	for n := 1; n < len(i.starts); n++ {
		least = min(least, i.starts[n].Sub(i.starts[n-1]))
	}
	return least
}

// ec returns a new ES256 key of that ID as JSON, with more members if wanted.
func ec(kid string, members ...string) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	b, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	all := append([]string{fmt.Sprintf(`"kid":%q,"kty":"EC","crv":"P-256","x":%q,"y":%q`, kid, b64(b[1:33]), b64(b[33:]))}, members...)
	return "{" + strings.Join(all, ",") + "}"
}

func rsaKey(kid string, n *big.Int, e string) string {
	return fmt.Sprintf(`{"kid":%q,"kty":"RSA","use":"sig","n":%q,"e":%q}`, kid, base64.RawURLEncoding.EncodeToString(n.Bytes()), e)
}

func newSet(t *testing.T, i *issuer, change ...func(*keys.Config)) *keys.Set {
	t.Helper()
	cfg := keys.Config{
		Fetch:      i.fetch,
		Algorithms: []string{"RS256", "ES256"},
		TTL:        10 * time.Minute,
		MaxStale:   24 * time.Hour,
		Logger:     slog.New(slog.DiscardHandler),
		Changed:    func(keys.State, int) {},
		Now:        time.Now,
	}
	for _, c := range change {
		c(&cfg)
	}
	s := keys.New(cfg)
	t.Cleanup(s.Close)
	return s
}

// read looks a key up and reports the error.
func read(s *keys.Set, kid string) error {
	_, err := s.Key(context.Background(), kid, "ES256")
	return err
}

var errAway = errors.New("away")

func TestColdStartFetchesOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}, delay: 3 * time.Second}
		s := newSet(t, i)
		var failed atomic.Int64
		var wg sync.WaitGroup
		for n := range 1000 {
			wg.Go(func() {
				time.Sleep(time.Duration(n) * 10 * time.Millisecond) // some come after the fetch has ended
				if read(s, "a") != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if got := i.fetches(); got != 1 || failed.Load() != 0 {
			t.Errorf("1000 cold look-ups: %d fetches, %d failed, want 1 and 0", got, failed.Load())
		}
	})
}

func TestNewKeyIsLearnedOnFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("old")}}
		s := newSet(t, i)
		if err := read(s, "old"); err != nil {
			t.Fatal(err)
		}
		i.set(ec("new"), ec("old")) // within the second after a fetch: the look-up has to wait, not to fail
		for _, kid := range []string{"new", "old"} {
			if err := read(s, kid); err != nil {
				t.Errorf("Key(%q) after a rotation = %v, want none", kid, err)
			}
		}
		if got := i.fetches(); got != 2 {
			t.Errorf("a rotation took %d fetches, want 2 in all", got)
		}
	})
}

// A fetch that was answered before the rotation proves nothing about the key that came after.
func TestFetchBegunBeforeTheQuestionProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("old")}, delay: time.Second}
		s := newSet(t, i)
		go func() { _ = read(s, "bogus") }() // begins a fetch, answered with the old keys
		time.Sleep(500 * time.Millisecond)
		i.set(ec("old"), ec("new"))
		if err := read(s, "new"); err != nil {
			t.Errorf("Key of a key made while a fetch was under way = %v, want none", err)
		}
	})
}

func TestUnknownKeyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("good")}, delay: 20 * time.Millisecond}
		s := newSet(t, i)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() {
				for k := 0; ; k++ {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
						if err := read(s, fmt.Sprintf("bogus-%d-%d", n, k)); !errors.Is(err, keys.ErrUnknownKey) {
							t.Errorf("Key of a made-up ID = %v, want ErrUnknownKey", err)
						}
					}
				}
			})
		}
		time.Sleep(10 * time.Second)
		i.set(ec("good"), ec("rotated"))
		begin := time.Now()
		if err := read(s, "rotated"); err != nil {
			t.Errorf("Key of a new key during the flood = %v, want none", err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("a new key was picked up after %v, want within 2 s", took)
		}
		close(stop)
		wg.Wait()
		if gap := i.leastGap(); gap < time.Second {
			t.Errorf("two fetches began %v apart, want at least 1 s", gap)
		}
	})
}

func TestKeyAskedForInVainIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i)
		deadline := time.Now().Add(10 * time.Minute)
		for time.Now().Before(deadline) {
			if err := read(s, "gone"); !errors.Is(err, keys.ErrUnknownKey) {
				t.Fatalf("Key of a removed key = %v, want ErrUnknownKey", err)
			}
			time.Sleep(time.Second)
		}
		// 1, 2, 4, … 32 s apart, then every minute.
		if got := i.fetches(); got < 10 || got > 20 {
			t.Errorf("a client with an old token caused %d fetches in 10 minutes, want 10 to 20", got)
		}
	})
}

func TestFailedFetchLeavesGoodKeysAlone(t *testing.T) {
	broken := map[string]func(*issuer){
		"error":          func(i *issuer) { i.fail(errAway) },
		"no usable key":  func(i *issuer) { i.set(ec("a", `"use":"enc"`)) },
		"only bad keys":  func(i *issuer) { i.set(`{"kty":"EC"}`, `null`, `7`) },
		"private key":    func(i *issuer) { i.set(ec("a", `"d":"AA"`)) },
		"duplicate keys": func(i *issuer) { i.set(ec("a"), ec("a")) },
	}
	for name, breakIt := range broken {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := &issuer{keys: []string{ec("a")}}
				s := newSet(t, i)
				if err := read(s, "a"); err != nil {
					t.Fatal(err)
				}
				breakIt(i)
				for range 60 {
					time.Sleep(20 * time.Minute)
					if err := read(s, "a"); err != nil {
						t.Fatalf("Key of a held key while fetches fail = %v, want none", err)
					}
				}
				if got := i.fetches(); got < 10 {
					t.Errorf("%d fetches in 20 hours, want it to go on trying", got)
				}
			})
		})
	}
}

func TestKeysExpireWithoutContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}}
		s := newSet(t, i)
		if err := read(s, "a"); err != nil {
			t.Fatal(err)
		}
		i.fail(errAway)
		time.Sleep(24*time.Hour - time.Second)
		if err := read(s, "a"); err != nil {
			t.Errorf("Key 24 h without contact, less a second = %v, want none", err)
		}
		time.Sleep(2 * time.Minute)
		if err := read(s, "a"); !errors.Is(err, errAway) {
			t.Errorf("Key after more than 24 h without contact = %v, want %v", err, errAway)
		}
		i.fail(nil)
		time.Sleep(2 * time.Second)
		if err := read(s, "a"); err != nil {
			t.Errorf("Key after contact is back = %v, want none", err)
		}
	})
}

func TestRemovedKeyDiesWithinTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a"), ec("b")}}
		s := newSet(t, i)
		if err := read(s, "a"); err != nil {
			t.Fatal(err)
		}
		i.set(ec("b"))
		time.Sleep(10 * time.Minute)
		_ = read(s, "b") // finds the keys old and has them fetched
		synctest.Wait()
		if err := read(s, "a"); !errors.Is(err, keys.ErrUnknownKey) {
			t.Errorf("Key of a key removed a TTL ago = %v, want ErrUnknownKey", err)
		}
	})
}

func TestRefreshDropsARemovedKeyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a"), ec("b")}}
		s := newSet(t, i)
		if err := read(s, "a"); err != nil {
			t.Fatal(err)
		}
		i.set(ec("b"))
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := read(s, "a"); !errors.Is(err, keys.ErrUnknownKey) {
			t.Errorf("Key of a removed key after Refresh = %v, want ErrUnknownKey", err)
		}
	})
}

func TestOneFailureCostsNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}, err: errAway}
		s := newSet(t, i)
		if err := read(s, "a"); !errors.Is(err, errAway) {
			t.Fatalf("Key while the issuer is away = %v, want %v", err, errAway)
		}
		i.fail(nil)
		if err := read(s, "a"); err != nil {
			t.Errorf("Key right after one failed fetch = %v, want none", err)
		}
	})
}

func TestDeadIssuerIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{err: errAway}
		s := newSet(t, i)
		for range 60_000 {
			if err := read(s, "a"); !errors.Is(err, errAway) {
				t.Fatalf("Key while the issuer is away = %v, want %v", err, errAway)
			}
			time.Sleep(time.Millisecond)
		}
		if got := i.fetches(); got > 120 {
			t.Errorf("60 000 look-ups in a minute caused %d fetches, want at most 120", got)
		}
	})
}

func TestFirstCallerMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: []string{ec("a")}, delay: time.Second}
		s := newSet(t, i)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		go func() {
			time.Sleep(50 * time.Millisecond)
			if err := read(s, "a"); err != nil {
				t.Errorf("Key for the second caller = %v, want none", err)
			}
		}()
		if _, err := s.Key(ctx, "a", "ES256"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Key for a caller who left = %v, want its context's error", err)
		}
		time.Sleep(2 * time.Second)
		if got := i.fetches(); got != 1 {
			t.Errorf("%d fetches, want 1: the first caller's leaving must not end it", got)
		}
	})
}

func TestCloseEndsAFetchUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{delay: time.Hour}
		s := newSet(t, i)
		got := make(chan error)
		go func() { got <- read(s, "a") }()
		synctest.Wait()
		begin := time.Now()
		s.Close()
		if err := <-got; !errors.Is(err, keys.ErrClosed) {
			t.Errorf("Key during Close = %v, want ErrClosed", err)
		}
		if err := read(s, "a"); !errors.Is(err, keys.ErrClosed) {
			t.Errorf("Key after Close = %v, want ErrClosed", err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("Close took %v, want at most 1 s", took)
		}
	})
}

func TestKeyIsBoundToItsAlgorithm(t *testing.T) {
	s := newSet(t, &issuer{keys: []string{ec("any"), ec("es", `"alg":"ES256"`)}})
	if _, err := s.Key(t.Context(), "es", "ES384"); !errors.Is(err, keys.ErrWrongAlgorithm) {
		t.Errorf(`Key("es", ES384) of a key for ES256 = %v, want ErrWrongAlgorithm`, err)
	}
	if _, err := s.Key(t.Context(), "es", "ES256"); err != nil {
		t.Errorf(`Key("es", ES256) = %v, want none`, err)
	}
}

// One bad key must not take the good ones with it (PyJWT CVE-2026-102274).
func TestBadKeysAreSkipped(t *testing.T) {
	modulus := odd(2048)
	tests := []struct {
		name   string
		key    string
		reason string // "" if it is not worth a word
	}{
		{"use=enc", ec("bad", `"use":"enc"`), ""},
		{"use=wrap", ec("bad", `"use":"wrap"`), "use"},
		{"key_ops without verify", ec("bad", `"key_ops":["encrypt"]`), ""},
		{"private key", ec("bad", `"d":"AAAA"`), "private"},
		{"prime factors of an RSA key", strings.Replace(rsaKey("bad", modulus, "AQAB"), `{`, `{"p":"AQ","q":"AQ",`, 1), "private"},
		{"CRT exponent of an RSA key", strings.Replace(rsaKey("bad", modulus, "AQAB"), `{`, `{"dp":"AQ",`, 1), "private"},
		{"symmetric key", `{"kid":"bad","kty":"oct","k":"c2VjcmV0"}`, "symmetric"},
		{"numeric kid", strings.Replace(ec("bad"), `"bad"`, `7`, 1), "no JSON Web Key"},
		{"no kid", strings.Replace(ec("bad"), `"kid":"bad",`, ``, 1), "no ID"},
		{"null", `null`, "no ID"},
		{"string", `"bad"`, "no JSON Web Key"},
		{"member twice", ec("bad", `"kid":"bad"`), "no JSON Web Key"},
		{"broken x5c", ec("bad", `"x5c":["AAAA"]`), "X.509"},
		{"EC key without x", `{"kid":"bad","kty":"EC","crv":"P-256","y":"AAAA"}`, "x"},
		{"EC point not on the curve", `{"kid":"bad","kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}`, "bad"},
		{"RSA without e", fmt.Sprintf(`{"kid":"bad","kty":"RSA","n":%q}`, base64.RawURLEncoding.EncodeToString(modulus.Bytes())), "e"},
		{"RSA 1024 bits", rsaKey("bad", odd(1024), "AQAB"), "1024 bits"},
		{"RSA 16384 bits", rsaKey("bad", odd(16384), "AQAB"), "16384 bits"},
		{"RSA even modulus", rsaKey("bad", new(big.Int).Add(modulus, big.NewInt(1)), "AQAB"), "even"},
		{"RSA exponent 1", rsaKey("bad", modulus, "AQ"), "out of range"},
		{"RSA even exponent", rsaKey("bad", modulus, "AQAA"), "exponent"},
		{"RSA huge exponent", rsaKey("bad", modulus, "AQAAAAAAAAAB"), "bad"},
		{"RSA with the ROCA fingerprint", rsaKey("bad", rocaModulus(), "AQAB"), "ROCA"},
		{"alg of an encryption", ec("bad", `"alg":"ECDH-ES"`), "algorithms in use"},
		{"alg that is not allowed here", ec("bad", `"alg":"ES384"`), "algorithms in use"},
		{"unknown kty", `{"kid":"bad","kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}`, ""},
		{"Ed448", `{"kid":"bad","kty":"OKP","crv":"Ed448","x":"AAAA"}`, ""},
		{"secp256k1", `{"kid":"bad","kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`, ""},
		{"X25519, not for signatures", `{"kid":"bad","kty":"OKP","crv":"X25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, "algorithms in use"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { checkSkipped(t, tt.key, tt.reason) })
		})
	}
}

func checkSkipped(t *testing.T, bad, reason string) {
	t.Helper()
	var log strings.Builder
	s := newSet(t, &issuer{keys: []string{bad, ec("good")}}, func(c *keys.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	if err := read(s, "good"); err != nil {
		t.Errorf("Key of the good key beside a bad one = %v, want none", err)
	}
	for _, alg := range []string{"ES256", "RS256"} {
		if _, err := s.Key(t.Context(), "bad", alg); err == nil {
			t.Errorf("Key of the bad key for %s = no error, want one", alg)
		}
	}
	s.Close()
	logged := log.String()
	if reason == "" && logged != "" {
		t.Errorf("logged %q, want nothing", logged)
	}
	if reason != "" && (strings.Count(logged, "\n") != 1 || !strings.Contains(logged, reason)) {
		t.Errorf("logged %q, want one line with %q", logged, reason)
	}
}

// rocaModulus is a number of 2049 bits that is a power of 65537 modulo every prime, as the flawed generator's are.
func rocaModulus() *big.Int { return new(big.Int).Exp(big.NewInt(65537), big.NewInt(128), nil) }
