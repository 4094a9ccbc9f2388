package ginkeycloak_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// codeRow is what the response contract says of a code.
type codeRow struct {
	sentinel *ginkeycloak.Error
	status   int
	kind     string                    // of the answer, see checkKind; "" for one that is none of them, without a challenge
	drive    func(t *testing.T) answer // makes a request that is refused with the code; nil where that is tested with the feature
}

// codeRows is the table of refusals, as the documentation has it.
func codeRows() map[ginkeycloak.Code]codeRow {
	token := func(opts ...keycloaktest.TokenOption) func(*testing.T) answer {
		return func(t *testing.T) answer {
			a := newAPI(t)
			return a.get(t, "/me", a.keycloak.Token(opts...))
		}
	}
	require := func(guard func(*ginkeycloak.Plugin) gin.HandlerFunc) func(*testing.T) answer {
		return func(t *testing.T) answer {
			a := newAPI(t)
			a.GET("/guarded", guard(a.kc), a.me)
			return a.get(t, "/guarded", a.keycloak.Token())
		}
	}
	overTLS := func(kind keycloaktest.TLSKind) func(*testing.T) answer {
		return func(t *testing.T) answer {
			srv := keycloaktest.New(t, keycloaktest.WithTLS(kind))
			a := newAPIFor(t, srv, ginkeycloak.WithRootCAs(srv.RootCAs()))
			return a.get(t, "/me", srv.Token())
		}
	}
	refresh := func(method, contentType, body string) func(*testing.T) answer {
		return func(t *testing.T) answer {
			a := newAPI(t)
			a.Engine = gin.New()
			a.Any("/refresh", a.kc.RefreshHandler())
			r := httptest.NewRequestWithContext(t.Context(), method, "/refresh", strings.NewReader(body))
			if contentType != "" {
				r.Header.Set("Content-Type", contentType)
			}
			return a.do(t, r)
		}
	}
	const form = "application/x-www-form-urlencoded"
	return map[ginkeycloak.Code]codeRow{
		"missing_header": {ginkeycloak.ErrMissingHeader, 401, kindNone, func(t *testing.T) answer {
			return newAPI(t).get(t, "/me", "")
		}},
		"invalid_header_format": {ginkeycloak.ErrInvalidHeaderFormat, 400, kindReq, func(t *testing.T) answer {
			a := newAPI(t)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/me", http.NoBody)
			r.Header["Authorization"] = []string{"Bearer " + a.keycloak.Token(), "Bearer " + a.keycloak.Token()}
			return a.do(t, r)
		}},
		"malformed_token": {ginkeycloak.ErrMalformedToken, 401, kindTok, func(t *testing.T) answer {
			return newAPI(t).get(t, "/me", "nonsense")
		}},
		"invalid_signature": {ginkeycloak.ErrInvalidSignature, 401, kindTok, func(t *testing.T) answer {
			a := newAPIFor(t, keycloaktest.New(t, keycloaktest.WithAlgorithm("ES256")), ginkeycloak.WithAlgorithms("ES256"))
			stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return a.get(t, "/me", a.keycloak.Token(keycloaktest.SignedBy(stranger)))
		}},
		"invalid_algorithm": {ginkeycloak.ErrInvalidAlgorithm, 401, kindTok, token(keycloaktest.HMAC("HS256", []byte("guess")))},
		"unknown_kid": {ginkeycloak.ErrUnknownKID, 401, kindTok, func(t *testing.T) answer {
			now, leap := leapingClock()
			a := newAPI(t, ginkeycloak.WithClock(now))
			checkKind(t, "a known key", a.get(t, "/me", a.keycloak.Token()), kindOK)
			leap()
			return a.get(t, "/me", a.keycloak.Token(keycloaktest.KeyID("nobody-has-it")))
		}},
		"token_expired": {ginkeycloak.ErrTokenExpired, 401, kindTok, token(keycloaktest.ExpiresIn(-time.Hour))},
		"token_not_yet_valid": {ginkeycloak.ErrTokenNotYetValid, 401, kindTok,
			token(keycloaktest.NotBeforeIn(time.Hour))},
		"invalid_claims":     {ginkeycloak.ErrInvalidClaims, 401, kindTok, token(keycloaktest.Audience("billing"))},
		"missing_claim":      {ginkeycloak.ErrMissingClaim, 401, kindTok, token(keycloaktest.WithoutClaim("exp"))},
		"invalid_token_type": {ginkeycloak.ErrInvalidTokenType, 401, kindTok, token(keycloaktest.Type("ID"))},
		"token_inactive":     {ginkeycloak.ErrTokenInactive, 401, "", nil},
		"not_authenticated": {ginkeycloak.ErrNotAuthenticated, 401, kindNone, func(t *testing.T) answer {
			a := newAPI(t)
			a.Engine = gin.New()
			a.Use(a.kc.OptionalMiddleware())
			a.GET("/guarded", a.kc.RequireRoles("admin"), a.me)
			return a.get(t, "/guarded", "")
		}},
		"missing_roles": {ginkeycloak.ErrMissingRoles, 403, kindScope,
			require(func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireRoles("admin") })},
		"missing_groups": {ginkeycloak.ErrMissingGroups, 403, kindScope,
			require(func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireGroups("/eng") })},
		"missing_scope": {ginkeycloak.ErrMissingScope, 403, kindScope,
			require(func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireScopes("orders:write") })},
		"forbidden":              {ginkeycloak.ErrForbidden, 403, "", nil},
		"token_refresh_failed":   {ginkeycloak.ErrTokenRefreshFailed, 400, "", refresh("POST", form, "refresh_token=stale")},
		"login_failed":           {ginkeycloak.ErrLoginFailed, 400, "", func(t *testing.T) answer { return newLoginAPI(t, keycloaktest.New(t)).finish(t, "stale") }},
		"invalid_request":        {ginkeycloak.ErrInvalidRequest, 400, "", refresh("POST", form, "a=b")},
		"cross_site_request":     {ginkeycloak.ErrCrossSite, 403, "", nil},
		"method_not_allowed":     {ginkeycloak.ErrMethodNotAllowed, 405, "", refresh("GET", "", "")},
		"request_too_large":      {ginkeycloak.ErrRequestTooLarge, 413, "", refresh("POST", form, "refresh_token="+strings.Repeat("x", 1<<20))},
		"unsupported_media_type": {ginkeycloak.ErrUnsupportedMediaType, 415, "", refresh("POST", "text/plain", "refresh_token=x")},
		"keycloak_connection_error": {ginkeycloak.ErrConnection, 503, kindDown, func(t *testing.T) answer {
			a := newAPI(t)
			token := a.keycloak.Token()
			a.keycloak.Stop()
			return a.get(t, "/me", token)
		}},
		"introspection_service_error": {ginkeycloak.ErrIntrospection, 503, "", nil},
		"cert_verify_failed": {ginkeycloak.ErrCertVerify, 503, kindDown, func(t *testing.T) answer {
			srv := keycloaktest.New(t)
			a := newAPIFor(t, srv, ginkeycloak.WithHTTPClient(&http.Client{Transport: transportFunc(
				func(*http.Request) (*http.Response, error) {
					return nil, &tls.CertificateVerificationError{Err: errors.New("not for servers")}
				})}))
			return a.get(t, "/me", srv.Token())
		}},
		"cert_expired":      {ginkeycloak.ErrCertExpired, 503, kindDown, overTLS(keycloaktest.Expired)},
		"cert_untrusted":    {ginkeycloak.ErrCertUntrusted, 503, kindDown, overTLS(keycloaktest.UnknownCA)},
		"hostname_mismatch": {ginkeycloak.ErrHostnameMismatch, 503, kindDown, overTLS(keycloaktest.WrongHost)},
		"keycloak_config_error": {ginkeycloak.ErrConfig, 503, kindDown, func(t *testing.T) answer {
			a := newAPI(t)
			a.keycloak.Fail(keycloaktest.Discovery, keycloaktest.Status(http.StatusNotFound))
			return a.get(t, "/me", a.keycloak.Token())
		}},
	}
}

