package ginkeycloak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// Answers of the introspection endpoint, and what becomes of the request (RFC 7662 §2.2).
func TestIntrospectionAnswers(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) func(*testing.T) keycloaktest.Fault {
		return always(keycloaktest.Answer(status, "application/json", body))
	}
	edited := func(edit func(map[string]any)) func(*testing.T) keycloaktest.Fault {
		return always(keycloaktest.Edited(edit))
	}
	set := func(name string, value any) func(*testing.T) keycloaktest.Fault {
		return edited(func(a map[string]any) { a[name] = value })
	}
	without := func(name string) func(*testing.T) keycloaktest.Fault {
		return edited(func(a map[string]any) { delete(a, name) })
	}
	tests := []struct {
		name  string
		fault func(*testing.T) keycloaktest.Fault // nil for a proper answer
		kind  string
		code  ginkeycloak.Code
	}{
		{"proper", nil, kindOK, ""},
		{"active false", answer(200, `{"active":false}`), kindTok, ginkeycloak.CodeTokenInactive},
		{"active false and all else", set("active", false), kindTok, ginkeycloak.CodeTokenInactive},
		{"active a string", set("active", "true"), kindDown, ginkeycloak.CodeIntrospection},
		{"active a number", set("active", 1), kindDown, ginkeycloak.CodeIntrospection},
		{"active null", set("active", nil), kindDown, ginkeycloak.CodeIntrospection},
		{"active an array", set("active", []bool{true}), kindDown, ginkeycloak.CodeIntrospection},
		{"active missing", without("active"), kindDown, ginkeycloak.CodeIntrospection},
		{"active twice", answer(200, `{"active":false,"active":true}`), kindDown, ginkeycloak.CodeIntrospection},
		{"active in other case", answer(200, `{"Active":true}`), kindDown, ginkeycloak.CodeIntrospection},
		{"null", answer(200, `null`), kindDown, ginkeycloak.CodeIntrospection},
		{"array", answer(200, `[]`), kindDown, ginkeycloak.CodeIntrospection},
		{"true", answer(200, `true`), kindDown, ginkeycloak.CodeIntrospection},
		{"empty body", answer(200, ``), kindDown, ginkeycloak.CodeIntrospection},
		{"HTML", always(keycloaktest.Answer(200, "text/html", "<html>")), kindDown, ginkeycloak.CodeIntrospection},
		{"a JWT", always(keycloaktest.Answer(200, "application/jwt", "a.b.c")), kindDown, ginkeycloak.CodeIntrospection},
		{"status 204", answer(204, ``), kindDown, ginkeycloak.CodeConfig},
		{"status 400", answer(400, `{"error":"invalid_request"}`), kindDown, ginkeycloak.CodeConfig},
		{"status 401", answer(401, `{"error":"invalid_client"}`), kindDown, ginkeycloak.CodeConfig},
		{"status 401 of Keycloak 24", answer(401, `{"error":"invalid_request","error_description":"Authentication failed."}`), kindDown, ginkeycloak.CodeConfig},
		{"status 403", answer(403, `{"error":"invalid_request"}`), kindDown, ginkeycloak.CodeConfig},
		{"status 404", answer(404, `{}`), kindDown, ginkeycloak.CodeConfig},
		{"status 429", answer(429, `{}`), kindDown, ginkeycloak.CodeIntrospection},
		{"status 500", answer(500, `{"active":true}`), kindDown, ginkeycloak.CodeIntrospection},
		{"status 503", answer(503, ``), kindDown, ginkeycloak.CodeIntrospection},
		{"connection closed", always(keycloaktest.Hangup()), kindDown, ginkeycloak.CodeIntrospection},
		{"body cut off", always(keycloaktest.Truncated()), kindDown, ginkeycloak.CodeIntrospection},
		{"64 MiB", always(keycloaktest.Huge(64 << 20)), kindDown, ginkeycloak.CodeIntrospection},
		{"no answer", always(keycloaktest.Hang()), kindDown, ginkeycloak.CodeIntrospection},
		{"redirect", redirectElsewhere, kindDown, ginkeycloak.CodeConfig},

		{"expired", set("exp", 1), kindTok, ginkeycloak.CodeTokenExpired},
		{"exp missing", without("exp"), kindTok, ginkeycloak.CodeMissingClaim},
		{"exp a string", set("exp", "1"), kindDown, ginkeycloak.CodeIntrospection},
		{"not yet valid", set("nbf", 9999999999), kindTok, ginkeycloak.CodeTokenNotYetValid},
		{"issued in the future", set("iat", 9999999999), kindTok, ginkeycloak.CodeTokenNotYetValid},
		{"another issuer", set("iss", "https://evil.example"), kindTok, ginkeycloak.CodeInvalidClaims},
		{"iss missing", without("iss"), kindTok, ginkeycloak.CodeInvalidClaims},
		{"another audience", set("aud", "account"), kindTok, ginkeycloak.CodeInvalidClaims},
		{"aud missing", without("aud"), kindTok, ginkeycloak.CodeMissingClaim},
		{"sub missing", without("sub"), kindTok, ginkeycloak.CodeMissingClaim},
		{"typ ID", edited(func(a map[string]any) { a["typ"], a["token_type"] = "ID", "ID" }), kindTok, ginkeycloak.CodeInvalidTokenType},
		{"typ ID, token_type Bearer", set("typ", "ID"), kindTok, ginkeycloak.CodeInvalidTokenType},
		{"typ missing, token_type Bearer", without("typ"), kindOK, ""},
		{"typ and token_type missing", edited(func(a map[string]any) { delete(a, "typ"); delete(a, "token_type") }), kindTok, ginkeycloak.CodeInvalidTokenType},
		{"bound to a key", set("cnf", map[string]any{"jkt": "x"}), kindTok, ginkeycloak.CodeInvalidClaims},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithIntrospection(), ginkeycloak.WithTimeouts(3*time.Second, 3*time.Second))
			token := a.keycloak.Token(keycloaktest.ForUser("alice"))
			if tt.fault != nil {
				a.keycloak.Fail(keycloaktest.Introspection, tt.fault(t))
			}
			got := a.get(t, "/me", token)
			checkKind(t, tt.name, got, tt.kind)
			if got.code != tt.code {
				t.Errorf("%s: code %q, want %q", tt.name, got.code, tt.code)
			}
			if strings.Contains(a.log.String(), "invalid_client") || strings.Contains(got.body, "Authentication failed") {
				t.Errorf("%s: Keycloak's text shows", tt.name)
			}
			a.keycloak.Heal()
			if tt.kind == kindDown {
				checkKind(t, tt.name+", mended: failures are not remembered", a.get(t, "/me", token), kindOK)
			}
		})
	}
}

