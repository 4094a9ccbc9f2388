package ginkeycloak_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/internal/token"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// What cannot be a token costs no call; what could be one does, whatever it looks like.
func TestIntrospectionOfStrangeTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, token string
		calls       int
		code        ginkeycloak.Code
	}{
		{"opaque", "opaque", 1, ginkeycloak.CodeTokenInactive},
		{"opaque, as long as it may be", strings.Repeat("a", token.MaxSize), 1, ginkeycloak.CodeTokenInactive},
		{"opaque, one byte longer", strings.Repeat("a", token.MaxSize+1), 0, ginkeycloak.CodeMalformedToken},
		{"opaque with a space", "a b", 0, ginkeycloak.CodeMalformedToken},
		{"opaque with a quote", `a"b`, 0, ginkeycloak.CodeMalformedToken},
		{"three segments that begin with no object", "a.b.c", 1, ginkeycloak.CodeTokenInactive},
		{"an object's beginning in one segment", "eyJhbGciOiJub25lIn0", 1, ginkeycloak.CodeTokenInactive},
		{"an object's beginning in four segments", "eyJ.a.b.c", 1, ginkeycloak.CodeTokenInactive},
		{"a JWT that cannot be read", "eyJ.a.b", 0, ginkeycloak.CodeMalformedToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithIntrospection())
			_, err := a.kc.Authenticate(t.Context(), tt.token)
			if refused, ok := errors.AsType[*ginkeycloak.Error](err); !ok || refused.Code != tt.code {
				t.Errorf("Authenticate = %v, want %s", err, tt.code)
			}
			if got := a.keycloak.Calls(keycloaktest.Introspection); got != tt.calls {
				t.Errorf("%d introspections, want %d", got, tt.calls)
			}
		})
	}
}

// A lightweight token says so in its jti, or shows it by what it lacks. Only such a token is completed.
func TestLightweightTokensAreRecognised(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		option keycloaktest.TokenOption
		calls  int
	}{
		{"a full token", keycloaktest.ForUser("alice"), 0},
		{"jti of a full token", keycloaktest.Claim("jti", "onrtac:1"), 0},
		{"jti of a lightweight token", keycloaktest.Claim("jti", "onltac:1"), 1},
		{"jti with the letters elsewhere", keycloaktest.Claim("jti", "ltonac:1"), 0},
		{"jti with the letters one further", keycloaktest.Claim("jti", "onxltc:1"), 0},
		{"jti with one letter of the two", keycloaktest.Claim("jti", "onlxac:1"), 0},
		{"jti of more letters", keycloaktest.Claim("jti", "onltacx:1"), 0},
		{"jti of fewer letters", keycloaktest.Claim("jti", "onlta:1"), 0},
		{"jti of three letters", keycloaktest.Claim("jti", "onl:1"), 0},
		{"jti without a colon", keycloaktest.Claim("jti", "onltac"), 0},
		{"no aud", keycloaktest.WithoutClaim("aud"), 1},
		{"no sub", keycloaktest.WithoutClaim("sub"), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOpaque()))
			_, err := a.kc.Authenticate(t.Context(), a.keycloak.Token(tt.option))
			if tt.calls == 0 && err != nil {
				t.Errorf("Authenticate = %v, want none", err)
			}
			if got := a.keycloak.Calls(keycloaktest.Introspection); got != tt.calls {
				t.Errorf("%d introspections, want %d", got, tt.calls)
			}
		})
	}
}

// What is refused without Keycloak is not asked about, and a token must still be there.
func TestRequireActiveAsksOnlyAboutGoodTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand()))
	drop := func(c *gin.Context) { c.Request.Header.Del("Authorization") }
	active := a.kc.RequireActive()
	tests := []struct {
		name  string
		api   *api
		token string
		kind  string
		code  ginkeycloak.Code
	}{
		{"alone, expired", a.behind(active), a.keycloak.Token(keycloaktest.ExpiresIn(-3600e9)), kindTok, ginkeycloak.CodeTokenExpired},
		{"alone, for another API", a.behind(active), a.keycloak.Token(keycloaktest.Audience("billing")), kindTok, ginkeycloak.CodeInvalidClaims},
		{"anonymous", a.behind(a.kc.OptionalMiddleware(), active), "", kindNone, ginkeycloak.CodeNotAuthenticated},
		{"the token was taken away meanwhile", a.behind(a.kc.Middleware(), drop, active), good(a.keycloak), kindNone, ginkeycloak.CodeMissingHeader},
	}
	for _, tt := range tests {
		got := tt.api.get(t, "/guarded", tt.token)
		checkKind(t, tt.name, got, tt.kind)
		if got.code != tt.code {
			t.Errorf("%s: code %q, want %q", tt.name, got.code, tt.code)
		}
	}
	if got := a.keycloak.Calls(keycloaktest.Introspection); got != 0 {
		t.Errorf("%d introspections, want 0", got)
	}
}

