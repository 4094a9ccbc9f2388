package ginkeycloak_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// explained is a token, and what Explain has to say about it.
type explained struct {
	kind  string // each kind is one row
	token func(*keycloaktest.Server) string
	opts  func(*keycloaktest.Server) []ginkeycloak.Option // further ones
	then  func(*keycloaktest.Server)                      // happens after the token was issued
	code  ginkeycloak.Code
	words []string // of headline and mend
	want  []ginkeycloak.Want
	guard func(*ginkeycloak.Plugin) gin.HandlerFunc // the same for a route
}

// ofToken is a token of these options.
func ofToken(opts ...keycloaktest.TokenOption) func(*keycloaktest.Server) string {
	return func(srv *keycloaktest.Server) string { return srv.Token(opts...) }
}

// edited is a good token with its text changed.
func edited(edit func(string) string) func(*keycloaktest.Server) string {
	return func(srv *keycloaktest.Server) string { return edit(srv.Token()) }
}

func literal(token string) func(*keycloaktest.Server) string {
	return func(*keycloaktest.Server) string { return token }
}

func options(opts ...ginkeycloak.Option) func(*keycloaktest.Server) []ginkeycloak.Option {
	return func(*keycloaktest.Server) []ginkeycloak.Option { return opts }
}

// otherIssuer is a token whose issuer is that of the server, changed.
func otherIssuer(change func(string) string) func(*keycloaktest.Server) string {
	return func(srv *keycloaktest.Server) string {
		return srv.Token(keycloaktest.Issuer(change(srv.Issuer())))
	}
}

func replaced(old, with string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, with, 1) }
}

func segment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// ahead is a clock that is ahead of the real one.
func ahead(d time.Duration) ginkeycloak.Option {
	return ginkeycloak.WithClock(func() time.Time { return time.Now().Add(d) })
}

var introspecting = ginkeycloak.WithIntrospection()