// The user is the same, whoever judged the token.
func TestIntrospectionGivesTheSameUser(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	local := newAPIFor(t, srv)
	remote := newAPIFor(t, srv, ginkeycloak.WithIntrospection())
	for name, token := range map[string]string{
		"alice":           srv.Token(keycloaktest.ForUser("alice")),
		"bob":             srv.Token(keycloaktest.ForUser("bob")),
		"service account": srv.Token(keycloaktest.ForServiceAccount("orders-api")),
	} {
		want, got := local.get(t, "/me", token), remote.get(t, "/me", token)
		if got.status != 200 || got.body != want.body {
			t.Errorf("%s by introspection = %d %s, want %s", name, got.status, got.body, want.body)
		}
	}
}

// What is hopeless by its own words is refused without a call, and what is not a JWT is asked about.
func TestIntrospectionModes(t *testing.T) {
	t.Parallel()
	const opaque = "2YotnFZFEjr1zCsicMWpAA"
	tests := []struct {
		name  string
		mode  []ginkeycloak.IntrospectionOption
		token func(*keycloaktest.Server) string
		kind  string
		calls int
	}{
		{"every: a good token", nil, good, kindOK, 1},
		{"every: an opaque token", nil, fixed(opaque), kindTok, 1},
		{"every: expired", nil, tokenWith(keycloaktest.ExpiresIn(-time.Hour)), kindTok, 0},
		{"every: another issuer", nil, tokenWith(keycloaktest.Issuer("https://evil.example")), kindTok, 0},
		{"every: an ID token", nil, tokenWith(keycloaktest.Type("ID")), kindTok, 0},
		{"every: bound", nil, tokenWith(keycloaktest.Claim("cnf", map[string]any{"jkt": "x"})), kindTok, 0},
		{"every: a wrong signature", nil, func(s *keycloaktest.Server) string { return s.Token() + "AAAA" }, kindTok, 1},
		{"every: too long", nil, tokenWith(keycloaktest.Claim("pad", strings.Repeat("a", 20_000))), kindTok, 0},
		{"opaque: a good JWT", []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOpaque()}, good, kindOK, 0},
		{"opaque: an opaque token", []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOpaque()}, fixed(opaque), kindTok, 1},
		{"opaque: a lightweight token", []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOpaque()}, light, kindOK, 1},
		{"opaque: a lightweight token of a wrong signature", []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOpaque()},
			func(s *keycloaktest.Server) string { return light(s) + "AAAA" }, kindTok, 0},
		{"on demand: a good JWT", []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOnDemand()}, good, kindOK, 0},
		{"on demand: an opaque token", []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOnDemand()}, fixed(opaque), kindTok, 0},
		{"on demand: a lightweight token", []ginkeycloak.IntrospectionOption{ginkeycloak.IntrospectOnDemand()}, light, kindOK, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithIntrospection(tt.mode...))
			token := tt.token(a.keycloak)
			for range 2 {
				checkKind(t, tt.name, a.get(t, "/me", token), tt.kind)
			}
			if got := a.keycloak.Calls(keycloaktest.Introspection); got != tt.calls {
				t.Errorf("%s, twice: %d introspections, want %d", tt.name, got, tt.calls)
			}
		})
	}
}

