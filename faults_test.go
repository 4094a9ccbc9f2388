package ginkeycloak_test

import (
	stdjson "encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// The faults of the Python package that this library succeeds, fastapi-authlib-keycloak 0.3.6, found by reading and
// running it: one regression test each. Number 2, a quick start that could not run, is tested with the documents.

// TestPythonFault01PublicSlash: a public path "/" was a prefix of everything, and authentication off.
func TestPythonFault01PublicSlash(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithPublicRoutes("/"))
	a.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "welcome") })
	a.GET("/admin/users", a.me)
	a.GET("/files/*path", a.me)
	if got := a.get(t, "/", ""); got.status != 200 || got.body != "welcome" {
		t.Errorf("GET / without a token, / being public = %d %s, want 200", got.status, got.body)
	}
	for _, path := range []string{
		"/me", "/admin/users", "/files/", "/files/x", "/files/..", "/files/../", "/files/%2e%2e/", "//", "///", "//me", "/.", "/./", "/..",
		"/./me", "/../", "/me/", "/me/..", "/me/../", "/%2e", "/%2F", "/%2fme", "/;/", "/;", "/nosuch", "/index.html", "/%00", "/ ", "/me?/", "/me#/",
	} {
		target, err := url.ParseRequestURI(path)
		if err != nil {
			t.Fatalf("the test's path %q: %v", path, err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.URL, r.RequestURI = target, path
		if got := a.do(t, r); got.ran || got.status == 200 {
			t.Errorf("GET %s without a token, / being public = %d %s, the handler ran: %t; want a refusal", path, got.status, got.body, got.ran)
		}
	}
	checkKind(t, "a token elsewhere", a.get(t, "/me", a.keycloak.Token()), kindOK)
	checkKind(t, "a bad token elsewhere", a.get(t, "/me", "nonsense"), kindTok)
}

// TestPythonFault03UncheckedClaims: issuer and audience were checked only when set, typ never (an ID token got in),
// exp was not required, and there was no leeway.
func TestPythonFault03UncheckedClaims(t *testing.T) {
	t.Parallel()
	a := newAPI(t) // with nothing set but where Keycloak is and who we are
	tests := []struct {
		name  string
		token string
		want  ginkeycloak.Code
	}{
		{"of another issuer", a.keycloak.Token(keycloaktest.Issuer("https://evil.example/realms/demo")), ginkeycloak.CodeInvalidClaims},
		{"without issuer", a.keycloak.Token(keycloaktest.WithoutClaim("iss")), ginkeycloak.CodeMissingClaim},
		{"for another audience", a.keycloak.Token(keycloaktest.Audience("billing")), ginkeycloak.CodeInvalidClaims},
		{"as another client gets it", a.keycloak.Token(keycloaktest.ForClient("billing")), ginkeycloak.CodeInvalidClaims},
		{"without audience", a.keycloak.Token(keycloaktest.WithoutClaim("aud")), ginkeycloak.CodeMissingClaim},
		{"that is an ID token", a.keycloak.IDToken(), ginkeycloak.CodeInvalidTokenType},
		{"that is a refresh token", a.keycloak.RefreshToken(), ginkeycloak.CodeInvalidAlgorithm},
		{"that is a refresh token, signed like an access token", a.keycloak.Token(keycloaktest.Type("Refresh")), ginkeycloak.CodeInvalidTokenType},
		{"without type", a.keycloak.Token(keycloaktest.WithoutClaim("typ")), ginkeycloak.CodeInvalidTokenType},
		{"without end", a.keycloak.Token(keycloaktest.WithoutClaim("exp")), ginkeycloak.CodeMissingClaim},
		{"that ended a moment ago", a.keycloak.Token(keycloaktest.ExpiresIn(-10 * time.Second)), ""},
		{"that begins in a moment", a.keycloak.Token(keycloaktest.NotBeforeIn(10 * time.Second)), ""},
		{"that ended a minute ago", a.keycloak.Token(keycloaktest.ExpiresIn(-time.Minute)), ginkeycloak.CodeTokenExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := a.get(t, "/me", tt.token); got.code != tt.want || got.ran != (tt.want == "") {
				t.Errorf("GET /me with a token %s = %d %s, want %q", tt.name, got.status, got.body, tt.want)
			}
		})
	}
}