// brokenTokens are the kinds of tokens that are told apart.
func brokenTokens() []explained {
	const (
		malformed = ginkeycloak.CodeMalformedToken
		wrong     = ginkeycloak.CodeInvalidClaims
		missing   = ginkeycloak.CodeMissingClaim
		notAccess = ginkeycloak.CodeInvalidTokenType
		badAlg    = ginkeycloak.CodeInvalidAlgorithm
		inactive  = ginkeycloak.CodeTokenInactive
	)
	return []explained{
		// On the way from one window to the other.
		{kind: "empty", token: literal(""), code: malformed, words: []string{"variable"}},
		{kind: "scheme_pasted", token: edited(func(s string) string { return "Bearer " + s }), code: malformed, words: []string{"Bearer"}},
		{kind: "white_space", token: edited(func(s string) string { return s + "\n" }), code: malformed, words: []string{"echo"}},
		{kind: "quoted", token: edited(func(s string) string { return `"` + s + `"` }), code: malformed, words: []string{"quotes"}},
		{kind: "json_pasted", token: edited(func(s string) string { return `{"access_token":"` + s + `"}` }), code: malformed, words: []string{"access_token"}},
		{kind: "two_tokens", token: edited(func(s string) string { return s + ", Bearer " + s }), code: malformed, words: []string{"two"}},
		{kind: "abbreviated", token: edited(func(s string) string { return s[:30] + "..." + s[len(s)-9:] }), code: malformed, words: []string{"shortened"}},
		{kind: "truncated", token: edited(func(s string) string { return s[:strings.Index(s, ".")+40] }), code: malformed, words: []string{"cut off", "2 of its 3 parts"}},
		{kind: "too_many_parts", token: edited(func(s string) string { return s + ".AAAA" }), code: malformed, words: []string{"4 parts"}},
		{kind: "too_long", token: literal("eyJ" + strings.Repeat("A", 20_000)), code: malformed, words: []string{"Full scope allowed"}},
		{kind: "wrong_alphabet", token: edited(func(s string) string { return s + "==" }), code: malformed, words: []string{"base64url"}},
		{kind: "signature_missing", token: edited(func(s string) string { return s[:strings.LastIndex(s, ".")+1] }), code: malformed, words: []string{"signature should begin"}},
		{kind: "signature_damaged", token: edited(func(s string) string { return s[:len(s)-41] }), code: malformed, words: []string{"third part"}},
		{kind: "signature_truncated", token: edited(func(s string) string { return s[:len(s)-42] }), code: ginkeycloak.CodeInvalidSignature, words: []string{"cut off", "of 256"}},

		// Not a token of Keycloak's, or not one of this kind.
		{kind: "not_a_jwt", token: literal("c8Fq0-opaque"), code: malformed, words: []string{"opaque"}},
		{kind: "encrypted", token: literal(segment(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d"), code: malformed, words: []string{"JWE"}},
		{kind: "unsigned", token: ofToken(keycloaktest.Unsigned("none")), code: malformed, words: []string{"not signed"}},
		{kind: "shared_secret", token: ofToken(keycloaktest.HMAC("HS256", []byte("s3cret"))), code: badAlg, words: []string{"shared secret", "HS256"}},
		{kind: "header_damaged", token: edited(func(s string) string { return "ey_" + s[3:] }), code: malformed, words: []string{"first part"}},
		{kind: "payload_damaged", token: ofToken(keycloaktest.RawPayload(`{"iss":`)), code: malformed, words: []string{"second part"}},
		{kind: "payload_ambiguous", token: ofToken(keycloaktest.RawPayload(`{"iss":"a","iss":"b"}`)), code: malformed, words: []string{"more than one way"}},
		{kind: "critical_extension", token: ofToken(keycloaktest.Header("crit", []string{"exp"})), code: malformed, words: []string{"crit"}},
		{kind: "unencoded_payload", token: ofToken(keycloaktest.Header("b64", false)), code: malformed, words: []string{"7797"}},
		{kind: "nested", token: ofToken(keycloaktest.Header("cty", "JWT")), code: malformed, words: []string{"within a token"}},
		{kind: "no_algorithm", token: ofToken(keycloaktest.WithoutHeader("alg")), code: malformed, words: []string{"alg"}},
		{kind: "no_key_id", token: ofToken(keycloaktest.WithoutHeader("kid")), code: malformed, words: []string{"kid"}},
		{kind: "id_token", token: func(srv *keycloaktest.Server) string { return srv.IDToken() }, code: notAccess, words: []string{"id_token", "access_token"}},
		{kind: "refresh_token", token: func(srv *keycloaktest.Server) string { return srv.RefreshToken() }, code: badAlg, words: []string{"refresh_token", "access_token"}},
		{kind: "logout_token", token: ofToken(keycloaktest.Header("typ", "logout+jwt")), code: notAccess, words: []string{"logout"}},
		{kind: "dpop_proof", token: ofToken(keycloaktest.Header("typ", "dpop+jwt")), code: notAccess, words: []string{"proof"}},
		{kind: "header_type", token: ofToken(keycloaktest.Header("typ", "secevent+jwt")), code: notAccess, words: []string{"secevent+jwt"}},
		{kind: "no_type", token: ofToken(keycloaktest.WithoutClaim("typ")), code: notAccess, words: []string{"typ"}},
		{kind: "other_type", token: ofToken(keycloaktest.Type("RegistrationAccessToken")), code: notAccess, words: []string{"RegistrationAccessToken"}},
		{kind: "bound_by_dpop", token: ofToken(keycloaktest.Claim("cnf", map[string]any{"jkt": "x"})), code: wrong, words: []string{"DPoP"}},
		{kind: "bound_by_certificate", token: ofToken(keycloaktest.Claim("cnf", map[string]any{"x5t#S256": "x"})), code: wrong, words: []string{"8705"}},
		{kind: "lightweight", token: ofToken(keycloaktest.Lightweight()), code: missing, words: []string{"lightweight", "WithIntrospection"}},

		// Of whom, for whom, to whom.
		{kind: "no_issuer", token: ofToken(keycloaktest.WithoutClaim("iss")), code: missing, words: []string{"iss"}},
		{kind: "issuer_scheme", token: otherIssuer(replaced("http:", "https:")), code: wrong, words: []string{"only in the scheme", "https in the address", "same realm"}},
		{kind: "issuer_host", token: otherIssuer(replaced("127.0.0.1", "localhost")), code: wrong, words: []string{"only in the host", "WithInternalURL", "same realm"}},
		{kind: "issuer_port", token: otherIssuer(func(s string) string { return strings.Replace(s, "127.0.0.1:", "127.0.0.1:1", 1)[:len(s)+1] }), code: wrong, words: []string{"only in the port"}},
		{kind: "issuer_auth_path", token: otherIssuer(replaced("/realms", "/auth/realms")), code: wrong, words: []string{"only in the /auth", "version 16"}},
		{kind: "issuer_path", token: otherIssuer(replaced("/realms", "/sso/realms")), code: wrong, words: []string{"only in the path"}},
		{kind: "issuer_realm", token: otherIssuer(replaced("/demo", "/other")), code: wrong, words: []string{"only in the realm"}},
		{kind: "issuer_trailing_slash", token: otherIssuer(func(s string) string { return s + "/" }), code: wrong, words: []string{"trailing slash"}},
		{kind: "issuer_case", token: otherIssuer(replaced("http", "HTTP")), code: wrong, words: []string{"upper and lower case"}},
		{kind: "issuer_other", token: ofToken(keycloaktest.Issuer("https://accounts.google.com")), code: wrong, words: []string{"accounts.google.com"}},
		{kind: "no_subject", token: ofToken(keycloaktest.WithoutClaim("sub")), code: missing, words: []string{"basic", "orders-api"}},
		{kind: "no_audience", token: ofToken(keycloaktest.WithoutClaim("aud")), code: missing, words: []string{"Audience mapper", "orders-api"}},
		{kind: "wrong_audience", token: ofToken(keycloaktest.Audience("account"), keycloaktest.AuthorizedParty("swagger")), code: wrong,
			words: []string{`aud is ["account"]; this API expects "orders-api"`, `Audience mapper to client "swagger"`}},
		{kind: "audience_spelling", token: ofToken(keycloaktest.Audience("Orders-API")), code: wrong, words: []string{"upper and lower case"}},
		{kind: "other_client", token: ofToken(keycloaktest.AuthorizedParty("spa")), opts: options(ginkeycloak.WithAuthorizedParties("swagger")), code: wrong, words: []string{`issued to "spa"`, `"swagger"`}},
		{kind: "claim_of_wrong_kind", token: ofToken(keycloaktest.Claim("exp", "tomorrow")), code: wrong, words: []string{"exp has the wrong type"}},

		// When.
		{kind: "no_expiry", token: ofToken(keycloaktest.WithoutClaim("exp")), code: missing, words: []string{"exp"}},
		{kind: "expired", token: ofToken(keycloaktest.ExpiresIn(-3*time.Minute - 500*time.Millisecond)), code: ginkeycloak.CodeTokenExpired, words: []string{"3 min ago", "new token"}},
		{kind: "expired_by_clock", token: ofToken(), opts: options(ahead(10*time.Minute + 30*time.Second)), code: ginkeycloak.CodeTokenExpired, words: []string{"10 min ahead of Keycloak's", "NTP"}},
		{kind: "not_yet_valid", token: ofToken(keycloaktest.NotBeforeIn(time.Hour)), code: ginkeycloak.CodeTokenNotYetValid, words: []string{"from now"}},
		{kind: "issued_in_future", token: ofToken(keycloaktest.IssuedIn(time.Hour), keycloaktest.ExpiresIn(2*time.Hour)), code: ginkeycloak.CodeTokenNotYetValid, words: []string{"issued", "from now"}},
		{kind: "issued_in_future_by_clock", token: ofToken(), opts: options(ahead(-10*time.Minute - 30*time.Second)), code: ginkeycloak.CodeTokenNotYetValid, words: []string{"10 min behind Keycloak's"}},

		// By which key.
		{kind: "algorithm_not_allowed", token: ofToken(keycloaktest.Algorithm("PS256")), code: badAlg, words: []string{"PS256", `WithAlgorithms("PS256")`}},
		{kind: "algorithm_unknown", token: ofToken(keycloaktest.Header("alg", "ML-DSA-44")), code: badAlg, words: []string{"ML-DSA-44"}},
		{kind: "key_of_other_algorithm", token: ofToken(keycloaktest.Algorithm("RS512")), opts: options(ginkeycloak.WithAlgorithms("RS256", "RS512")), code: badAlg, words: []string{"not for RS512"}},
		{kind: "unknown_key", token: ofToken(), then: func(srv *keycloaktest.Server) { srv.RotateKeys(); srv.RemoveOldKeys() }, code: ginkeycloak.CodeUnknownKID, words: []string{"rotated away"}},
		{kind: "key_unusable", token: ofToken(keycloaktest.KeyID("weak")), code: ginkeycloak.CodeUnknownKID, words: []string{"private part"},
			then: func(srv *keycloaktest.Server) {
				srv.AddKeyJSON(`{"kid":"weak","kty":"RSA","use":"sig","n":"AQAB","e":"AQAB","d":"AQAB"}`)
			}},
		{kind: "wrong_signature", token: edited(func(s string) string {
			last := strings.LastIndex(s, ".")
			return s[:last+1] + strings.Repeat("A", len(s)-last-1)
		}), code: ginkeycloak.CodeInvalidSignature, words: []string{"changed"}},

		// By Keycloak's word.
		{kind: "inactive_not_in_audience", token: ofToken(keycloaktest.ForClient("billing")), opts: options(introspecting), code: inactive, words: []string{"26.6.2", "Audience mapper", "billing"}},
		{kind: "inactive_session", token: ofToken(keycloaktest.ForUser("alice")), then: func(srv *keycloaktest.Server) { srv.LogoutUser("alice") }, opts: options(introspecting), code: inactive, words: []string{"logged out"}},
		{kind: "inactive_opaque", token: literal("opaque"), opts: options(introspecting), code: inactive, words: []string{"does not know"}},
		{kind: "inactive_foreign", token: ofToken(keycloaktest.KeyID("another")), opts: options(introspecting), code: inactive, words: []string{"not signed by a key of this realm"}},
		{kind: "inactive_lightweight", token: ofToken(keycloaktest.ForClient("light"), keycloaktest.Audience("billing"), keycloaktest.Lightweight()), opts: options(introspecting), code: inactive, words: []string{"lightweight", "26.6.2"}},
		{kind: "introspection_differs", token: ofToken(keycloaktest.ForUser("alice")), opts: options(introspecting), code: missing, words: []string{"Add to token introspection"},
			then: func(srv *keycloaktest.Server) {
				srv.Fail(keycloaktest.Introspection, keycloaktest.Edited(func(body map[string]any) { delete(body, "sub") }))
			}},
		{kind: "keycloak_connection_error", token: ofToken(), then: (*keycloaktest.Server).Stop, code: ginkeycloak.CodeConnection, words: []string{"says nothing about the token", "kcdoctor"}},
		{kind: "keycloak_config_error", token: ofToken(), opts: options(introspecting, ginkeycloak.WithClientSecret("wrong")), code: ginkeycloak.CodeConfig, words: []string{"401"}},

		// What a route asks for.
		{kind: "missing_role", token: ofToken(keycloaktest.RealmRoles("viewer")), code: ginkeycloak.CodeMissingRoles, words: []string{`lacks the role ["admin"]`, `it has ["viewer"]`},
			want:  []ginkeycloak.Want{ginkeycloak.WantRoles("admin")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireRoles("admin") }},
		{kind: "no_roles", token: ofToken(), code: ginkeycloak.CodeMissingRoles, words: []string{"no roles at all"},
			want:  []ginkeycloak.Want{ginkeycloak.WantRoles("admin")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireRoles("admin") }},
		{kind: "role_of_other_client", token: ofToken(keycloaktest.ClientRoles("billing", "admin")), code: ginkeycloak.CodeMissingRoles, words: []string{`of client "billing"`, "RequireClientRoles"},
			want:  []ginkeycloak.Want{ginkeycloak.WantRoles("admin")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireRoles("admin") }},
		{kind: "role_of_realm", token: ofToken(keycloaktest.RealmRoles("admin")), code: ginkeycloak.CodeMissingRoles, words: []string{"of the client billing", "of the realm"},
			want:  []ginkeycloak.Want{ginkeycloak.WantClientRoles("billing", "admin")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireClientRoles("billing", "admin") }},
		{kind: "role_spelling", token: ofToken(keycloaktest.RealmRoles("Admin")), code: ginkeycloak.CodeMissingRoles, words: []string{`it has "Admin"`},
			want:  []ginkeycloak.Want{ginkeycloak.WantRoles("admin")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireRoles("admin") }},
		{kind: "missing_group", token: ofToken(keycloaktest.Groups("/hr")), code: ginkeycloak.CodeMissingGroups, words: []string{`"/eng"`, `it has ["/hr"]`},
			want:  []ginkeycloak.Want{ginkeycloak.WantGroups("/eng")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireGroups("/eng") }},
		{kind: "no_groups", token: ofToken(), code: ginkeycloak.CodeMissingGroups, words: []string{"Group Membership"},
			want:  []ginkeycloak.Want{ginkeycloak.WantGroups("/eng")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireGroups("/eng") }},
		{kind: "group_without_path", token: ofToken(keycloaktest.Groups("eng")), code: ginkeycloak.CodeMissingGroups, words: []string{"Full group path"},
			want:  []ginkeycloak.Want{ginkeycloak.WantGroups("/eng")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireGroups("/eng") }},
		{kind: "missing_scope", token: ofToken(), code: ginkeycloak.CodeMissingScope, words: []string{`"orders"`, "parameter scope"},
			want:  []ginkeycloak.Want{ginkeycloak.WantScopes("orders")},
			guard: func(kc *ginkeycloak.Plugin) gin.HandlerFunc { return kc.RequireScopes("orders") }},
		{kind: "valid", token: ofToken(keycloaktest.ForUser("alice")), words: []string{"accepts it"}, want: []ginkeycloak.Want{
			ginkeycloak.WantRoles("admin"), ginkeycloak.WantClientRoles("orders-api", "manage"), ginkeycloak.WantGroups("/eng"), ginkeycloak.WantScopes("email"),
		}},
	}
}

// TestExplain holds each explanation to its words, which are its own, and its verdict to that of Authenticate and of a
// guarded route.
func TestExplain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards said
	said := make(map[string]string)
	rows := brokenTokens()
	t.Cleanup(func() {
		if len(said) < 26 || len(said) != len(rows) {
			t.Errorf("%d rows, %d explanations; want at least 26, and each of its own", len(rows), len(said))
		}
	})
	for _, tt := range rows {
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			a, token := tt.prepare(t)
			got := a.kc.Explain(t.Context(), token, tt.want...)
			mu.Lock()
			if before, ok := said[got.Headline]; ok {
				t.Errorf("%s and %s have the same headline %q", before, tt.kind, got.Headline)
			}
			said[got.Headline] = tt.kind
			mu.Unlock()
			if got.Kind != tt.kind || got.Code != tt.code || got.Valid != (tt.code == "") {
				t.Errorf("Explain = %s, %s, valid %t; want %s, %s\n%s", got.Kind, got.Code, got.Valid, tt.kind, tt.code, got)
			}
			text := got.Headline + " " + got.Mend
			for _, word := range tt.words {
				if !strings.Contains(text, word) {
					t.Errorf("Explain says %q, want %q in it", text, word)
				}
			}
			if first, _, _ := strings.Cut(got.String(), "\n"); !strings.Contains(first, got.Headline) || strings.HasPrefix(first, "ok") != got.Valid {
				t.Errorf("first line = %q, want the headline %q", first, got.Headline)
			}
			if !got.Valid && got.Mend == "" {
				t.Errorf("Explain says %q, and not what mends it", got.Headline)
			}
			checkVerdict(t, a, tt, token, got)
			checkNothingWhole(t, token, got)
			checkChecks(t, got)
		})
	}
}