func good(s *keycloaktest.Server) string { return s.Token(keycloaktest.ForUser("alice")) }

func light(s *keycloaktest.Server) string {
	return s.Token(keycloaktest.ForUser("alice"), keycloaktest.Lightweight())
}

func fixed(token string) func(*keycloaktest.Server) string {
	return func(*keycloaktest.Server) string { return token }
}

func tokenWith(options ...keycloaktest.TokenOption) func(*keycloaktest.Server) string {
	return func(s *keycloaktest.Server) string { return s.Token(options...) }
}

// A lightweight token gives the same user as a full one; without introspection it is refused, and says why.
func TestLightweightTokens(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	full := newAPIFor(t, srv).get(t, "/me", good(srv))
	filled := newAPIFor(t, srv, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOpaque())).get(t, "/me", light(srv))
	if filled.status != 200 || filled.body != full.body {
		t.Errorf("a lightweight token gives %d %s, want %s", filled.status, filled.body, full.body)
	}
	a := newAPIFor(t, srv)
	refused := a.get(t, "/me", light(srv))
	checkKind(t, "without introspection", refused, kindTok)
	if refused.code != ginkeycloak.CodeMissingClaim || !strings.Contains(a.log.String(), "WithIntrospection") {
		t.Errorf("without introspection: %q, log %s, want missing_claim and the way out", refused.code, a.log)
	}
}

func TestIntrospectionIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t, ginkeycloak.WithIntrospection(), ginkeycloak.WithLeeway(0))
		calls := func(want int) {
			t.Helper()
			if got := a.keycloak.Calls(keycloaktest.Introspection); got != want {
				t.Errorf("%d introspections, want %d", got, want)
			}
		}
		token := a.keycloak.Token(keycloaktest.ForUser("alice"), keycloaktest.ExpiresIn(90*time.Second))
		for range 100 {
			checkKind(t, "active", a.get(t, "/me", token), kindOK)
		}
		calls(1)
		time.Sleep(61 * time.Second)
		checkKind(t, "after the TTL", a.get(t, "/me", token), kindOK)
		calls(2)
		time.Sleep(29 * time.Second)
		checkKind(t, "after its end, still within the TTL", a.get(t, "/me", token), kindTok)
		calls(2)

		// Logged out: refused within the TTL, and remembered as inactive for 5 s.
		token = a.keycloak.Token(keycloaktest.ForUser("alice"))
		checkKind(t, "active", a.get(t, "/me", token), kindOK)
		a.keycloak.LogoutUser("alice")
		time.Sleep(time.Minute + time.Second)
		for range 10 {
			checkKind(t, "logged out", a.get(t, "/me", token), kindTok)
		}
		calls(4)
		time.Sleep(5*time.Second + time.Millisecond)
		checkKind(t, "logged out", a.get(t, "/me", token), kindTok)
		calls(5)
	})
}