// TestPythonFault04UnknownKeyThrewGoodKeysAway: an unknown kid evicted the good keys before fetching again, and
// nothing limited the fetches: one bad client could take every other down.
func TestPythonFault04UnknownKeyThrewGoodKeysAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := keycloaktest.New(t, keycloaktest.InMemory(), keycloaktest.WithAlgorithm("ES256"), keycloaktest.WithTokenLifespan(time.Hour))
		a := newAPIFor(t, srv, ginkeycloak.WithAlgorithms("ES256"), ginkeycloak.WithHTTPClient(&http.Client{Transport: srv.Transport()}))
		good := srv.Token()
		checkKind(t, "before", a.get(t, "/me", good), kindOK)
		srv.ResetCalls()

		const clients, seconds = 20, 10
		begin := time.Now()
		for second := range seconds {
			var flood sync.WaitGroup
			for client := range clients {
				flood.Go(func() {
					token := srv.Token(keycloaktest.KeyID(fmt.Sprintf("made-up-%d-%d", second, client)))
					if got := a.get(t, "/me", token); got.code != ginkeycloak.CodeUnknownKID {
						t.Errorf("GET /me with an unknown key = %d %s, want unknown_kid", got.status, got.body)
					}
				})
			}
			checkKind(t, "a good token during the flood", a.get(t, "/me", good), kindOK)
			flood.Wait()
		}
		took := time.Since(begin)
		if got, most := srv.Calls(keycloaktest.KeySet), int(took/time.Second)+2; got > most {
			t.Errorf("%d tokens of unknown keys in %v: %d key fetches, want at most %d, one a second", clients*seconds, took, got, most)
		}

		srv.Stop() // whoever floods now must not empty the keys either
		got := a.get(t, "/me", srv.Token(keycloaktest.KeyID("another")))
		checkKind(t, "an unknown key while Keycloak is away", got, kindDown)
		checkKind(t, "a good token while Keycloak is away", a.get(t, "/me", good), kindOK)
	})
}

// TestPythonFault05RolesOfOtherClients: the roles of all clients were one flat list, so that admin of billing was
// admin everywhere.
func TestPythonFault05RolesOfOtherClients(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	token := a.keycloak.Token(keycloaktest.ClientRoles("billing", "admin"), keycloaktest.ClientRoles("realm-management", "realm-admin"))
	for name, guard := range map[string]gin.HandlerFunc{
		"RequireRoles(admin)":                   a.kc.RequireRoles("admin"),
		"RequireAnyRole(admin)":                 a.kc.RequireAnyRole("admin", "realm-admin"),
		"RequireRealmRoles(admin)":              a.kc.RequireRealmRoles("admin"),
		"RequireClientRoles(orders-api, admin)": a.kc.RequireClientRoles("orders-api", "admin"),
		"RequireRoles(billing:admin)":           a.kc.RequireRoles("billing:admin"),
	} {
		got := a.behind(guard).get(t, "/guarded", token)
		checkKind(t, name+" with admin of billing", got, kindScope)
	}
	checkKind(t, "asked for by name", a.behind(a.kc.RequireClientRoles("billing", "admin")).get(t, "/guarded", token), kindOK)
	if got := a.get(t, "/me", token); !strings.Contains(got.body, `"roles":[]`) {
		t.Errorf("GET /me with roles of other clients = %s, want no role", got.body)
	}
}

// TestPythonFault06TokenWithoutSubject: it was a 500.
func TestPythonFault06TokenWithoutSubject(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for name, token := range map[string]string{
		"without sub":    a.keycloak.Token(keycloaktest.WithoutClaim("sub")),
		"with empty sub": a.keycloak.Token(keycloaktest.Subject("")),
		"with null sub":  a.keycloak.Token(keycloaktest.Claim("sub", nil)),
		"lightweight":    a.keycloak.Token(keycloaktest.Lightweight(), keycloaktest.Audience("orders-api")),
	} {
		got := a.get(t, "/me", token)
		checkKind(t, "a token "+name, got, kindTok)
		if got.code != ginkeycloak.CodeMissingClaim {
			t.Errorf("GET /me with a token %s = %d %q, want missing_claim", name, got.status, got.code)
		}
	}
}