// prepare returns an API, a token, and the situation that the row describes.
func (tt *explained) prepare(t *testing.T) (*api, string) {
	t.Helper()
	srv := keycloaktest.New(t)
	var opts []ginkeycloak.Option
	if tt.opts != nil {
		opts = tt.opts(srv)
	}
	a := newAPIFor(t, srv, opts...)
	token := tt.token(srv)
	if tt.then != nil {
		tt.then(srv)
	}
	return a, token
}

// checkVerdict compares an explanation with what the library does.
func checkVerdict(t *testing.T, a *api, tt explained, token string, got ginkeycloak.Explanation) {
	t.Helper()
	_, err := a.kc.Authenticate(t.Context(), token)
	var refused *ginkeycloak.Error
	errors.As(err, &refused)
	switch {
	case tt.guard != nil:
		if err != nil {
			t.Errorf("Authenticate = %v, want none: it is the route that refuses", err)
		}
		if answer := a.behind(tt.guard(a.kc)).get(t, "/guarded", token); answer.code != got.Code {
			t.Errorf("the guarded route says %q, Explain %q", answer.code, got.Code)
		}
	case refused == nil && !got.Valid, refused != nil && refused.Code != got.Code:
		t.Errorf("Authenticate says %v, Explain %q", err, got.Code)
	}
}

