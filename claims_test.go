package ginkeycloak_test

import (
	"math"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/c0mpiler/ginkeycloak"
	"github.com/c0mpiler/ginkeycloak/keycloaktest"
)

// raw is a JSON value that no Go value encodes to.
func raw(json string) jsontext.Value { return jsontext.Value(json) }

// Claims: RFC 7519 §4, RFC 9068 §4, and the checks of Keycloak's own TokenVerifier.
func TestClaims(t *testing.T) {
	t.Parallel()
	const (
		invalid   = ginkeycloak.CodeInvalidClaims
		missing   = ginkeycloak.CodeMissingClaim
		expired   = ginkeycloak.CodeTokenExpired
		notYet    = ginkeycloak.CodeTokenNotYetValid
		wrongType = ginkeycloak.CodeInvalidTokenType
	)
	a := newAPI(t)
	srv := a.keycloak
	iss := srv.Issuer()
	claim, without, header := keycloaktest.Claim, keycloaktest.WithoutClaim, keycloaktest.Header
	tests := []struct {
		name   string
		option keycloaktest.TokenOption
		code   ginkeycloak.Code
	}{
		{"exp missing", without("exp"), missing},
		{"exp a string", claim("exp", "9999999999"), invalid},
		{"exp null", claim("exp", nil), invalid},
		{"exp a boolean", claim("exp", true), invalid},
		{"exp an array", claim("exp", []int{9999999999}), invalid},
		{"exp an object", claim("exp", map[string]any{}), invalid},
		{"exp negative", claim("exp", -1), invalid},
		{"exp 0", claim("exp", 0), expired},
		{"exp behind the year 9999", claim("exp", 253402300800), invalid},
		{"exp at the end of the year 9999", claim("exp", 253402300799), ""},
		{"exp 1e300", claim("exp", raw("1e300")), invalid},
		{"exp 1e400", claim("exp", raw("1e400")), invalid},
		{"exp 2^63", claim("exp", raw("9223372036854775808")), invalid},
		{"exp with a fraction", claim("exp", float64(time.Now().Unix())+300.5), ""},
		{"exp passed", keycloaktest.ExpiresIn(-time.Hour), expired},

		{"nbf null", claim("nbf", nil), invalid},
		{"nbf a string", claim("nbf", "0"), invalid},
		{"nbf 0, as old Keycloaks write it", claim("nbf", 0), ""},
		{"nbf past", keycloaktest.NotBeforeIn(-time.Hour), ""},
		{"nbf to come", keycloaktest.NotBeforeIn(time.Hour), notYet},
		{"nbf 1e19, beyond int64", claim("nbf", raw("1e19")), invalid},
		{"nbf 1e300", claim("nbf", raw("1e300")), invalid},

		{"iat to come", keycloaktest.IssuedIn(time.Hour), notYet},
		{"iat a string", claim("iat", "0"), invalid},
		{"iat null", claim("iat", nil), invalid},
		{"iat missing", without("iat"), ""},

		{"iss missing", without("iss"), missing},
		{"iss empty", claim("iss", ""), missing},
		{"iss null", claim("iss", nil), missing},
		{"iss with a trailing slash", claim("iss", iss+"/"), invalid},
		{"iss of another realm", claim("iss", srv.URL()+"/realms/other"), invalid},
		{"iss in other case", claim("iss", srv.URL()+"/realms/DEMO"), invalid},
		{"iss of another host", claim("iss", "https://evil.example/realms/demo"), invalid},
		{"iss a prefix", claim("iss", iss[:len(iss)-1]), invalid},
		{"iss with something behind", claim("iss", iss+".evil.example"), invalid},
		{"iss an array", claim("iss", []string{iss}), invalid},
		{"iss a number", claim("iss", 1), invalid},

		{"aud missing", without("aud"), missing},
		{"aud []", claim("aud", []string{}), missing},
		{"aud empty", claim("aud", ""), invalid},
		{"aud [empty]", claim("aud", []string{""}), invalid},
		{"aud null", claim("aud", nil), invalid},
		{"aud an object", claim("aud", map[string]any{"orders-api": true}), invalid},
		{"aud a number", claim("aud", 1), invalid},
		{"aud with a number in it", claim("aud", []any{"orders-api", 1}), invalid},
		{"aud with null in it", claim("aud", []any{"orders-api", nil}), invalid},
		{"aud nested", claim("aud", []any{[]string{"orders-api"}}), invalid},
		{"aud in other case", claim("aud", "ORDERS-API"), invalid},
		{"aud a prefix", claim("aud", "orders"), invalid},
		{"aud with something behind", claim("aud", "orders-api2"), invalid},
		{"aud of another", claim("aud", "account"), invalid},
		{"aud among others", claim("aud", []string{"account", "orders-api"}), ""},
		{"aud in an array of one", claim("aud", []string{"orders-api"}), ""},

		{"sub missing", without("sub"), missing},
		{"sub empty", claim("sub", ""), missing},
		{"sub null", claim("sub", nil), missing},
		{"sub a number", claim("sub", 1), invalid},
		{"sub an object", claim("sub", map[string]any{}), invalid},
		{"sub an array", claim("sub", []string{}), invalid},
		{"jti a number", claim("jti", 1), invalid},
		{"azp a number", claim("azp", 1), invalid},
		{"azp an array", claim("azp", []string{"orders-api"}), invalid},
		{"sid a number", claim("sid", 1), invalid},
		{"scope an array", claim("scope", []string{"openid"}), invalid},

		{"typ missing", without("typ"), wrongType},
		{"typ null", claim("typ", nil), wrongType},
		{"typ empty", claim("typ", ""), wrongType},
		{"typ in lower case", claim("typ", "bearer"), wrongType},
		{"typ a number", claim("typ", 1), invalid},
		{"typ ID", claim("typ", "ID"), wrongType},
		{"typ Refresh", claim("typ", "Refresh"), wrongType},
		{"typ Offline", claim("typ", "Offline"), wrongType},
		{"typ Logout", claim("typ", "Logout"), wrongType},
		{"typ Serialized-ID", claim("typ", "Serialized-ID"), wrongType},
		{"typ RegistrationAccessToken", claim("typ", "RegistrationAccessToken"), wrongType},
		{"typ InitialAccessToken", claim("typ", "InitialAccessToken"), wrongType},
		{"typ of an action token", claim("typ", "reset-credentials"), wrongType},
		{"typ DPoP without a proof", claim("typ", "DPoP"), wrongType},

		{"header typ missing", keycloaktest.WithoutHeader("typ"), wrongType},
		{"header typ at+jwt", header("typ", "at+jwt"), ""},
		{"header typ AT+JWT", header("typ", "AT+JWT"), ""},
		{"header typ application/at+jwt", header("typ", "application/at+jwt"), ""},
		{"header typ logout+jwt", header("typ", "logout+jwt"), wrongType},
		{"header typ dpop+jwt", header("typ", "dpop+jwt"), wrongType},
		{"header typ secevent+jwt", header("typ", "secevent+jwt"), wrongType},
		{"header typ a number", header("typ", 1), ginkeycloak.CodeMalformedToken},

		{"bound to a key", claim("cnf", map[string]any{"jkt": "abc"}), invalid},
		{"bound to a certificate", claim("cnf", map[string]any{"x5t#S256": "abc"}), invalid},
		{"cnf empty", claim("cnf", map[string]any{}), invalid},
		{"cnf null", claim("cnf", nil), invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkToken(t, a, tt.name, srv.Token(tt.option), tt.code)
		})
	}
}