// leapingClock returns a clock, and a function that puts it two seconds forward: keys are fetched once a second, and
// tests need not wait for that.
func leapingClock() (now func() time.Time, leap func()) {
	var ahead atomic.Int64
	return func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, func() { ahead.Add(int64(2 * time.Second)) }
}

// transportFunc is a transport that is one function.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEveryCodeHasItsResponse(t *testing.T) {
	t.Parallel()
	rows := codeRows()
	for _, code := range ginkeycloak.Codes() {
		row, ok := rows[code]
		if !ok {
			t.Errorf("code %q has no row in the test's table, want one", code)
			continue
		}
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			if got := (&ginkeycloak.Error{Code: code}).Status(); got != row.status {
				t.Errorf("Status of %q = %d, want %d", code, got, row.status)
			}
			if row.drive == nil {
				return
			}
			got := row.drive(t)
			if row.kind != "" {
				checkKind(t, string(code), got, row.kind)
			} else if h := got.header; h.Get("WWW-Authenticate") != "" || h.Get("Retry-After") != "" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("headers of %q = %v, want no-store and neither a challenge nor a time to try again", code, h)
			}
			if got.code != code || got.status != row.status {
				t.Errorf("the request that is to meet %q = %d %s, want status %d of that code", code, got.status, got.body, row.status)
			}
			if want := row.sentinel.Message(); got.message != want {
				t.Errorf("message of %q = %q, want that of Message, %q", code, got.message, want)
			}
		})
	}
	for code := range rows {
		if !slices.Contains(ginkeycloak.Codes(), code) {
			t.Errorf("Codes() lacks %q, want it: programs compare codes", code)
		}
	}
}

func TestCodesAreSortedAndACopy(t *testing.T) {
	t.Parallel()
	got := ginkeycloak.Codes()
	if !slices.IsSorted(got) {
		t.Errorf("Codes() = %q, want them sorted", got)
	}
	got[0] = "changed"
	if again := ginkeycloak.Codes(); again[0] == "changed" {
		t.Error("Codes() after the caller changed its first answer = the change, want a copy each time")
	}
}