// checkNothingWhole checks that an explanation has no part of the token in it.
func checkNothingWhole(t *testing.T, token string, got ginkeycloak.Explanation) {
	t.Helper()
	encoded, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.FieldsFunc(token, func(r rune) bool { return strings.ContainsRune(`. ",{}:`, r) }) {
		if len(part) > 24 && (strings.Contains(got.String(), part[:24]) || strings.Contains(string(encoded), part[:24])) {
			t.Errorf("the explanation has a part of the token in it: %s", got)
		}
	}
}

// checkChecks checks that what is wrong is found by a check, which says what mends it.
func checkChecks(t *testing.T, got ginkeycloak.Explanation) {
	t.Helper()
	failed := slices.IndexFunc(got.Checks, func(c ginkeycloak.Check) bool { return c.Status == ginkeycloak.Failed })
	if got.Valid != (failed < 0) {
		t.Fatalf("valid is %t, checks: %+v", got.Valid, got.Checks)
	}
	if failed >= 0 && got.Checks[failed].Mend != got.Mend {
		t.Errorf("the first check that failed is %+v, want its mend %q", got.Checks[failed], got.Mend)
	}
}

// TestExplainAgreesWithAuthenticate compares the verdicts over all of the tokens that other tests try, in all modes.
func TestExplainAgreesWithAuthenticate(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	modes := map[string][]ginkeycloak.Option{
		"local":       nil,
		"every":       {ginkeycloak.WithIntrospection()},
		"opaque":      {ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOpaque())},
		"on demand":   {ginkeycloak.WithIntrospection(ginkeycloak.IntrospectOnDemand())},
		"no audience": {ginkeycloak.WithInsecureSkipAudience()},
		"parties":     {ginkeycloak.WithAuthorizedParties("swagger")},
	}
	tokens := markedPaths(srv)
	for _, tt := range brokenTokens() {
		tokens["kind "+tt.kind] = tt.token(srv)
	}
	for mode, opts := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			kc := newPlugin(t, srv, opts...)
			for name, token := range tokens {
				_, err := kc.Authenticate(t.Context(), token)
				var refused *ginkeycloak.Error
				want := ginkeycloak.Code("")
				if errors.As(err, &refused) {
					want = refused.Code
				}
				got := kc.Explain(t.Context(), token)
				if got.Code != want {
					t.Errorf("token %s: Explain says %q, Authenticate %q", name, got.Code, want)
				}
				checkChecks(t, got)
			}
		})
	}
}