// A token that has the right signature, issuer, audience and times, and is no access token.
func TestIDTokenIsNoAccessToken(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	checkToken(t, a, "ID token", a.keycloak.IDToken(keycloaktest.ForUser("alice")), ginkeycloak.CodeInvalidTokenType)
}

// The seconds around the leeway, by a clock that stands still.
func TestLeeway(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	clock := func() time.Time { return now }
	srv := keycloaktest.New(t, keycloaktest.WithClock(clock))
	for _, leeway := range []time.Duration{0, 30 * time.Second, 5 * time.Minute} {
		a := newAPIFor(t, srv, ginkeycloak.WithClock(clock), ginkeycloak.WithLeeway(leeway))
		for _, tt := range []struct {
			name   string
			option keycloaktest.TokenOption
			code   ginkeycloak.Code
		}{
			{"expired a second less ago than the leeway", keycloaktest.ExpiresIn(time.Second - leeway), ""},
			{"expired the leeway ago", keycloaktest.ExpiresIn(-leeway), ginkeycloak.CodeTokenExpired},
			{"valid from when the leeway is over", keycloaktest.NotBeforeIn(leeway), ""},
			{"valid from a second later", keycloaktest.NotBeforeIn(leeway + time.Second), ginkeycloak.CodeTokenNotYetValid},
			{"issued when the leeway is over", keycloaktest.IssuedIn(leeway), ""},
			{"issued a second later", keycloaktest.IssuedIn(leeway + time.Second), ginkeycloak.CodeTokenNotYetValid},
		} {
			checkToken(t, a, tt.name+" of "+leeway.String(), srv.Token(tt.option), tt.code)
		}
	}
}

// The clock at the ends of time must not wrap around.
func TestTimesDoNotOverflow(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, seconds := range []any{int64(math.MaxInt64), int64(math.MinInt64), raw("1e18"), raw("1e19"), raw("-1e19"), raw("9223372036")} {
		token := a.keycloak.Token(keycloaktest.Claim("nbf", seconds))
		if _, err := a.kc.Authenticate(t.Context(), token); err == nil {
			t.Errorf("nbf = %v was let in", seconds)
		}
	}
}
