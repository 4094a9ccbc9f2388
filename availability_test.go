package ginkeycloak_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// inMemory returns an API and its Keycloak without any socket, for the clock of a synctest bubble.
func inMemory(t *testing.T, opts ...ginkeycloak.Option) *api {
	t.Helper()
	srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithAlgorithm("ES256"))
	client := &http.Client{Transport: srv.Transport()}
	return newAPIWith(t, srv, append([]ginkeycloak.Option{ginkeycloak.WithAlgorithms("ES256"), ginkeycloak.WithHTTPClient(client)}, opts...)...)
}

// Whatever Keycloak answers wrong, a cold API says 503 until it is mended, and a warm one does not notice.
func TestKeycloakFaults(t *testing.T) {
	t.Parallel()
	const html = "<html><body>502 Bad Gateway</body></html>"
	faults := []struct {
		name  string
		fault func(*testing.T) keycloaktest.Fault
	}{
		{"status 500", always(keycloaktest.Status(500))},
		{"status 503", always(keycloaktest.Status(503))},
		{"status 404", always(keycloaktest.Status(404))},
		{"status 429", always(keycloaktest.Status(429))},
		{"status 204", always(keycloaktest.Status(204))},
		{"HTML", always(keycloaktest.Answer(200, "text/html", html))},
		{"empty body", always(keycloaktest.Answer(200, "application/json", ""))},
		{"{}", always(keycloaktest.Answer(200, "application/json", "{}"))},
		{"null", always(keycloaktest.Answer(200, "application/json", "null"))},
		{"[]", always(keycloaktest.Answer(200, "application/json", "[]"))},
		{"an error with status 200", always(keycloaktest.Answer(200, "application/json", `{"error":"oops"}`))},
		{"no keys", always(keycloaktest.Answer(200, "application/json", `{"keys":[],"issuer":"x"}`))},
		{"keys null", always(keycloaktest.Answer(200, "application/json", `{"keys":null,"issuer":null}`))},
		{"connection closed", always(keycloaktest.Hangup())},
		{"body cut off", always(keycloaktest.Truncated())},
		{"64 MiB", always(keycloaktest.Huge(64 << 20))},
		{"gzip bomb of 64 MiB", always(keycloaktest.GzipBomb(64 << 20))},
		{"redirect to another host", redirectElsewhere},
		{"redirect in a circle", always(keycloaktest.RedirectTo(""))},
		{"no answer", always(keycloaktest.Hang())},
		{"half an answer and then silence", always(keycloaktest.Stalled())},
	}
	for _, endpoint := range []keycloaktest.Endpoint{keycloaktest.Discovery, keycloaktest.KeySet} {
		for _, tt := range faults {
			t.Run(fmt.Sprintf("%v/%s", endpoint, tt.name), func(t *testing.T) {
				t.Parallel()
				srv := keycloaktest.New(t)
				impatient := ginkeycloak.WithTimeouts(3*time.Second, 3*time.Second)
				warm := newAPIFor(t, srv, impatient, ginkeycloak.WithKeyCache(time.Second))
				cold := newAPIFor(t, srv, impatient)
				token := srv.Token()
				checkKind(t, "before the fault", warm.get(t, "/me", token), kindOK)

				srv.Fail(endpoint, tt.fault(t))
				checkKind(t, "cold", cold.get(t, "/me", token), kindDown)
				if err := warm.kc.Connect(t.Context()); endpoint == keycloaktest.KeySet && err == nil {
					t.Error("Connect in spite of the fault = no error, want one")
				}
				checkKind(t, "warm", warm.get(t, "/me", token), kindOK)

				srv.Heal()
				checkKind(t, "mended", cold.get(t, "/me", token), kindOK)
			})
		}
	}
}

func always(f keycloaktest.Fault) func(*testing.T) keycloaktest.Fault {
	return func(*testing.T) keycloaktest.Fault { return f }
}