// TestExplainShowsNobody: whose token it is stays with him.
func TestExplainShowsNobody(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	for _, opts := range [][]ginkeycloak.Option{nil, {ginkeycloak.WithIntrospection()}} {
		kc := newPlugin(t, srv, append(opts, ginkeycloak.WithClientSecret(mark))...)
		for name, option := range map[string]keycloaktest.TokenOption{
			"good": keycloaktest.Scope("a"), "expired": keycloaktest.ExpiresIn(-time.Hour), "for others": keycloaktest.Audience("b"),
			"by others": keycloaktest.KeyID("c"), "claim": keycloaktest.Claim("exp", mark), "bound": keycloaktest.Claim("cnf", mark),
		} {
			token := srv.Token(option, keycloaktest.Subject(mark), keycloaktest.Claim("email", mark+"@example.com"), keycloaktest.Claim("name", mark),
				keycloaktest.Claim("preferred_username", mark), keycloaktest.Claim("sid", mark), keycloaktest.Claim("jti", mark))
			got := kc.Explain(t.Context(), token, ginkeycloak.WantRoles("admin"), ginkeycloak.WantGroups("/eng"), ginkeycloak.WantScopes("x"))
			checkNoMark(t, name, token, fmt.Sprintf("%v %+v %#v", got, got, got))
		}
	}
}