// TestPythonFault07NoChallenge: WWW-Authenticate was nowhere, and a malformed token was 400.
func TestPythonFault07NoChallenge(t *testing.T) {
	t.Parallel()
	for code, row := range codeRows() {
		if row.drive == nil || row.kind == "" {
			continue // a refresh has its own rules, RFC 6749 §5.2
		}
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			got := row.drive(t)
			challenges := got.header.Values("WWW-Authenticate")
			want := 0
			if got.status == 401 || got.status == 403 || got.status == 400 {
				want = 1
			}
			if len(challenges) != want || want == 1 && !strings.HasPrefix(challenges[0], `Bearer realm="demo"`) {
				t.Errorf("status %d of %q has WWW-Authenticate %q, want %d of scheme Bearer with the realm", got.status, code, challenges, want)
			}
		})
	}
	a := newAPI(t)
	for _, token := range []string{"nonsense", "a.b", "a.b.c", "e30.e30.e30", "e30.e30.", a.keycloak.Token() + ".x", a.keycloak.Token() + "A"} {
		got := a.get(t, "/me", token)
		checkKind(t, "malformed token "+token[:min(len(token), 12)], got, kindTok)
	}
}

// TestPythonFault08BodiesShowedRolesAndKeycloaksText: a refusal told what the user has, and what Keycloak said.
func TestPythonFault08BodiesShowedRolesAndKeycloaksText(t *testing.T) {
	t.Parallel()
	const mark = "MARK"
	seen := func(t *testing.T, what string, a *api, got answer) {
		t.Helper()
		if all := got.body + fmt.Sprint(got.header) + a.log.String(); strings.Contains(strings.ToUpper(all), mark) {
			t.Errorf("%s: status %d, answer and log = %s, want nothing of what was marked", what, got.status, all)
		}
	}
	marked := []keycloaktest.TokenOption{
		keycloaktest.RealmRoles("mark-realm"), keycloaktest.ClientRoles("orders-api", "mark-own"), keycloaktest.ClientRoles("mark-client", "mark-role"),
		keycloaktest.Groups("/mark/group"), keycloaktest.Scope("mark:scope"), keycloaktest.Claim("name", "Mark"), keycloaktest.Claim("email", "mark@example.com"),
		keycloaktest.Claim("preferred_username", "mark"), keycloaktest.Subject("mark-1"), keycloaktest.Claim("tenant", "mark"),
	}
	for _, details := range []bool{false, true} {
		t.Run(fmt.Sprintf("details %t", details), func(t *testing.T) {
			t.Parallel()
			now, leap := leapingClock()
			a := newAPI(t, ginkeycloak.WithErrorDetails(details), ginkeycloak.WithClock(now))
			token := a.keycloak.Token(marked...)
			for name, guard := range map[string]gin.HandlerFunc{
				"RequireRoles": a.kc.RequireRoles("admin"), "RequireAnyRole": a.kc.RequireAnyRole("admin", "owner"),
				"RequireRealmRoles": a.kc.RequireRealmRoles("admin"), "RequireClientRoles": a.kc.RequireClientRoles("billing", "admin"),
				"RequireGroups": a.kc.RequireGroups("/eng"), "RequireAnyGroup": a.kc.RequireAnyGroup("/eng", "/hr"),
				"RequireScopes": a.kc.RequireScopes("orders"), "RequireAnyScope": a.kc.RequireAnyScope("orders", "bills"),
			} {
				got := a.behind(guard).get(t, "/guarded", token)
				if got.status != 403 {
					t.Errorf("%s with marked roles = %d, want 403", name, got.status)
				}
				seen(t, name, a, got)
			}
			for name, option := range map[string]keycloaktest.TokenOption{
				"another audience": keycloaktest.Audience("mark"), "another issuer": keycloaktest.Issuer("https://evil.example"), // the log may name it
				"another type": keycloaktest.Type("mark"),
				"another key":  keycloaktest.KeyID("another"), "another algorithm": keycloaktest.Header("alg", "mark"),
				"a claim of the wrong type": keycloaktest.Claim("exp", "mark"), "expired": keycloaktest.ExpiresIn(-time.Hour),
			} {
				leap()
				got := a.get(t, "/me", a.keycloak.Token(append(marked[:len(marked):len(marked)], option)...))
				if got.status != 401 {
					t.Errorf("a token with %s = %d, want 401", name, got.status)
				}
				seen(t, name, a, got)
			}

			for name, fault := range map[string]keycloaktest.Fault{
				"an error page": keycloaktest.Answer(500, "text/html", "<h1>MARK</h1>"), "a refusal": keycloaktest.Answer(403, "application/json", `{"error":"MARK"}`),
				"no JSON": keycloaktest.Answer(200, "text/plain", "MARK"), "other JSON": keycloaktest.Answer(200, "application/json", `{"keys":"MARK"}`),
				"a key that is none": keycloaktest.Answer(200, "application/json", `{"keys":[{"kty":"MARK"}]}`),
			} {
				b := newAPI(t, ginkeycloak.WithErrorDetails(details))
				b.keycloak.Fail(keycloaktest.KeySet, fault)
				got := b.get(t, "/me", b.keycloak.Token())
				if got.status != 503 {
					t.Errorf("a key set that is %s = %d, want 503: it is not the caller's fault", name, got.status)
				}
				seen(t, "a key set that is "+name, b, got)
			}
		})
	}
}