// redirectElsewhere sends us to another Keycloak, whose keys would be believed if we went there.
func redirectElsewhere(t *testing.T) keycloaktest.Fault {
	t.Helper()
	other := newServer(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect to another host was followed") })
	return keycloaktest.RedirectTo(other + "/keys")
}

// A redirect within the same host is harmless, and some proxies make them.
func TestRedirectWithinTheHostIsFollowed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	certs := a.keycloak.Issuer() + "/protocol/openid-connect/certs"
	a.keycloak.Fail(keycloaktest.KeySet, keycloaktest.Times(1, keycloaktest.RedirectTo(certs)))
	checkKind(t, "redirected once", a.get(t, "/me", a.keycloak.Token()), kindOK)
}

// A discovery document decides where keys come from, so it is held to the configuration.
func TestDiscoveryDocumentIsJudged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(map[string]any)
		says string
	}{
		{"another issuer", func(d map[string]any) { d["issuer"] = "https://evil.example/realms/demo" }, `its issuer is "https://evil.example/realms/demo", expected`},
		{"issuer with a trailing slash", func(d map[string]any) { d["issuer"] = fmt.Sprint(d["issuer"], "/") }, "its issuer is"},
		{"no issuer", func(d map[string]any) { delete(d, "issuer") }, "its issuer is"},
		{"issuer of another type", func(d map[string]any) { d["issuer"] = []string{"x"} }, "not the JSON it should be"},
		{"keys at another host", func(d map[string]any) { d["jwks_uri"] = "http://evil.example/keys" }, "evil.example is not the realm's own host"},
		{"keys by another scheme", func(d map[string]any) { d["jwks_uri"] = "ftp://127.0.0.1/keys" }, "not the realm's own host"},
		{"keys in a file", func(d map[string]any) { d["jwks_uri"] = "file:///etc/passwd" }, "not the realm's own host"},
		{"keys behind credentials", func(d map[string]any) { d["jwks_uri"] = "http://user:pass@127.0.0.1/keys" }, "not a usable address"},
		{"keys at no address", func(d map[string]any) { d["jwks_uri"] = "::" }, "not a usable address"},
		{"no keys", func(d map[string]any) { delete(d, "jwks_uri") }, "jwks_uri: it is not there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.keycloak.Fail(keycloaktest.Discovery, keycloaktest.Edited(tt.edit))
			checkKind(t, tt.name, a.get(t, "/me", a.keycloak.Token()), kindDown)
			if err := a.kc.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Connect = %v, want an error with %q", err, tt.says)
			}
			if got := a.keycloak.Calls(keycloaktest.KeySet); got != 0 {
				t.Errorf("%d key fetches after a bad discovery document, want 0", got)
			}
		})
	}
}