// TestExplanationFitsATerminal: what a stranger wrote into a token does not command the terminal it is shown on.
func TestExplanationFitsATerminal(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc := newPlugin(t, srv)
	const evil = "\x1b[2J\r\n\u202e\u0085" + "evil"
	for name, option := range map[string]keycloaktest.TokenOption{
		"iss": keycloaktest.Issuer(evil), "aud": keycloaktest.Audience(evil, strings.Repeat("x", 9000)), "azp": keycloaktest.AuthorizedParty(evil),
		"typ": keycloaktest.Type(evil), "header typ": keycloaktest.Header("typ", evil), "alg": keycloaktest.Header("alg", evil),
		"claim": keycloaktest.RawPayload(`{"` + "\u202e" + `":1,"exp":"x"}`), "role": keycloaktest.RealmRoles(evil), "group": keycloaktest.Groups(evil),
	} {
		got := kc.Explain(t.Context(), srv.Token(option, keycloaktest.Audience(evil)), ginkeycloak.WantRoles("a"), ginkeycloak.WantGroups("/a")).String()
		for _, line := range strings.Split(got, "\n") {
			if i := strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x202e }); i >= 0 {
				t.Errorf("%s: line %q has a character that is no letter", name, line)
			}
		}
		if len(got) > 8000 {
			t.Errorf("%s: the explanation has %d bytes, want less", name, len(got))
		}
	}
}