// A token that turns out to be inactive is dropped from among the active ones that are remembered.
func TestInactiveTokenIsForgottenAsActive(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection())
	token := good(a.keycloak)
	checkKind(t, "active", a.get(t, "/me", token), kindOK)
	a.keycloak.LogoutUser("alice")
	checkKind(t, "logged out, from memory", a.get(t, "/me", token), kindOK)
	checkKind(t, "logged out, asked anew", a.behind(a.kc.RequireActive()).get(t, "/guarded", token), kindTok)
	checkKind(t, "logged out, after that", a.get(t, "/me", token), kindTok)
}

// The hint about the audience is given once, and only where the audience may be the reason.
func TestHintAboutTheAudience(t *testing.T) {
	t.Parallel()
	const hint = "audience mapper (oidc-audience-mapper"
	t.Run("once for all tokens", func(t *testing.T) {
		t.Parallel()
		a := newAPI(t, ginkeycloak.WithIntrospection(), ginkeycloak.WithAudience("account"))
		for range 3 {
			checkKind(t, "without our client in aud", a.get(t, "/me", a.keycloak.Token(keycloaktest.Audience("account"))), kindTok)
		}
		if log := a.log.String(); strings.Count(log, hint) != 1 {
			t.Errorf("log = %s, want the hint once", log)
		}
	})
	t.Run("not for a token that names us", func(t *testing.T) {
		t.Parallel()
		a := newAPI(t, ginkeycloak.WithIntrospection())
		token := good(a.keycloak)
		a.keycloak.LogoutUser("alice")
		checkKind(t, "logged out", a.get(t, "/me", token), kindTok)
		if log := a.log.String(); strings.Contains(log, hint) {
			t.Errorf("log = %s, want no hint", log)
		}
	})
	t.Run("not for a token that is active", func(t *testing.T) {
		t.Parallel()
		a := newAPI(t, ginkeycloak.WithIntrospection(), ginkeycloak.WithAudience("account"))
		token := a.keycloak.Token(keycloaktest.Audience("account"))
		a.keycloak.Fail(keycloaktest.Introspection, keycloaktest.Answer(200, "application/json", `{"active":true,"iss":"https://evil.example"}`))
		checkKind(t, "of another issuer", a.get(t, "/me", token), kindTok)
		if log := a.log.String(); strings.Contains(log, hint) {
			t.Errorf("log = %s, want no hint", log)
		}
	})
}

// panicking is a transport of the user that panics where the introspection endpoint is called.
type panicking struct{ http.RoundTripper }

func (p panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/introspect") {
		panic("transport")
	}
	return p.RoundTripper.RoundTrip(r)
}

// The call is made in a goroutine of ours, where a panic would end the process.
func TestIntrospectionThatPanics(t *testing.T) {
	t.Parallel()
	a := newAPI(t, ginkeycloak.WithIntrospection(), ginkeycloak.WithHTTPClient(&http.Client{Transport: panicking{http.DefaultTransport}}))
	got := a.get(t, "/me", good(a.keycloak))
	checkKind(t, "a transport that panics", got, kindDown)
	if !strings.Contains(a.log.String(), "panic") {
		t.Errorf("log = %s, want it to say that something panicked", a.log)
	}
}

// talkative is a logger of the user that panics at the hint about the audience.
type talkative struct{ slog.Handler }

func (talkative) Enabled(context.Context, slog.Level) bool { return true }

func (h talkative) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "audience mapper") {
		panic("logger")
	}
	return h.Handler.Handle(ctx, r)
}

func TestIntrospectionWhoseLoggerPanics(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	a := newAPIFor(t, srv, ginkeycloak.WithIntrospection(), ginkeycloak.WithAudience("account"), ginkeycloak.WithLogger(slog.New(talkative{slog.DiscardHandler})))
	_, err := a.kc.Authenticate(t.Context(), srv.Token(keycloaktest.Audience("account")))
	if !errors.Is(err, ginkeycloak.ErrConnection) || !strings.Contains(err.Error(), "panic") {
		t.Errorf("Authenticate with a logger that panics = %v, want %v and the panic", err, ginkeycloak.ErrConnection)
	}
}