// A token's issuer is looked up, never asked.
func TestTokenDoesNotChooseTheIssuer(t *testing.T) {
	t.Parallel()
	var visits atomic.Int64
	trap := newServer(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	a := newAPI(t)
	for _, iss := range []string{trap, trap + "/realms/demo", a.keycloak.URL() + "/realms/other", "file:///etc/passwd", "http://169.254.169.254/"} {
		checkToken(t, a, iss, a.keycloak.Token(keycloaktest.Issuer(iss)), ginkeycloak.CodeInvalidClaims)
	}
	if got := visits.Load(); got != 0 {
		t.Errorf("%d requests to an issuer that a token named, want 0", got)
	}
}

// Only a token that could be good if it were signed may cause a fetch.
func TestHopelessTokensFetchNothing(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, option := range map[string]keycloaktest.TokenOption{
		"too long":        keycloaktest.Claim("pad", strings.Repeat("a", 20_000)),
		"HMAC":            keycloaktest.HMAC("HS256", []byte("x")),
		"other algorithm": keycloaktest.Algorithm("PS512"),
		"other type":      keycloaktest.Type("ID"),
		"other header":    keycloaktest.Header("typ", "logout+jwt"),
		"other issuer":    keycloaktest.Issuer("https://evil.example"),
		"other audience":  keycloaktest.Audience("billing"),
		"expired":         keycloaktest.ExpiresIn(-time.Hour),
		"not yet valid":   keycloaktest.NotBeforeIn(time.Hour),
	} {
		checkKind(t, name, a.get(t, "/me", a.keycloak.Token(option)), kindTok)
	}
	if got := a.keycloak.Calls(keycloaktest.All); got != 0 {
		t.Errorf("hopeless tokens caused %d calls, want 0", got)
	}
}

func TestKeycloakDownAtStart(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	srv.Stop()
	a := newAPIFor(t, srv, ginkeycloak.WithPublicRoutes("GET /public"))
	a.GET("/public", a.me)
	token := srv.Token()
	checkKind(t, "public", a.get(t, "/public", ""), kindOK)
	for range 3 {
		checkKind(t, "protected", a.get(t, "/me", token), kindDown)
	}
	checkKind(t, "no token", a.get(t, "/me", ""), kindNone)
	if log := a.log.String(); strings.Count(log, "key set cannot be fetched") != 1 {
		t.Errorf("log = %s, want one line on the trouble", log)
	}

	srv.Restart()
	deadline := time.Now().Add(30 * time.Second)
	for a.get(t, "/me", token).status != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("the API did not recover")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if log := a.log.String(); strings.Count(log, "key set fetched again") != 1 {
		t.Errorf("log = %s, want one line on the recovery", log)
	}
}

func TestColdStartUnderLoad(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.keycloak.Fail(keycloaktest.KeySet, keycloaktest.Slow(200*time.Millisecond))
	token := a.keycloak.Token()
	var refused atomic.Int64
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if _, err := a.kc.Authenticate(t.Context(), token); err != nil {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if got := refused.Load(); got != 0 {
		t.Errorf("%d of 1000 requests were refused, want 0", got)
	}
	if d, k := a.keycloak.Calls(keycloaktest.Discovery), a.keycloak.Calls(keycloaktest.KeySet); d != 1 || k != 1 {
		t.Errorf("%d discoveries and %d key fetches, want 1 and 1", d, k)
	}
}

func TestKeycloakDownWhenWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t)
		fresh := func() string { return a.keycloak.Token() }
		checkKind(t, "warm", a.get(t, "/me", fresh()), kindOK)
		a.keycloak.Stop()
		for range 23 {
			time.Sleep(time.Hour)
			checkKind(t, "Keycloak away for hours", a.get(t, "/me", fresh()), kindOK)
		}
		time.Sleep(time.Hour + time.Minute)
		checkKind(t, "Keycloak away for more than 24 h", a.get(t, "/me", fresh()), kindDown)
		a.keycloak.Restart()
		time.Sleep(2 * time.Second)
		checkKind(t, "Keycloak back", a.get(t, "/me", fresh()), kindOK)
		if log := a.log.String(); strings.Count(log, "cannot be fetched") != 1 || strings.Count(log, "fetched again") != 1 {
			t.Errorf("log = %s, want one line when it began and one when it ended", log)
		}
	})
}

// Unknown keys while Keycloak is away are nobody's fault but Keycloak's: a token of a key made since may be good.
func TestUnknownKeyWhileKeycloakIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t)
		checkKind(t, "warm", a.get(t, "/me", a.keycloak.Token()), kindOK)
		a.keycloak.RotateKeys()
		rotated := a.keycloak.Token()
		a.keycloak.Stop()
		time.Sleep(5 * time.Second)
		checkKind(t, "a new key, Keycloak away", a.get(t, "/me", rotated), kindDown)
		a.keycloak.Restart()
		time.Sleep(2 * time.Second)
		checkKind(t, "Keycloak back", a.get(t, "/me", rotated), kindOK)
	})
}

func TestUnknownKeyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t)
		checkKind(t, "warm", a.get(t, "/me", a.keycloak.Token()), kindOK)
		a.keycloak.ResetCalls()
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for n := range 20 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					_, err := a.kc.Authenticate(ctx, a.keycloak.Token(keycloaktest.KeyID(fmt.Sprintf("bogus-%d-%d", n, i))))
					if err == nil {
						t.Error("a token of a made-up key was let in")
					}
				}
			})
		}
		time.Sleep(10 * time.Second)
		if got := a.keycloak.Calls(keycloaktest.KeySet); got > 11 {
			t.Errorf("a flood of 10 s caused %d key fetches, want at most 11", got)
		}
		checkKind(t, "valid traffic during the flood", a.get(t, "/me", a.keycloak.Token()), kindOK)
		a.keycloak.RotateKeys()
		begin := time.Now()
		checkKind(t, "a new key during the flood", a.get(t, "/me", a.keycloak.Token()), kindOK)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("a new key was picked up after %v, want within 2 s", took)
		}
		stop()
		wg.Wait()
	})
}

// Rotation, again and again, under load: nobody is refused, and each rotation costs one fetch.
func TestRotationRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t)
		a.keycloak.Fail(keycloaktest.KeySet, keycloaktest.Slow(50*time.Millisecond))
		ctx, stop := context.WithCancel(t.Context())
		var newest atomic.Value
		newest.Store(a.keycloak.Token())
		var requests, refused atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, err := a.kc.Authenticate(t.Context(), newest.Load().(string))
					requests.Add(1)
					if err != nil {
						refused.Add(1)
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		}
		const rotations = 10
		for range rotations {
			time.Sleep(1500 * time.Millisecond)
			a.keycloak.RotateKeys()
			newest.Store(a.keycloak.Token())
		}
		time.Sleep(2 * time.Second)
		stop()
		wg.Wait()
		if refused.Load() != 0 || requests.Load() < 1000 {
			t.Errorf("%d of %d requests were refused during rotations, want 0 of more than 1000", refused.Load(), requests.Load())
		}
		if got := a.keycloak.Calls(keycloaktest.KeySet); got != rotations+1 {
			t.Errorf("%d rotations caused %d key fetches, want %d", rotations, got, rotations+1)
		}
	})
}

func TestRemovedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t)
		stolen := a.keycloak.Token(keycloaktest.ExpiresIn(time.Hour))
		checkKind(t, "before", a.get(t, "/me", stolen), kindOK)
		a.keycloak.RotateKeys()
		a.keycloak.RemoveOldKeys()
		time.Sleep(10 * time.Minute)
		_ = a.get(t, "/me", stolen) // finds the keys old and has them fetched
		synctest.Wait()
		checkKind(t, "a TTL after its removal", a.get(t, "/me", stolen), kindTok)

		b := inMemory(t)
		stolen = b.keycloak.Token()
		checkKind(t, "before", b.get(t, "/me", stolen), kindOK)
		b.keycloak.RotateKeys()
		b.keycloak.RemoveOldKeys()
		if err := b.kc.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkKind(t, "after Connect", b.get(t, "/me", stolen), kindTok)
	})
}

// A client that hangs up takes nobody else with it.
func TestFirstRequesterLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t)
		a.keycloak.Fail(keycloaktest.All, keycloaktest.Slow(2*time.Second))
		token := a.keycloak.Token()
		ctx, hangUp := context.WithTimeout(t.Context(), time.Second)
		defer hangUp()
		second := make(chan error, 1)
		go func() {
			time.Sleep(500 * time.Millisecond)
			_, err := a.kc.Authenticate(context.WithoutCancel(ctx), token)
			second <- err
		}()
		begin := time.Now()
		if _, err := a.kc.Authenticate(ctx, token); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the one who left = %v, want its context's error", err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the one who left waited for %v", took)
		}
		if err := <-second; err != nil {
			t.Errorf("the one who stayed = %v, want none", err)
		}
		if d, k := a.keycloak.Calls(keycloaktest.Discovery), a.keycloak.Calls(keycloaktest.KeySet); d != 1 || k != 1 {
			t.Errorf("%d discoveries and %d key fetches, want 1 and 1", d, k)
		}
	})
}