// TestAudienceMapperCanBePasted: the JSON is a mapper as Keycloak takes it, for a client and for an address.
func TestAudienceMapperCanBePasted(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	for audience, member := range map[string]string{"orders-api": "included.client.audience", "https://api.example.com": "included.custom.audience"} {
		kc := newPlugin(t, srv, ginkeycloak.WithAudience(audience))
		got := kc.Explain(t.Context(), srv.Token(keycloaktest.Audience("account")))
		var mapper struct {
			Name, Protocol, ProtocolMapper string
			Config                         map[string]string
		}
		if err := json.Unmarshal([]byte(got.Paste), &mapper); err != nil {
			t.Fatalf("Paste = %s: %v", got.Paste, err)
		}
		if mapper.ProtocolMapper != "oidc-audience-mapper" || mapper.Config[member] != audience || mapper.Config["access.token.claim"] != "true" ||
			mapper.Config["introspection.token.claim"] != "true" {
			t.Errorf("Paste for %s = %s, want %s and both switches on", audience, got.Paste, member)
		}
	}
}

func TestExplainEndsWithItsContext(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	srv.Fail(keycloaktest.All, keycloaktest.Hang())
	kc := newPlugin(t, srv, patient)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	got := kc.Explain(ctx, srv.Token())
	if took := time.Since(begin); took > 30*time.Second || got.Code != ginkeycloak.CodeConnection {
		t.Errorf("Explain with a context of 100 ms took %v and says %q, want keycloak_connection_error at once", took, got.Code)
	}
}

