package ginkeycloak_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// cached reports whether a token was recognised, by what the trace says of its request.
func cached(t *testing.T, a *api, r *recorder, token string) bool {
	t.Helper()
	r.take()
	a.get(t, "/me", token)
	return strings.Contains(r.take(), "cached true")
}

func TestVerifiedTokensAreRecognised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := tracedAPI(t, ginkeycloak.WithLeeway(0))
		token := a.keycloak.Token(keycloaktest.ForUser("alice"), keycloaktest.ExpiresIn(time.Hour))
		if cached(t, a, r, token) || !cached(t, a, r, token) {
			t.Error("a token is recognised the first time, or not the second")
		}
		first, _ := a.kc.Authenticate(t.Context(), token)
		second, err := a.kc.Authenticate(t.Context(), token)
		if err != nil || first != second || second.Username != "alice" {
			t.Errorf("Authenticate twice = %v, %v, %v, want the same user", first, second, err)
		}
		if cached(t, a, r, token[:len(token)-2]+"AA") {
			t.Error("a token with another end was recognised")
		}
		time.Sleep(10*time.Minute + time.Second)
		if cached(t, a, r, token) || !cached(t, a, r, token) {
			t.Error("a token is recognised after the TTL, or not after it was verified again")
		}
	})
}

// What made a token good is checked again each time it is recognised.
func TestRecognisedTokensDie(t *testing.T) {
	tests := map[string]struct {
		opts   []ginkeycloak.Option
		happen func(t *testing.T, a *api, token string)
		want   string
	}{
		"when it expires": {nil, func(*testing.T, *api, string) { time.Sleep(5*time.Minute + 31*time.Second) }, kindTok},
		"when its key is removed": {nil, func(t *testing.T, a *api, token string) {
			a.keycloak.RotateKeys()
			a.keycloak.RemoveOldKeys()
			if err := a.kc.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, kindTok},
		"when its key is removed, and only it itself comes by": {[]ginkeycloak.Option{ginkeycloak.WithKeyCache(time.Minute)}, func(t *testing.T, a *api, token string) {
			a.keycloak.RotateKeys()
			a.keycloak.RemoveOldKeys()
			time.Sleep(time.Minute)
			a.get(t, "/me", token) // finds the keys old and has them fetched
			synctest.Wait()
		}, kindTok},
		"when Keycloak has been away for too long": {[]ginkeycloak.Option{ginkeycloak.WithKeyCache(time.Minute), ginkeycloak.WithMaxStale(2 * time.Minute)},
			func(_ *testing.T, a *api, _ string) {
				a.keycloak.Stop()
				time.Sleep(2 * time.Minute)
			}, kindDown},
		"when the plugin is closed": {nil, func(_ *testing.T, a *api, _ string) { _ = a.kc.Close() }, kindDown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := inMemory(t, tt.opts...)
				token := a.keycloak.Token()
				for range 2 {
					checkKind(t, "before", a.get(t, "/me", token), kindOK)
				}
				tt.happen(t, a, token)
				checkKind(t, "after", a.get(t, "/me", token), tt.want)
			})
		})
	}
}

// The dead are not only not recognised, they are dropped when others come.
func TestDeadTokensAreDropped(t *testing.T) {
	tests := map[string]func(*testing.T, *api){
		"expired": func(*testing.T, *api) { time.Sleep(6 * time.Minute) },
		"verified with keys of before": func(t *testing.T, a *api) {
			a.keycloak.RotateKeys()
			if err := a.kc.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // the tokens last for five
		},
	}
	for name, die := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := inMemory(t)
				many := func() {
					for i := range 10 {
						checkKind(t, "a good token", a.get(t, "/me", a.keycloak.Token(keycloaktest.Subject(strconv.Itoa(i)))), kindOK)
					}
				}
				many()
				die(t, a)
				if got := a.kc.Stats().VerifiedTokens; got != 10 {
					t.Fatalf("%d tokens are remembered, want 10", got)
				}
				many()
				if got := a.kc.Stats().VerifiedTokens; got != 10 {
					t.Errorf("%d tokens are remembered after ten died and ten others came, want 10", got)
				}
			})
		})
	}
}

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, r := tracedAPI(t)
		token := a.keycloak.Token()
		a.get(t, "/me", token)
		a.kc.Forget(token)
		if cached(t, a, r, token) {
			t.Error("a forgotten token was recognised")
		}
	})
}

// Nothing gets in that was not verified, nothing large, and never too much.
func TestTokenCacheIsBounded(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"))
	es256 := ginkeycloak.WithAlgorithms("ES256")
	a := newAPIFor(t, srv, es256)
	for i := range 20 {
		token := srv.Token(keycloaktest.Subject(strconv.Itoa(i)))
		a.get(t, "/me", token[:len(token)-4]+"AAAA")
		a.get(t, "/me", srv.Token(keycloaktest.ExpiresIn(-time.Hour)))
		a.get(t, "/me", srv.Token(keycloaktest.Audience("other")))
	}
	a.get(t, "/me", srv.Token(keycloaktest.Claim("pad", strings.Repeat("a", 8<<10))))
	if got := a.kc.Stats().VerifiedTokens; got != 0 {
		t.Errorf("%d tokens are remembered that are bad or too long, want none", got)
	}

	few := newAPIFor(t, srv, es256, ginkeycloak.WithTokenCache(50, time.Minute))
	for i := range 500 {
		checkKind(t, "a good token", few.get(t, "/me", srv.Token(keycloaktest.Subject(strconv.Itoa(i)))), kindOK)
	}
	if got := few.kc.Stats().VerifiedTokens; got > 50 || got == 0 {
		t.Errorf("%d tokens are remembered, want at most 50", got)
	}
	off := newAPIFor(t, srv, es256, ginkeycloak.WithTokenCache(0, 0))
	checkKind(t, "cache off", off.get(t, "/me", srv.Token()), kindOK)
	if got := off.kc.Stats().VerifiedTokens; got != 0 {
		t.Errorf("%d tokens are remembered with the cache off", got)
	}
}