// TestPythonFault14PersonalDataInTheLog: the log had names and addresses at INFO.
func TestPythonFault14PersonalDataInTheLog(t *testing.T) {
	t.Parallel()
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			log := new(logBuffer)
			logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: level}))
			now, leap := leapingClock()
			a := newAPI(t, ginkeycloak.WithLogger(logger), ginkeycloak.WithClock(now))
			a.GET("/admin", a.kc.RequireRoles("owner"), a.me)
			alice := a.keycloak.User("alice")
			tokens := []string{
				a.keycloak.Token(keycloaktest.ForUser("alice")),
				a.keycloak.Token(keycloaktest.ForUser("alice"), keycloaktest.ExpiresIn(-time.Hour)),
				a.keycloak.Token(keycloaktest.ForUser("alice"), keycloaktest.Audience("billing")),
				a.keycloak.Token(keycloaktest.ForUser("alice"), keycloaktest.KeyID("unknown")),
				a.keycloak.IDToken(keycloaktest.ForUser("alice")),
				a.keycloak.RefreshToken(keycloaktest.ForUser("alice")),
			}
			for _, token := range tokens {
				leap()
				a.get(t, "/me", token)
				a.get(t, "/admin", token)
			}
			a.keycloak.Stop()
			a.get(t, "/me", a.keycloak.Token(keycloaktest.ForUser("alice"), keycloaktest.KeyID("another")))

			text := log.String()
			if text == "" {
				t.Errorf("log of level %v = nothing, want the trouble with Keycloak: else this test proves nothing", level)
			}
			for _, personal := range []string{alice.ID, alice.Username, alice.Email, alice.FirstName, "Alice A", "/eng", "viewer"} {
				if strings.Contains(text, personal) {
					t.Errorf("log of level %v has %q in it, want no personal data: %s", level, personal, text)
				}
			}
			for _, token := range tokens {
				for _, segment := range strings.Split(token, ".") {
					if strings.Contains(text, segment) {
						t.Errorf("log of level %v has a part of a token in it: %s", level, text)
					}
				}
			}
			if level == slog.LevelInfo && strings.Contains(text, "request refused") {
				t.Errorf("log of level INFO = %s, want no refusals: each would be a line", text)
			}
			for line := range strings.Lines(text) {
				if !stdjson.Valid([]byte(line)) {
					t.Errorf("log line %q is not JSON", line)
				}
			}
		})
	}
}

// TestPythonFault14PreflightRefused: browsers send preflights without credentials, and they were refused.
func TestPythonFault14PreflightRefused(t *testing.T) {
	t.Parallel()
	preflight := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodOptions, "/me", http.NoBody)
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Access-Control-Request-Method", "GET")
		r.Header.Set("Access-Control-Request-Headers", "authorization")
		return r
	}
	cors := func(c *gin.Context) {
		c.Header("Access-Control-Allow-Origin", "https://app.example")
		if c.Request.Method == http.MethodOptions {
			c.AbortWithStatus(http.StatusNoContent)
		}
	}
	// The CORS middleware behind ours, as in the report, with the option.
	a := newAPI(t, ginkeycloak.WithCORSPreflight(true))
	a.OPTIONS("/me", cors, a.me)
	got := a.do(t, preflight())
	if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") == "" || got.ran {
		t.Errorf("preflight with WithCORSPreflight = %d %v, the handler ran: %t; want 204 of the CORS middleware", got.status, got.header, got.ran)
	}
	checkKind(t, "the request behind the preflight, without token", a.get(t, "/me", ""), kindNone)

	// The CORS middleware before ours needs no option.
	b := newAPI(t)
	b.Engine = gin.New()
	b.Use(cors, b.kc.Middleware())
	b.GET("/me", b.me)
	b.OPTIONS("/me", b.me)
	if got := b.do(t, preflight()); got.status != 204 || got.ran {
		t.Errorf("preflight with a CORS middleware in front = %d, the handler ran: %t; want 204", got.status, got.ran)
	}
	if got := b.get(t, "/me", ""); got.status != 401 || got.header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a refusal with a CORS middleware in front = %d %v, want 401 that a browser may read", got.status, got.header)
	}
}