func TestExplainAfterClose(t *testing.T) {
	t.Parallel()
	srv := keycloaktest.New(t)
	kc := newPlugin(t, srv)
	_ = kc.Close()
	if got := kc.Explain(t.Context(), srv.Token()); got.Code != ginkeycloak.CodeConnection || got.Valid {
		t.Errorf("Explain after Close = %q, want keycloak_connection_error", got.Code)
	}
}

// TestErrorDetailsExplain: a refusal's details name kind, explanation and mend in development, and otherwise nothing.
func TestErrorDetailsExplain(t *testing.T) {
	t.Parallel()
	for _, tt := range brokenTokens() {
		if tt.code == "" || strings.ContainsAny(tt.token(keycloaktest.New(t)), "\n ,\"{") || tt.kind == "empty" {
			continue // no header can carry it
		}
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			srv := keycloaktest.New(t)
			opts := []ginkeycloak.Option{ginkeycloak.WithErrorDetails(true)}
			if tt.opts != nil {
				opts = append(opts, tt.opts(srv)...)
			}
			a := newAPIFor(t, srv, opts...)
			token := tt.token(srv)
			if tt.then != nil {
				tt.then(srv)
			}
			path := "/me"
			if tt.guard != nil {
				path = "/guarded"
				a = a.behind(tt.guard(a.kc))
			}
			got := a.get(t, path, token)
			var body struct {
				Error struct {
					Details struct{ Reason, Kind, Explanation, Mend string }
				}
			}
			if err := json.Unmarshal([]byte(got.body), &body); err != nil {
				t.Fatalf("body %s: %v", got.body, err)
			}
			d := body.Error.Details
			if got.status == http.StatusServiceUnavailable {
				if d.Reason == "" || d.Kind != "" {
					t.Errorf("details of %d = %+v, want a reason only: it is not about the token", got.status, d)
				}
				return
			}
			if d.Reason == "" || d.Kind == "" || d.Explanation == "" || d.Mend == "" {
				t.Errorf("details = %+v, want reason, kind, explanation and mend", d)
			}
		})
	}
	a := newAPI(t)
	if got := a.get(t, "/me", a.keycloak.Token(keycloaktest.ExpiresIn(-time.Hour))); strings.Contains(got.body, "kind") || strings.Contains(got.body, "mend") {
		t.Errorf("body without WithErrorDetails = %s, want no details", got.body)
	}
}

func ExamplePlugin_Explain() {
	srv, err := keycloaktest.Start()
	if err != nil {
		return
	}
	defer srv.Close()
	kc, err := ginkeycloak.New(ginkeycloak.WithServerURL(srv.URL()), ginkeycloak.WithRealm(srv.Realm()), ginkeycloak.WithClientID("orders-api"))
	if err != nil {
		return
	}
	defer kc.Close()

	token := srv.Token(keycloaktest.Audience("account"), keycloaktest.AuthorizedParty("swagger"))
	explanation := kc.Explain(context.Background(), token)
	fmt.Println(explanation.Code)
	fmt.Println(explanation.Headline)
	fmt.Println(explanation.Mend)
	// Output:
	// invalid_claims
	// aud is ["account"]; this API expects "orders-api".
	// Add an Audience mapper to client "swagger" in Keycloak: Client scopes → swagger-dedicated → Add mapper → By configuration → Audience.
}