// A Keycloak that does not answer holds a request up for the time limits and no longer.
func TestSlowKeycloak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t)
		a.keycloak.Fail(keycloaktest.KeySet, keycloaktest.Slow(30*time.Second))
		begin := time.Now()
		checkKind(t, "cold", a.get(t, "/me", a.keycloak.Token()), kindDown)
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("a request waited for %v, want at most the time limits of 5 s and 5 s", took)
		}
	})
}

// Connections that died while idle are replaced without anybody noticing.
func TestKeycloakRestarts(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for range 3 {
		if err := a.kc.Connect(t.Context()); err != nil {
			t.Fatalf("Connect after a restart = %v, want none", err)
		}
		a.keycloak.Stop()
		a.keycloak.Restart()
		time.Sleep(1100 * time.Millisecond) // the turn for the next fetch
	}
}

// Requests, rotations, refreshes and Close, all at once, for the race detector.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256"))
	a := newAPIFor(t, srv, ginkeycloak.WithAlgorithms("ES256"), ginkeycloak.WithKeyCache(time.Second))
	var newest atomic.Value
	newest.Store(srv.Token())
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 200 {
				w := httptest.NewRecorder()
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/me", http.NoBody)
				r.Header.Set("Authorization", "Bearer "+newest.Load().(string))
				a.ServeHTTP(w, r)
				if w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable {
					t.Errorf("status %d %s, want 200, or 503 after Close", w.Code, w.Body)
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			srv.RotateKeys()
			newest.Store(srv.Token())
			_ = a.kc.Connect(t.Context())
		}
		if err := a.kc.Close(); err != nil {
			t.Errorf("Close = %v, want none", err)
		}
	})
	wg.Wait()
	checkKind(t, "after Close", a.get(t, "/me", srv.Token()), kindDown)
}

// Plugins come and go without leaving anything behind; goleak in TestMain has the last word.
func TestManyPlugins(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	token := srv.Token()
	for i := range 1000 {
		kc, err := ginkeycloak.New(forServer(srv)...)
		if err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			if _, err := kc.Authenticate(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		if err := kc.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// After an outage one request tries whether an endpoint is back. Others that come meanwhile wait for it: Keycloak may
// have been back for long, if nobody asked.
func TestNobodyIsRefusedWhileABreakerTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand()))
		a.GET("/active", a.kc.RequireActive(), a.me)
		a.kc.RegisterRefreshRoute(a)
		checkKind(t, "before", a.get(t, "/active", a.keycloak.Token()), kindOK)
		a.keycloak.Fail(keycloaktest.All, keycloaktest.Status(500))
		for range 6 {
			checkKind(t, "introspection that fails", a.get(t, "/active", a.keycloak.Token()), kindDown)
			checkKind(t, "refresh that fails", a.post(t, "/auth/refresh", a.keycloak.RefreshToken()), kindDown)
		}
		a.keycloak.Heal()
		a.keycloak.Fail(keycloaktest.All, keycloaktest.Slow(500*time.Millisecond))
		time.Sleep(time.Minute)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				checkKind(t, "introspection, long after", a.get(t, "/active", a.keycloak.Token()), kindOK)
			})
			wg.Go(func() {
				checkKind(t, "refresh, long after", a.post(t, "/auth/refresh", a.keycloak.RefreshToken()), kindOK)
			})
		}
		wg.Wait()

		a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Hang())
		for range 6 {
			checkKind(t, "introspection that hangs", a.get(t, "/active", a.keycloak.Token()), kindDown)
		}
		time.Sleep(6 * time.Second)
		go a.get(t, "/active", a.keycloak.Token()) // tries
		time.Sleep(time.Millisecond)
		begin := time.Now()
		checkKind(t, "while one tries in vain", a.get(t, "/active", a.keycloak.Token()), kindDown)
		if took := time.Since(begin); took > 1100*time.Millisecond {
			t.Errorf("a request waited for %v for the one that tries, want at most a second", took)
		}
		time.Sleep(time.Minute)
	})
}