func TestSentinelsMatchTheirCodeAndNoOther(t *testing.T) {
	t.Parallel()
	rows := codeRows()
	for code := range rows {
		err := fmt.Errorf("ask for orders: %w", &ginkeycloak.Error{Code: code, Err: io.ErrUnexpectedEOF})
		for other, row := range rows {
			if got, want := errors.Is(err, row.sentinel), other == code; got != want {
				t.Errorf("errors.Is(an error of code %q, the sentinel of %q) = %t, want %t", code, other, got, want)
			}
		}
		if got := rows[code].sentinel.Code; got != code {
			t.Errorf("Code of the sentinel of %q = %q", code, got)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("errors.Is(an error of code %q, its cause) = false, want true", code)
		}
		var refused *ginkeycloak.Error
		if !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("errors.As(a wrapped error of code %q) = %v, want it", code, refused)
		}
	}
}

func TestErrorIsWithStrangeTargets(t *testing.T) {
	t.Parallel()
	err := error(&ginkeycloak.Error{Code: ginkeycloak.CodeTokenExpired})
	tests := []struct {
		name   string
		target error
		want   bool
	}{
		{"nil", nil, false},
		{"an error of another type", io.EOF, false},
		{"another package's error of the same text", errors.New(err.Error()), false},
		{"the same code with another cause", &ginkeycloak.Error{Code: ginkeycloak.CodeTokenExpired, Err: io.EOF}, true},
		{"an empty Error", &ginkeycloak.Error{}, false},
		{"a nil *Error", (*ginkeycloak.Error)(nil), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := errors.Is(err, tt.target); got != tt.want {
				t.Errorf("errors.Is(token_expired, %s) = %t, want %t", tt.name, got, tt.want)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  *ginkeycloak.Error
		want string
	}{
		{ginkeycloak.ErrTokenExpired, "ginkeycloak: token_expired"},
		{&ginkeycloak.Error{Code: ginkeycloak.CodeConnection, Err: io.EOF}, "ginkeycloak: keycloak_connection_error: EOF"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
}

// TestUnknownCodeIsRefused: a code that only another package can have made up opens nothing.
func TestUnknownCodeIsRefused(t *testing.T) {
	t.Parallel()
	for _, code := range []ginkeycloak.Code{"", "all_is_well", "TOKEN_EXPIRED"} {
		e := &ginkeycloak.Error{Code: code}
		if got := e.Status(); got != http.StatusForbidden {
			t.Errorf("Status of code %q = %d, want 403", code, got)
		}
		if got, want := e.Message(), ginkeycloak.ErrForbidden.Message(); got != want {
			t.Errorf("Message of code %q = %q, want that of forbidden, %q", code, got, want)
		}
	}
}

// TestMessagesAreSentences: a client's user may read them, and they go into a quoted header.
func TestMessagesAreSentences(t *testing.T) {
	t.Parallel()
	for _, code := range ginkeycloak.Codes() {
		message := (&ginkeycloak.Error{Code: code}).Message()
		if !strings.HasSuffix(message, ".") || strings.ContainsAny(message, "\"\\\r\n") || strings.Contains(message, "%!") {
			t.Errorf("Message of %q = %q, want one plain sentence", code, message)
		}
	}
}

// TestAuthenticateGivesTheErrorsOfTheMiddleware: whoever asks without Gin gets the same codes.
func TestAuthenticateGivesTheErrorsOfTheMiddleware(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc := newPlugin(t, srv)
	tests := []struct {
		name  string
		token string
		want  *ginkeycloak.Error
	}{
		{"empty", "", ginkeycloak.ErrMalformedToken},
		{"with its scheme", "Bearer " + srv.Token(), ginkeycloak.ErrMalformedToken},
		{"expired", srv.Token(keycloaktest.ExpiresIn(-time.Hour)), ginkeycloak.ErrTokenExpired},
		{"of another issuer", srv.Token(keycloaktest.Issuer("https://evil.example")), ginkeycloak.ErrInvalidClaims},
		{"an ID token", srv.IDToken(), ginkeycloak.ErrInvalidTokenType},
		{"a refresh token", srv.RefreshToken(), ginkeycloak.ErrInvalidAlgorithm},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			user, err := kc.Authenticate(t.Context(), tt.token)
			if user != nil || !errors.Is(err, tt.want) {
				t.Errorf("Authenticate(a token %s) = %v, %v, want %s", tt.name, user, err, tt.want.Code)
			}
		})
	}
}

// TestAuthenticateEndsWithItsContext: a caller who gave up is not kept, and his giving up is not a bad token.
func TestAuthenticateEndsWithItsContext(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	srv.Fail(keycloaktest.All, keycloaktest.Hang())
	kc := newPlugin(t, srv, patient)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := kc.Authenticate(ctx, srv.Token())
	if !errors.Is(err, ginkeycloak.ErrConnection) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Authenticate with a context that ends while Keycloak hangs = %v, want ErrConnection for the deadline", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("Authenticate with a context of 20ms took %v, want not the time limit of the connection", took)
	}
}