func TestIntrospectionCacheCanBeOff(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(0, 0)))
	token := good(a.keycloak)
	for range 3 {
		checkKind(t, "active", a.get(t, "/me", token), kindOK)
	}
	if got := a.keycloak.Calls(keycloaktest.Introspection); got != 3 {
		t.Errorf("3 requests without a cache: %d introspections, want 3", got)
	}
}

// The cache goes by the whole token: one that differs in its last character is another.
func TestIntrospectionCacheTakesTheWholeToken(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection())
	token := good(a.keycloak)
	checkKind(t, "active", a.get(t, "/me", token), kindOK)
	last := "A"
	if strings.HasSuffix(token, "A") {
		last = "Q"
	}
	checkKind(t, "another last character", a.get(t, "/me", token[:len(token)-1]+last), kindTok)
	checkKind(t, "one character less", a.get(t, "/me", token[:len(token)-2]), kindTok)
}

func TestRequireActive(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand()))
	a.GET("/transfer", a.kc.RequireActive(), a.me)
	token := good(a.keycloak)
	checkKind(t, "active", a.get(t, "/transfer", token), kindOK)
	checkKind(t, "no token", a.get(t, "/transfer", ""), kindNone)
	a.keycloak.LogoutUser("alice")
	got := a.get(t, "/transfer", token)
	checkKind(t, "logged out, at once", got, kindTok)
	if got.code != ginkeycloak.CodeTokenInactive {
		t.Errorf("logged out: %q, want token_inactive", got.code)
	}
	checkKind(t, "logged out, elsewhere", a.get(t, "/me", token), kindOK)
	a.keycloak.Stop()
	checkKind(t, "Keycloak away", a.get(t, "/transfer", token), kindDown)

	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "WithIntrospection") {
			t.Errorf("RequireActive without introspection panicked with %v, want it to name WithIntrospection", r)
		}
	}()
	newAPI(t).kc.RequireActive()
}

func TestIntrospectionUnderLoad(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection())
	a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Slow(200*time.Millisecond))
	token := good(a.keycloak)
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
	if got := a.keycloak.Calls(keycloaktest.Introspection); got != 1 || refused.Load() != 0 {
		t.Errorf("1000 requests with one token: %d introspections, %d refused, want 1 and 0", got, refused.Load())
	}
}

// An endpoint that hangs holds a request up for its own context or the time limit; once the breaker is open, for
// next to nothing; and once it is mended, not at all.
func TestIntrospectionEndpointHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inMemory(t, ginkeycloak.WithIntrospection(), ginkeycloak.WithTimeouts(time.Second, 4*time.Second))
		ask := func(ctx context.Context) (time.Duration, error) {
			begin := time.Now()
			_, err := a.kc.Authenticate(ctx, a.keycloak.Token(keycloaktest.ForUser("alice")))
			return time.Since(begin), err
		}
		if _, err := ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Hang())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if took, err := ask(ctx); took > time.Second || err == nil {
			t.Errorf("a request with a limit of 1 s took %v: %v", took, err)
		}
		for range 5 {
			if took, err := ask(t.Context()); took > 5*time.Second || err == nil {
				t.Errorf("a request took %v: %v, want at most the time limits", took, err)
			}
		}
		before := a.keycloak.Calls(keycloaktest.Introspection)
		for range 1000 {
			if took, err := ask(t.Context()); took > 5*time.Millisecond || err == nil {
				t.Fatalf("a request with the breaker open took %v: %v, want less than 5 ms", took, err)
			}
		}
		if got := a.keycloak.Calls(keycloaktest.Introspection); got != before {
			t.Errorf("%d calls with the breaker open, want none", got-before)
		}
		a.keycloak.Heal()
		time.Sleep(6 * time.Second)
		if _, err := ask(t.Context()); err != nil {
			t.Errorf("mended: %v, want none", err)
		}
		if log := a.log.String(); strings.Count(log, "keeps failing") != 1 || strings.Count(log, "works again") != 1 {
			t.Errorf("log = %s, want one line when it began and one when it ended", log)
		}
	})
}

// Our own credentials are not the caller's fault: 503 to him, and one loud line to us (fault 8).
func TestOwnCredentialsRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection(), ginkeycloak.WithClientSecret("wrong-"+mark))
	for range 10 {
		got := a.get(t, "/me", good(a.keycloak))
		checkKind(t, "wrong secret", got, kindDown)
		if got.code != ginkeycloak.CodeConfig {
			t.Errorf("wrong secret: %q, want keycloak_config_error", got.code)
		}
	}
	log := a.log.String()
	if got := strings.Count(log, "level=ERROR"); got != 1 || !strings.Contains(log, "CREDENTIALS REFUSED") {
		t.Errorf("log = %s, want one loud line", log)
	}
	checkNoMark(t, "log", "", log)
}

// Keycloak since 26.6.2 calls a token inactive that does not name the asking client in its audience.
func TestInactiveForLackOfAudienceIsExplained(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection(), ginkeycloak.WithAudience("account"))
	token := a.keycloak.Token(keycloaktest.Audience("account"))
	for range 3 {
		got := a.get(t, "/me", token)
		checkKind(t, "without our client in aud", got, kindTok)
		if got.code != ginkeycloak.CodeTokenInactive {
			t.Errorf("code %q, want token_inactive", got.code)
		}
	}
	if log := a.log.String(); strings.Count(log, "audience mapper") != 1 {
		t.Errorf("log = %s, want the hint once", log)
	}
}

// The ways in which a client can prove who it is, as Keycloak sees them.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	srv := keycloaktest.New(t, keycloaktest.WithClient(keycloaktest.Client{
		ID: "signer", PublicKey: key.Public(), Audience: []string{"signer"},
	}))
	var mu sync.Mutex
	var form url.Values
	var authorization string
	srv.OnRequest(func(e keycloaktest.Endpoint, r *http.Request) {
		if e == keycloaktest.Introspection {
			mu.Lock()
			defer mu.Unlock()
			form, authorization = r.PostForm, r.Header.Get("Authorization")
		}
	})
	tests := []struct {
		name   string
		opts   []ginkeycloak.Option
		client string
		sent   func() bool
	}{
		{"client_secret_basic", nil, "orders-api", func() bool {
			return strings.HasPrefix(authorization, "Basic ") && !form.Has("client_secret") && !form.Has("client_id")
		}},
		{"client_secret_post", []ginkeycloak.Option{ginkeycloak.WithClientSecretPost()}, "orders-api", func() bool {
			return authorization == "" && form.Get("client_secret") == "s3cret"
		}},
		{"private_key_jwt", []ginkeycloak.Option{ginkeycloak.WithClientID("signer"), ginkeycloak.WithClientSecret(""), ginkeycloak.WithClientKey(private)}, "signer", func() bool {
			return authorization == "" && form.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" && !form.Has("client_secret")
		}},
	}
	for _, tt := range tests {
		a := newAPIFor(t, srv, append(tt.opts, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(0, 0)))...)
		for range 2 { // an assertion is used once
			checkKind(t, tt.name, a.get(t, "/me", srv.Token(keycloaktest.Audience(tt.client))), kindOK)
			mu.Lock()
			if !tt.sent() {
				t.Errorf("%s sent Authorization %q and the form %v", tt.name, authorization, form)
			}
			if form.Get("token") == "" {
				t.Errorf("%s: the token is not in the body", tt.name)
			}
			mu.Unlock()
		}
	}
}

// A flood of distinct tokens leaves the tables as large as they are.
func TestIntrospectionTablesAreBounded(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectionCache(100, time.Minute)))
	a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Answer(200, "application/json", `{"active":false}`))
	if _, err := a.kc.Authenticate(t.Context(), "warm"); err == nil {
		t.Fatal("let in")
	}
	for i := range 200 {
		if _, err := a.kc.Authenticate(t.Context(), "opaque"+strings.Repeat("x", i)); err == nil {
			t.Fatal("let in")
		}
	}
	a.keycloak.Heal()
	checkKind(t, "valid traffic after a flood", a.get(t, "/me", good(a.keycloak)), kindOK)
}
